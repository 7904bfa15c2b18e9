"""Lists in pages: every page of a list shows the state at its first page. Refuses to render anything."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import orjson

from lab.apiserver.problems import bad_request, version_ahead
from lab.apiserver.selectors import Selection
from lab.apiserver.store import Shelf, Stored, stored_key


@dataclass(frozen=True)
class Page:
    """A part of a list. `remaining` is None where a real API server does not count."""

    items: list[Stored]
    version: int
    token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """Which part of a list is asked for. `exactly` is a resourceVersion with resourceVersionMatch=Exact."""

    limit: int = 0
    token: str = ""
    at_least: int = 0
    exactly: int = 0


def page(shelf: Shelf, selection: Selection, wanted: PageRequest, current: int) -> Page:
    """Return a page of the selected objects. 410 if its state is forgotten, 504 if it is yet to come.

    `current` is the server's newest version.
    """
    version, after = _decode(wanted.token) if wanted.token else (wanted.exactly or current, "")
    if max(version, wanted.at_least) > current:
        raise version_ahead(max(version, wanted.at_least), current)
    found = _state(shelf, selection, version, after, continued=bool(wanted.token))
    if not selection.everything and (selection.by_content or selection.name is not None):
        found = [stored for stored in found if selection.holds(stored.object)]
    if not wanted.limit or len(found) <= wanted.limit:
        return Page(found, version)
    items = found[: wanted.limit]
    remaining = None if selection.by_content or selection.name is not None else len(found) - wanted.limit
    return Page(items, version, _encode(version, stored_key(items[-1])), remaining)


def _state(shelf: Shelf, selection: Selection, version: int, after: str, *, continued: bool) -> list[Stored]:
    if selection.name is not None and selection.namespace and not continued and not shelf.changed_since(version):
        found = shelf.objects.get(f"{selection.namespace}/{selection.name}")
        return [] if found is None else [found]
    if shelf.changed_since(version) or shelf.is_forgotten(version):
        return shelf.as_of(version, selection.namespace, after, continued=continued)
    return shelf.range(selection.namespace, after)


def _encode(version: int, after: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": after})).decode()


def _decode(token: str) -> tuple[int, str]:
    try:
        content = orjson.loads(base64.urlsafe_b64decode(token))
        return int(content["rv"]), str(content["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
