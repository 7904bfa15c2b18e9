"""Lists in pages: every page of a list shows the state at its first page. Refuses to render anything.

Source: k8s.io/apiserver v0.35, pkg/storage/continue.go and pkg/storage/etcd3/store.go.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from dataclasses import dataclass
from typing import Any

import orjson

from lab.apiserver.lists.selectors import Selection
from lab.apiserver.problems import bad_request, expired_list, version_ahead
from lab.apiserver.store import Shelf, Stored, stored_key

_TOKEN_VERSION = "meta.k8s.io/v1"  # noqa: S105 - the version of a format
_AS_IT_IS_NOW = -1
"""The version in the token of a list that goes on without being consistent."""


@dataclass(frozen=True)
class Page:
    """A part of a list. `remaining` is None where a real API server does not count."""

    items: list[Stored]
    version: int
    token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """Which part of a list is asked for: `version` is the one to show, 0 for the newest, which `at_least` limits."""

    limit: int = 0
    version: int = 0
    at_least: int = 0
    after: str = ""
    continued: bool = False
    waits: bool = False
    """Whether a real API server answers from its cache, for which it waits."""


def page(shelf: Shelf, selection: Selection, wanted: PageRequest, current: int) -> Page:
    """Return a page of the selected objects. 410 if its state is forgotten, 504 if it is yet to come.

    `current` is the server's newest version.
    """
    version = wanted.version if wanted.version > 0 else current
    if max(version, wanted.at_least) > current:
        raise version_ahead(max(version, wanted.at_least), current, retry=wanted.waits)
    found = _state(shelf, selection, version, wanted)
    if not selection.everything and (selection.by_content or selection.name is not None):
        found = [stored for stored in found if selection.holds(stored.object)]
    if not wanted.limit or len(found) <= wanted.limit:
        return Page(found, version)
    items = found[: wanted.limit]
    remaining = None if selection.by_content or selection.name is not None else len(found) - wanted.limit
    return Page(items, version, _encode(version, stored_key(items[-1])), remaining)


def _state(shelf: Shelf, selection: Selection, version: int, wanted: PageRequest) -> list[Stored]:
    if selection.name is not None and selection.namespace and not wanted.after and not shelf.changed_since(version):
        found = shelf.objects.get(f"{selection.namespace}/{selection.name}")
        return [] if found is None else [found]
    if shelf.is_forgotten(version):
        raise expired_list(_encode(_AS_IT_IS_NOW, wanted.after) if wanted.continued else "")
    if shelf.changed_since(version):
        return shelf.as_of(version, selection.namespace, wanted.after)
    return shelf.range(selection.namespace, wanted.after)


def _encode(version: int, after: str) -> str:
    content = orjson.dumps({"v": _TOKEN_VERSION, "rv": version, "start": after})
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode_token(token: str) -> tuple[int, str]:
    """Return the version that a list goes on with, and the key after which; 400 for what is no token."""
    content = _content(token)
    version, start = content.get("rv") or 0, content.get("start") or ""
    if content.get("v") != _TOKEN_VERSION:
        raise _broken(f"server does not recognize this encoded version {content.get('v', '')}")
    if not isinstance(version, int) or not isinstance(start, str):
        raise _broken("json: cannot unmarshal a field of Go value of type storage.continueToken")
    if version == 0:
        raise _broken(f"incorrect encoded start resourceVersion (version {_TOKEN_VERSION})")
    if not start:
        raise _broken(f"encoded start key empty (version {_TOKEN_VERSION})")
    if posixpath.normpath(f"/{start}").lstrip("/") != start.lstrip("/"):
        raise _broken(start)
    return version, start


def _content(token: str) -> dict[str, Any]:
    try:
        content = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except binascii.Error as error:
        raise _broken("illegal base64 data at input byte 0") from error
    except ValueError as error:
        raise _broken(f"invalid character: {error}") from error
    if not isinstance(content, dict):
        raise _broken("json: cannot unmarshal into Go value of type storage.continueToken")
    return content


def _broken(why: str) -> Exception:
    return bad_request(f"invalid continue token: continue key is not valid: {why}")
