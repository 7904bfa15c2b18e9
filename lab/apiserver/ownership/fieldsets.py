"""Sets of fields: which an object has, how two objects differ, and objects merged, or without some of their fields.

A set holds paths of steps as fieldsV1 writes them: `f:name` for a field, `k:{...}` and `v:...` for elements of lists.
The rules are those of structured-merge-diff v6 (typed/). Refuses to know who owns what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from lab.apiserver.ownership.shapes import ANY, Shape, identity
from lab.objects import Object

Path = tuple[str, ...]
FieldSet = frozenset[Path]
_PART = object()
"""Stands for an element of a list or map that is there, whatever is in it."""


def field_set(value: Any, shape: Shape) -> FieldSet:
    """Return the fields that a value has."""
    return frozenset(_leaves(value, shape))


def differences(old: Any, new: Any, shape: Shape) -> tuple[FieldSet, FieldSet]:
    """Return the fields that are new or have changed, and those that are gone; those that hold others count too."""
    before, after = _leaves(old, shape), _leaves(new, shape)
    held_before, held_after = with_prefixes(before), with_prefixes(after)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    return frozenset(changed | (held_after - held_before)), frozenset(held_before - held_after)


def with_prefixes(paths: Iterable[Path]) -> set[Path]:
    """Return the paths together with all that lead to them."""
    return {path[:end] for path in paths for end in range(1, len(path) + 1)}


def merged(live: Any, applied: Any, shape: Shape) -> Any:
    """Return the live value with the applied one in it; untouched parts are shared."""
    if shape.atomic or live is None:
        return applied
    if isinstance(live, dict) and isinstance(applied, dict):
        extra = {k: merged(live.get(k), item, shape.of(k) or ANY) for k, item in applied.items()}
        return {**live, **extra}
    if isinstance(live, list) and isinstance(applied, list) and shape.is_associative:
        return _merged_lists(live, applied, shape)
    return applied


def without(value: Any, shape: Shape, gone: set[Path], at: Path = ()) -> Any:
    """Return a value without the fields that are gone, as it is if none of them is in it."""
    if shape.atomic or not isinstance(value, (dict, list)) or not gone:
        return value
    if isinstance(value, dict):
        kept: Object = {}
        for name, item in value.items():
            path = (*at, f"f:{name}")
            if path in gone:
                continue
            left = without(item, shape.of(name) or ANY, gone, path)
            if left or not item:  # what has become empty is left out, as Go's omitempty does
                kept[name] = left
        return kept
    if not shape.is_associative:
        return value
    steps = [((*at, identity(shape, item)), item) for item in value]
    return [without(item, shape.item or ANY, gone, path) for path, item in steps if path not in gone]


def in_order(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield paths as structured-merge-diff lists them: at each step first what ends there, then what goes on."""
    nested: dict[str, list[Path]] = {}
    for path in sorted(paths):
        nested.setdefault(path[0], []).append(path[1:])
    yield from ((step,) for step, rest in nested.items() if () in rest)
    for step, rest in nested.items():
        yield from ((step, *inner) for inner in in_order(path for path in rest if path))


def dotted(path: Path) -> str:
    """Return a path as an error message shows it."""
    return "".join(map(_shown, path))


def encoded(paths: Iterable[Path]) -> Object:
    """Return a set as `fieldsV1`."""
    root: Object = {}
    members = set(paths)
    for path in sorted(members):
        here = root
        for end, step in enumerate(path, 1):
            if step not in here:
                here[step] = {}
            elif not here[step] and path[:end] in members and end < len(path):
                here[step]["."] = {}
            here = here[step]
    return root


def decoded_fields(fields: Object) -> FieldSet:
    """Return the set that a `fieldsV1` stands for."""
    return frozenset(_members(fields, ()))


def repeated(value: Any, shape: Shape, at: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the lists with elements of the same identity, with that identity."""
    if isinstance(value, dict) and not shape.atomic:
        for name, item in value.items():
            yield from repeated(item, shape.of(name) or ANY, (*at, f"f:{name}"))
    elif isinstance(value, list) and shape.is_associative:
        seen: set[str] = set()
        for item in value:
            key = identity(shape, item)
            if key in seen:
                yield at, key
            seen.add(key)
            yield from repeated(item, shape.item or ANY, (*at, key))


def _members(fields: Object, at: Path) -> Iterator[Path]:
    for step, inner in fields.items():
        if step == ".":
            yield at
        elif not inner:
            yield (*at, step)
        else:
            yield from _members(inner, (*at, step))


def _leaves(value: Any, shape: Shape, at: Path = ()) -> dict[Path, Any]:
    """Return the fields of a value with what they hold."""
    if shape.atomic or not isinstance(value, (dict, list)) or (isinstance(value, list) and not shape.is_associative):
        return {at: value} if at else {}
    found: dict[Path, Any] = {}
    if isinstance(value, list):
        for item in value:
            path = (*at, identity(shape, item))
            found |= _leaves(item, shape.item or ANY, path)
            found.setdefault(path, _PART)
        return found
    for name, item in value.items():
        path = (*at, f"f:{name}")
        found |= _leaves(item, shape.of(name) or ANY, path)
        if item == {}:
            found[path] = {}
        elif name not in shape.fields:
            found.setdefault(path, _PART)
    return found


def _merged_lists(live: list[Any], applied: list[Any], shape: Shape) -> list[Any]:
    """Merge element by element: the applied ones in their order, the others where they stood among the shared ones."""
    inner = shape.item or ANY
    held = {identity(shape, item): item for item in live}
    wanted = {identity(shape, item): item for item in applied}
    shared = [key for key in wanted if key in held]
    result: list[Any] = []
    left = iter(held)
    stop: str | None = None  # the live element up to which the others have been taken
    for key, item in wanted.items():
        if stop not in shared:
            stop = _take_others(left, held, wanted, shared, result)
        result.append(merged(held.get(key), item, inner))
        if key in shared:
            shared.remove(key)
    result += [held[key] for key in left if key not in wanted]
    return result


def _take_others(
    left: Iterator[str], held: dict[str, Any], wanted: dict[str, Any], shared: list[str], result: list[Any]
) -> str | None:
    """Take over the live elements that nobody applies, up to the next one that both sides have; return that one."""
    for key in left:
        if key not in wanted:
            result.append(held[key])
        elif shared and key == shared[0]:
            return key
    return None


def _shown(step: str) -> str:
    kind, _, text = step.partition(":")
    if kind == "f":
        return f".{text}"
    if kind == "v":
        return f"[={text}]"
    keys = ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in orjson.loads(text).items())
    return f"[{keys}]"
