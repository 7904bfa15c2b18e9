"""The part of OpenAPI v3 schemas of CustomResourceDefinitions that the lab enforces: defaults, required, enum, types.

Refuses to prune: unknown fields are kept, as with x-kubernetes-preserve-unknown-fields. Patterns, formats and CEL rules
are not looked at.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.patch import copied
from lab.apiserver.problems import Violation

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def apply_defaults(value: Any, schema: dict[str, Any]) -> None:
    """Fill in the schema's defaults, in place, in every object that is there."""
    if isinstance(value, dict):
        for name, property_schema in (schema.get("properties") or {}).items():
            if name not in value and "default" in property_schema:
                value[name] = copied(property_schema["default"])
            if name in value:
                apply_defaults(value[name], property_schema)
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            for item in value.values():
                apply_defaults(item, extra)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            apply_defaults(item, schema["items"])


def schema_violations(value: Any, schema: dict[str, Any], path: str = "") -> list[Violation]:
    """Return what in a value is not as the schema demands, in the words of apiextensions-apiserver."""
    if value is None:
        return [] if schema.get("nullable") else [_wrong_type(value, schema, path)] if schema.get("type") else []
    if _has_wrong_type(value, schema):
        return [_wrong_type(value, schema, path)]
    found: list[Violation] = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(Violation.unsupported(path, value, schema["enum"]))
    if isinstance(value, dict):
        found += _object_violations(value, schema, path)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for i, item in enumerate(value):
            found += schema_violations(item, schema["items"], f"{path}[{i}]")
    return found


def _object_violations(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[Violation]:
    found = [Violation.required(_join(path, name)) for name in schema.get("required") or () if name not in value]
    properties = schema.get("properties") or {}
    extra = schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties and not (path == "" and name == "metadata"):
            found += schema_violations(item, properties[name], _join(path, name))
        elif isinstance(extra, dict):
            found += schema_violations(item, extra, _join(path, name))
    return found


def _has_wrong_type(value: Any, schema: dict[str, Any]) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return not isinstance(value, (int, str)) or isinstance(value, bool)
    wanted = _TYPES.get(schema.get("type", ""))
    if wanted is None:
        return False
    return not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)


def _wrong_type(value: Any, schema: dict[str, Any], path: str) -> Violation:
    wanted = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema["type"]
    detail = f'{path or "<root>"} in body must be of type {wanted}: "{_type_name(value)}"'
    return Violation.wrong_type(path or "<nil>", _type_name(value), detail)


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return next(name for name, types in _TYPES.items() if isinstance(value, types))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
