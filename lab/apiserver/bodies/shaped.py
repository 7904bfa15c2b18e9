"""Checks every field of a built-in kind against the type that Kubernetes gives it, as kube-apiserver's decoder does.

`types` knows more about the fields that the lab reads; this knows all of them, and nothing but their types.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from lab.apiserver.ownership.shapes import kind_shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.apiserver.ownership.shapes import Shape
    from lab.objects import Object
    from lab.resources import Resource

DEEPEST = 100
"""Levels of an object; deeper ones are refused long before kube-apiserver would (10,000, encoding/json)."""


def wrong_type(resource: Resource, body: Object, *, held: Object | None = None) -> str | None:
    """Return the decoder's complaint about the first field of another type than it must have; None if there is none.

    What is the `held` object's own is not looked at again.
    """
    shape = kind_shape(f"{resource.group}/{resource.version}/{resource.kind}")
    try:
        for name, value in body.items():
            if held is None or value is not held.get(name):
                _check(shape.of(name), value, f"{resource.kind}.{name}", 0)
    except _Mismatch as mismatch:
        return str(mismatch)
    return None


def json_name(value: Any) -> str:
    """Return what Go's decoder calls a JSON value."""
    return next((name for held, name in _JSON_NAMES if isinstance(value, held)), "string")


class _Mismatch(Exception):
    """A value that its field can't hold."""


def _check(shape: Shape | None, value: Any, path: str, depth: int) -> None:
    if shape is None or value is None:
        return
    if depth > DEEPEST:
        raise _Mismatch("json: exceeded max depth")
    if shape.kind in ("struct", "map"):
        _require(isinstance(value, dict), value, path, "object")
        for name, item in value.items():
            _check(shape.of(name), item, f"{path}.{name}", depth + 1)
    elif shape.kind == "list":
        _require(isinstance(value, list), value, path, "array")
        for item in value:
            _check(shape.item, item, path, depth + 1)
    elif shape.kind == "Time":
        _require(isinstance(value, str), value, path, "v1.Time")
        _check_time(value, path)
    elif shape.kind in _FITS:
        _require(_FITS[shape.kind](value), value, path, _GO_NAMES.get(shape.kind, shape.kind))


def _require(fits: object, value: Any, path: str, kind: str) -> None:
    if not fits:
        raise _Mismatch(f"json: cannot unmarshal {json_name(value)} into Go struct field {path} of type {kind}")


def _is_integer(value: Any, bits: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << bits - 1) <= value < 1 << bits - 1


def _check_time(value: str, path: str) -> None:
    if path.rpartition(".")[2] in _MICRO_TIMES:
        return
    try:
        fits = datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        fits = False
    if not fits:
        raise _Mismatch(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}" as "2006"')


_FITS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "bytes": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int32": lambda value: _is_integer(value, 32),
    "int64": lambda value: _is_integer(value, 64),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "IntOrString": lambda value: isinstance(value, str) or _is_integer(value, 32),
    "Quantity": lambda value: isinstance(value, (str, int, float)) and not isinstance(value, bool),
}
_MICRO_TIMES = ("acquireTime", "eventTime", "renewTime")
"""Fields of type MicroTime, which `small_kinds` reads."""
_GO_NAMES = {
    "Quantity": "resource.Quantity",
    "IntOrString": "intstr.IntOrString",
    "bytes": "[]uint8",
}
_JSON_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (dict, "object"),
    (list, "array"),
    (str, "string"),
    (int, "number"),
    (float, "number"),
)
