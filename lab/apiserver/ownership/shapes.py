"""Which fields an object may have, and which of its lists and maps have parts that can be told apart.

Built-in kinds follow `fields.json`, which tools/kubernetes/fields.py writes from Kubernetes' own OpenAPI document;
custom ones the schema of their definition. Refuses to judge values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from lab.apiserver.catalog import Definition
from lab.objects import Object

_TABLE = Path(__file__).with_name("fields.json")
_KEY_DEFAULTS = {"protocol": "TCP"}
"""Defaults of fields that are keys of lists: the ports of containers and Services (k8s.io/api v0.35, +default)."""


@dataclass(slots=True, eq=False, repr=False)
class Shape:
    """The fields of one value. `kind` is struct, map, list, or the type of a scalar."""

    kind: str
    fields: dict[str, Shape] = field(default_factory=dict)
    item: Shape | None = None
    """What a map or a list holds; for a struct, what its unknown fields are if it may have any."""
    keys: tuple[str, ...] = ()
    """The fields by which elements of a list are told apart."""
    is_set: bool = False
    atomic: bool = False

    def of(self, name: str) -> Shape | None:
        """Return the shape of a field, None if there can't be such a field."""
        return self.fields.get(name) or self.item

    @property
    def is_associative(self) -> bool:
        """Whether this is a list with elements that have an identity."""
        return self.is_set or bool(self.keys)


ANY = Shape("any")
"""A value of no known shape: its maps have fields, its lists are of one piece (structured-merge-diff v6, schema)."""
ANY.item = ANY


def shape_of(definition: Definition) -> Shape:
    """Return the shape of a resource's objects."""
    resource = definition.resource
    if resource.custom:
        return _custom_shape(_Schema(definition.schema))
    return kind_shape(f"{resource.group}/{resource.version}/{resource.kind}")


@cache
def kind_shape(kind: str) -> Shape:
    """Return the shape of a built-in kind, named `group/version/Kind`; one that may be anything for an unknown one."""
    name = _table()["kinds"].get(kind)
    return _structs()[name] if name else ANY


def identity(shape: Shape, element: Any) -> str:
    """Return what tells an element of an associative list from its neighbours, as fieldsV1 writes it."""
    if shape.is_set or not isinstance(element, dict):
        return f"v:{orjson.dumps(element).decode()}"
    keys = {key: element.get(key, _KEY_DEFAULTS.get(key)) for key in shape.keys}
    found = {key: value for key, value in keys.items() if value is not None}
    return f"k:{orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()}"


def unknown_fields(value: Any, shape: Shape, path: str = "") -> list[str]:
    """Return the paths of the fields that a value can't have, in the value's order."""
    if isinstance(value, list):
        inner = shape.item or ANY
        return [found for i, item in enumerate(value) for found in unknown_fields(item, inner, f"{path}[{i}]")]
    if not isinstance(value, dict) or shape is ANY or shape.kind not in ("struct", "map"):
        return []
    found: list[str] = []
    for name, item in value.items():
        inside = shape.of(name)
        where = f"{path}.{name}" if path else name
        found += [where] if inside is None else unknown_fields(item, inside, where) if inside is not ANY else []
    return found


def without_unknown(value: Any, shape: Shape) -> Any:
    """Return a value without the fields that it can't have; untouched parts are shared."""
    if isinstance(value, list):
        return [without_unknown(item, shape.item or ANY) for item in value]
    if not isinstance(value, dict) or shape is ANY or shape.kind not in ("struct", "map"):
        return value
    return {
        name: without_unknown(item, inside) for name, item in value.items() if (inside := shape.of(name)) is not None
    }


@cache
def _table() -> dict[str, dict[str, Any]]:
    return dict(json.loads(_TABLE.read_text()))


@cache
def _structs() -> dict[str, Shape]:
    """Return the shapes of all structs by name; some have themselves inside."""
    table = _table()["structs"]
    found = {name: Shape("struct", atomic="" in fields) for name, fields in table.items()}
    for name, fields in table.items():
        found[name].fields = {key: _parsed(text, found) for key, text in fields.items() if key}
    return found


def _parsed(text: str, structs: dict[str, Shape]) -> Shape:
    if text[0] == "[":
        inner, _, merge = text[1:].rpartition("]")
        keys = tuple(merge[1:].split(",")) if merge.startswith("=") else ()
        return Shape("list", item=_parsed(inner, structs), keys=keys, is_set=merge == "set", atomic=not merge)
    atomic = text.endswith("!")
    text = text.rstrip("!")
    if text[0] == "{":
        return Shape("map", item=_parsed(text[1:-1], structs), atomic=atomic)
    if text in structs:
        whole = structs[text]
        return Shape("struct", fields=whole.fields, atomic=True) if atomic and not whole.atomic else whole
    return ANY if text == "any" else Shape(text)


class _Schema:
    """A schema as a key of a cache: the same one is the same key."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Schema) and self.schema is other.schema


@cache
def _custom_shape(schema: _Schema) -> Shape:
    """Return the shape of a custom kind; without a schema, only its metadata is known."""
    shape = _schema_shape(schema.schema) if schema.schema else Shape("struct", item=ANY)
    metadata = _structs()["meta.v1.ObjectMeta"]
    text = Shape("string")
    shape.fields = {**shape.fields, "apiVersion": text, "kind": text, "metadata": metadata}
    return shape


def _schema_shape(schema: Object) -> Shape:
    extra, items = schema.get("additionalProperties"), schema.get("items")
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or extra is True
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    if isinstance(items, dict):
        kind = schema.get("x-kubernetes-list-type", "atomic")
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if kind == "map" else ()
        return Shape("list", item=_schema_shape(items), keys=keys, is_set=kind == "set", atomic=kind == "atomic")
    if isinstance(extra, dict):
        return Shape("map", item=_schema_shape(extra), atomic=atomic)
    if "properties" in schema or schema.get("type") == "object":
        if schema.get("x-kubernetes-embedded-resource"):
            return ANY
        fields = {name: _schema_shape(inner) for name, inner in (schema.get("properties") or {}).items()}
        return Shape("struct", fields=fields, item=ANY if open_ended else None, atomic=atomic)
    return ANY if open_ended else Shape(schema.get("type", "any"))
