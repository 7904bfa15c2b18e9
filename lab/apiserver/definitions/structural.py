"""What keeps a schema of a CustomResourceDefinition from being structural, in the words of apiextensions-apiserver.

Source: pkg/apiserver/schema/validation.go and pkg/apis/apiextensions/validation of Kubernetes v1.35. Refuses to look at
rules in CEL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lab.apiserver.definitions.schema import PRESERVE, Schema, prune
from lab.apiserver.definitions.schema_validation import INT_OR_STRING, schema_violations
from lab.apiserver.patches.merge import copied
from lab.apiserver.problems import Violation

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_ONLY_OUTSIDE = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    PRESERVE: "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
}
"""What may not stand in allOf, anyOf, oneOf and not: there are only values to be checked."""
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_OF_LEVEL = {
    "root": "at the root",
    "items": "for specified array items",
    "field": "for specified object fields",
}


def structural_violations(schema: Schema, path: str) -> list[Violation]:
    """Return what is wrong with the schema of a version."""
    found = list(_of_node(schema, path, "root"))
    return found or list(_of_defaults(schema, path))


def _of_node(schema: Schema, path: str, level: str) -> Iterator[Violation]:
    yield from _of_type(schema, path, level)
    if schema.get("type") == "array" and "items" not in schema:
        yield Violation.required(f"{path}.items", "must be specified")
    if "additionalProperties" in schema:
        if level == "root":
            yield Violation.forbidden(f"{path}.additionalProperties", "must not be used at the root")
        elif schema.get("properties"):
            detail = "additionalProperties and properties are mutual exclusive"
            yield Violation.forbidden(f"{path}.additionalProperties", detail)
    yield from _of_values(schema, path)
    for name, inner in (schema.get("properties") or {}).items():
        if level == "root" and name == "metadata":
            yield from _of_metadata(inner, f"{path}.properties[metadata]")
        else:
            yield from _of_node(inner, f"{path}.properties[{name}]", "field")
    if isinstance(schema.get("items"), dict):
        yield from _of_node(schema["items"], f"{path}.items", "items")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _of_node(schema["additionalProperties"], f"{path}.additionalProperties", "field")


def _of_type(schema: Schema, path: str, level: str) -> Iterator[Violation]:
    kind = schema.get("type")
    if kind and kind not in _TYPES:
        yield Violation.unsupported(f"{path}.type", kind, _TYPES)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield Violation.required(f"{path}.type", f"must not be empty {_OF_LEVEL[level]}")
    elif level == "root" and kind and kind != "object":
        yield Violation.invalid(f"{path}.type", kind, "must be object at the root")


def _of_metadata(schema: Schema, path: str) -> Iterator[Violation]:
    properties = set(schema.get("properties") or ())
    rest = set(schema) - {"type", "properties", "description"}
    if schema.get("type") != "object":
        yield Violation.invalid(f"{path}.type", schema.get("type", ""), "must be object")
    if rest or not properties <= {"name", "generateName"}:
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield Violation.forbidden(path, detail)


def _of_values(schema: Schema, path: str) -> Iterator[Violation]:
    """Yield what is wrong with the checks of values in a schema, those inside of allOf, anyOf, oneOf and not too."""
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield Violation.forbidden(f"{path}.uniqueItems", detail)
    if "$ref" in schema:
        yield Violation.forbidden(f"{path}.$ref", "$ref is not supported")
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            detail = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            yield Violation.invalid(f"{path}.pattern", schema["pattern"], detail)
    for junctor in _JUNCTORS:
        if junctor == "anyOf" and schema.get(INT_OR_STRING) and schema.get(junctor) == _INT_OR_STRING:
            continue
        for i, nested in enumerate(schema.get(junctor) or ()):
            yield from _of_nested(nested, f"{path}.{junctor}[{i}]")
    if "not" in schema:
        yield from _of_nested(schema["not"], f"{path}.not")


def _of_nested(schema: Schema, path: str) -> Iterator[Violation]:
    yield from _of_values(schema, path)
    for name, detail in _ONLY_OUTSIDE.items():
        if schema.get(name) not in (None, "", False):
            yield Violation.forbidden(f"{path}.{name}", detail)
    for name, inner in (schema.get("properties") or {}).items():
        yield from _of_nested(inner, f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        yield from _of_nested(schema["items"], f"{path}.items")


def _of_defaults(schema: Schema, path: str) -> Iterator[Violation]:
    if schema.get("default") is not None:
        yield from _of_default(schema["default"], schema, f"{path}.default")
    for name, inner in (schema.get("properties") or {}).items():
        yield from _of_defaults(inner, f"{path}.properties[{name}]")
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from _of_defaults(schema[part], f"{path}.{part}")


def _of_default(value: Any, schema: Schema, path: str) -> Iterator[Violation]:
    pruned = copied(value)
    prune(pruned, schema)
    if pruned != value:
        yield Violation.invalid(path, value, "must not have unknown fields")
        return
    for found in schema_violations(value, schema):
        yield Violation(found.reason, path if found.field == "<nil>" else f"{path}.{found.field}", found.message)
