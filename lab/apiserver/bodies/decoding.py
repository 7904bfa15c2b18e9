"""Checks what HTTP clients send against `types` and `shaped`, as kube-apiserver's decoder and validation would.

Refuses to look at custom resources beyond their metadata: their schemas do. The lab's own controllers are trusted.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.bodies.shaped import json_name, wrong_type
from lab.apiserver.bodies.types import ENUMERATIONS, STRUCTS
from lab.apiserver.problems import Violation, bad_request, invalid
from lab.errors import ApiError
from lab.objects import Object
from lab.resources import Resource

_INTEGERS = {"int32": 31, "int64": 63, "count": 31}
_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "bool": (bool,),
    "int32": (int,),
    "int64": (int,),
    "count": (int,),
    "IntOrString": (int, str),
    "Quantity": (int, float, str),
    **dict.fromkeys(ENUMERATIONS, (str,)),
}
_ZEROS: dict[str, Any] = {"bool": False, "int32": 0, "int64": 0, "count": 0, "IntOrString": 0, "Quantity": "0"}
_GO_NAMES = {"count": "int32", "IntOrString": "intstr.IntOrString", "Quantity": "resource.Quantity"}
_KNOWN = {name: {field: kind.rstrip("!") for field, kind in fields.items()} for name, fields in STRUCTS.items()}
_REQUIRED = {
    name: tuple(field for field, kind in fields.items() if kind.endswith("!")) for name, fields in STRUCTS.items()
}


def decoded(resource: Resource, body: Object, *, held: Object | None = None) -> Object:
    """Return an object with `null` fields left out and its spec and status there; 400 or 422 if a field is amiss.

    What is the `held` object's own is not looked at again. Untouched parts are shared with the body.
    """
    kind = resource.kind if not resource.custom and resource.kind in STRUCTS else "AnyKind"
    reading = _Reading(resource.kind, resource.version)
    found = reading.struct(kind, body, "", held=held)
    if not resource.custom and (complaint := wrong_type(resource, body, held=held)):
        raise WrongType(resource.kind, resource.version, complaint)
    if reading.violations:
        metadata = found.get("metadata") or (held or {}).get("metadata") or {}
        raise invalid(resource, metadata.get("name", ""), reading.violations)
    missing: Object = {part: {} for part in ("spec", "status") if part in _KNOWN[kind] and part not in found}
    return {**found, **missing} if missing else found


def decoded_message(kind: str, body: Object, *, version: str = "v1") -> Object:
    """Return a body that is not stored, as DeleteOptions, with `null` fields left out; 400 if a field is amiss."""
    reading = _Reading(kind, version)
    found = reading.struct(kind, body, "")
    if reading.violations:
        first = reading.violations[0]
        raise bad_request(f"{kind} is invalid: {first.field}: {first.message}")
    return found


class WrongType(ApiError):
    """A field has another JSON type than it must have. `detail` is the decoder's own complaint."""

    def __init__(self, kind: str, version: str, detail: str) -> None:
        super().__init__(400, f'{kind} in version "{version}" cannot be handled as a {kind}: {detail}')
        self.detail = detail


class _Reading:
    """One walk through a body. Raises at the first wrong type, and collects what is wrong otherwise."""

    def __init__(self, kind: str, version: str) -> None:
        self._kind = kind
        self._version = version
        self.violations: list[Violation] = []

    def struct(self, name: str, value: Object, path: str, *, held: Object | None = None) -> Object:
        """Return a struct, the same if it has no null in it."""
        known = _KNOWN[name]
        replaced: Object = {}
        for field, item in value.items():
            kind = known.get(field)
            if kind is None or (held is not None and item is held.get(field)):
                continue
            read = None if item is None else self._value(kind, item, name, f"{path}.{field}")
            if read is not item or item is None:
                replaced[field] = read
        found = value
        if replaced:
            found = {key: item for key, item in {**value, **replaced}.items() if key not in known or item is not None}
        for field in _REQUIRED[name]:
            if not found.get(field):
                self.violations.append(Violation.required(f"{path}.{field}"[1:]))
        return found

    def _value(self, kind: str, value: Any, owner: str, path: str) -> Any:
        types = _SCALARS.get(kind)
        if types is not None:
            self._check_scalar(kind, types, value, owner, path)
            return value
        if kind[0] == "[":
            if type(value) is not list:
                raise self._mismatch(kind, value, owner, path)
            read = [self._item(kind[1:-1], item, owner, f"{path}[{i}]") for i, item in enumerate(value)]
            return value if all(a is b for a, b in zip(read, value, strict=True)) else read
        if type(value) is not dict:
            raise self._mismatch(kind, value, owner, path)
        if kind[0] == "{":
            entries = {key: self._item(kind[1:-1], item, owner, path) for key, item in value.items()}
            return value if all(entries[key] is item for key, item in value.items()) else entries
        return self.struct(kind, value, path)

    def _item(self, kind: str, value: Any, owner: str, path: str) -> Any:
        """Return an element; null stands for the zero value of its type, as in Go."""
        if value is None:
            value = _ZEROS.get(kind, "" if kind in _SCALARS else {})
        return self._value(kind, value, owner, path)

    def _check_scalar(self, kind: str, types: tuple[type, ...], value: Any, owner: str, path: str) -> None:
        bits = _INTEGERS.get(kind)
        if type(value) not in types or (bits is not None and not -(1 << bits) <= value < 1 << bits):
            raise self._mismatch(kind, value, owner, path)
        if kind == "count" and value < 0:
            detail = "must be greater than or equal to 0"
            self.violations.append(Violation.invalid(path[1:], value, detail))
        elif kind == "IntOrString":
            self._check_percentage(value, path)
        elif kind in ENUMERATIONS and value not in ENUMERATIONS[kind]:
            self.violations.append(Violation.unsupported(path[1:], value, ENUMERATIONS[kind]))

    def _check_percentage(self, value: int | str, path: str) -> None:
        if path.endswith(".targetPort"):
            return
        if isinstance(value, int) and value < 0:
            self.violations.append(Violation.invalid(path[1:], value, "must be greater than or equal to 0"))
        elif isinstance(value, str) and not (value[-1:] == "%" and value[:-1].isdecimal()):
            detail = "a valid percent string must be a numeric string followed by an ending '%'"
            self.violations.append(Violation.invalid(path[1:], value, detail))

    def _mismatch(self, kind: str, value: Any, owner: str, path: str) -> Exception:
        sent = json_name(value)
        if sent == "number" and any(held is int for held in _SCALARS.get(kind, ())):
            sent = f"number {value}"
        field = f"{owner}{_without_indexes(path)}"
        detail = f"json: cannot unmarshal {sent} into Go struct field {field} of type {_go_name(kind)}"
        if self._kind == "DeleteOptions":  # they are read by a decoder of their own (apiserver v0.35, delete.go)
            return bad_request(detail)
        return WrongType(self._kind, self._version, detail)


def _without_indexes(path: str) -> str:
    return ".".join(step.partition("[")[0] for step in path.split("."))


def _go_name(kind: str) -> str:
    if kind[0] == "[":
        return f"[]{_go_name(kind[1:-1])}"
    if kind[0] == "{":
        return f"map[string]{_go_name(kind[1:-1])}"
    if kind in ENUMERATIONS:
        return "string"
    return _GO_NAMES.get(kind, kind if kind in _SCALARS else f"v1.{kind}")
