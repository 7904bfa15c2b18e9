"""What a migration changed, as evidence: each request with what was there before and after, and never a secret. Pure.

Values are redacted before they are compared with anything or kept: a Secret's data, what is named like a credential or
looks like one, and texts that are documents of their own are left as checksums. All is bounded, in number and length.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import AwareDatetime

from migration.frozen import Frozen

Json = Any
Verb = Literal["create", "patch", "replace", "delete", "evict"]
Outcome = Literal["asked", "done", "gone", "refused", "unknown"]

LONGEST_TEXT: Final = 600
LONGEST_VALUE: Final = 4000
"""Characters of JSON; of what is longer a checksum is left, and what it consists of."""
MOST_DIFFERENCES: Final = 40
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SERVER_FIELDS: Final = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")
_SECRET_NAME: Final = re.compile(
    r"passw|passphrase|secret|token|credential|kubeconfig|certificate|bearer|authorization|cabundle"
    r"|(private|api|access|tls|ssh|encryption|signing|ca)[._-]?key|\.(key|pem|crt|p12)\Z",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(r"-----BEGIN |\beyJ[\w-]{10,}\.|://[^/@\s]+:[^/@\s]+@|\b(Bearer|Basic) [\w+/=.-]{8,}")
_DOCUMENT_NAME: Final = re.compile(r"Block\Z|\.ya?ml\Z")
_MISSING: Final = object()


class Difference(Frozen):
    """One value that is another now; `path` is a JSON pointer, empty for the whole object."""

    op: Literal["add", "remove", "replace"]
    path: str
    before: Any = None
    after: Any = None
    was_asked: bool = True
    """Whether the request named it. What it didn't name was set in answer by the server, or by others since the object
    was read."""


class RecordedChange(Frozen):
    """One changing request, and what it did."""

    at: AwareDatetime
    seconds: float = 0.0
    step: str
    run: str = ""
    where: str
    verb: Verb
    kind: str
    namespace: str = ""
    name: str
    uid: str = ""
    outcome: Outcome = "done"
    """`asked`: noted before it was sent, and its end is not known, for the process ended before; `gone`: nothing was
    left to delete; `unknown`: no answer, so it may have been done; `refused`: it was not."""
    message: str = ""
    before_version: str = ""
    after_version: str = ""
    differences: tuple[Difference, ...] = ()
    left_out: int = 0
    """How many differences there are beyond those."""
    note: str = ""

    @property
    def place(self) -> str:
        """`kind namespace/name`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def checksum(value: Json) -> str:
    """Return a text that stands for a value, and tells whether two are the same."""
    content = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()[:16]} ({len(content)} characters)"


def without_server_fields(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what somebody wrote of an object: no status, and nothing that the server counts."""
    metadata = {key: value for key, value in (found.get("metadata") or {}).items() if key not in _SERVER_FIELDS}
    rest = {key: value for key, value in found.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    return {"metadata": metadata, **rest}


def redacted(found: Mapping[str, Any], *, is_secret: bool) -> dict[str, Any]:
    """Return an object whose confidential parts are checksums."""
    hidden = {"data", "stringData"} if is_secret else set()
    shown = {key: _redacted(value, key) for key, value in found.items() if key not in hidden}
    for key in sorted(hidden & found.keys()):
        shown[key] = {name: checksum(value) for name, value in (found[key] or {}).items()}
    return shown


def differences(before: Json, after: Json) -> Iterator[Difference]:
    """Yield what to change of the one to have the other, values bounded; lists count as a whole."""
    yield from _differences(before, after, "")


def is_named(patch: Mapping[str, Any], path: str) -> bool:
    """Tell whether a merge patch sets what a JSON pointer leads to."""
    found: Json = patch
    for step in path.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping):
            return True
        if key not in found:
            return False
        found = found[key]
    return True


def whole(value: Json, op: Literal["add", "remove"]) -> Difference:
    """Return the difference that an object came or went."""
    shown = bounded(value)
    return Difference(op=op, path="", after=shown) if op == "add" else Difference(op=op, path="", before=shown)


def bounded(value: Json) -> Json:
    """Return a value, or what it consists of if it is too long."""
    text = json.dumps(value, sort_keys=True, default=str)
    if len(text) <= LONGEST_VALUE:
        return value
    if not isinstance(value, Mapping):
        return checksum(text)
    return {key: part if len(json.dumps(part, default=str)) <= 800 else checksum(part) for key, part in value.items()}


def _differences(before: Json, after: Json, path: str) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            step = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            yield from _differences(before.get(key, _MISSING), after.get(key, _MISSING), step)
    elif before is _MISSING:
        yield Difference(op="add", path=path, after=bounded(after))
    elif after is _MISSING:
        yield Difference(op="remove", path=path, before=bounded(before))
    elif before != after:
        yield Difference(op="replace", path=path, before=bounded(before), after=bounded(after))


def _redacted(value: Json, key: str, *, hide: bool = False) -> Json:
    hide = hide or bool(_SECRET_NAME.search(key))
    if isinstance(value, Mapping):
        named = str(value.get("name", "")) if "value" in value else ""
        return {
            inner: _redacted(part, inner, hide=hide or (inner == "value" and bool(_SECRET_NAME.search(named))))
            for inner, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(part, "", hide=hide) for part in value]
    if isinstance(value, str) and value:
        return _text(value, key, hide=hide)
    return checksum(value) if hide and isinstance(value, int | float) and not isinstance(value, bool) else value


def _text(value: str, key: str, *, hide: bool) -> Json:
    if hide or key == _LAST_APPLIED or _DOCUMENT_NAME.search(key) or _SECRET_TEXT.search(value):
        return checksum(value)
    if value.lstrip()[:1] in ("{", "["):
        try:
            return json.dumps(_redacted(json.loads(value), ""), sort_keys=True)
        except ValueError:
            return checksum(value)
    return value if len(value) <= LONGEST_TEXT else checksum(value)
