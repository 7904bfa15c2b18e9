"""Which values of a custom object are not as its structural schema demands, in the words of kube-apiserver.

Follows kube-openapi's pkg/validation as apiextensions-apiserver of Kubernetes v1.35 uses it, with ratcheting: what
is as it was before is not looked at again. Rules in CEL are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from lab.apiserver.definitions.formats import is_of_format
from lab.apiserver.definitions.schema import Schema
from lab.apiserver.problems import Violation, shown

INT_OR_STRING = "x-kubernetes-int-or-string"
_ABSENT: Any = object()
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def schema_violations(value: Any, schema: Schema, path: str = "", *, old: Any = None) -> list[Violation]:
    """Return what of a value is not as the schema demands and was not so in `old`, the value before."""
    return list(_violations(value, schema, path, _ABSENT if old is None else old))


def type_violations(value: Any, schema: Schema) -> list[Violation]:
    """Return the fields of a value that are of other JSON types than its schema's."""
    return [v for v in _violations(value, schema, "", _ABSENT) if v.reason == "FieldValueTypeInvalid"]


def _violations(value: Any, schema: Schema, path: str, old: Any) -> Iterator[Violation]:
    if old is not _ABSENT and old == value and type(old) is type(value):
        return
    if value is None:
        if not schema.get("nullable") and (schema.get("type") or schema.get(INT_OR_STRING)):
            yield _wrong_type(value, schema, path)
        return
    if _has_wrong_type(value, schema):
        yield _wrong_type(value, schema, path)
    yield from _combined(value, schema, path)
    if isinstance(value, str):
        yield from _of_string(value, schema, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _of_number(value, schema, path)
    elif isinstance(value, list):
        yield from _of_list(value, schema, path)
    if "enum" in schema and value not in schema["enum"]:
        yield _unsupported(path, value, schema["enum"])
    if isinstance(value, dict):
        yield from _of_object(value, schema, path, old)


def _of_string(value: str, schema: Schema, path: str) -> Iterator[Violation]:
    """Yield the first of a string's violations, and whether it is of another format."""
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield Violation.too_long(path, schema["maxLength"])
    elif len(value) < schema.get("minLength", 0):
        yield _refused(path, value, f"should be at least {schema['minLength']} chars long")
    elif "pattern" in schema and not _compiled(schema["pattern"]).search(value):
        yield _refused(path, value, f"should match '{schema['pattern']}'")
    if "format" in schema and not is_of_format(value, schema["format"]):
        detail = f'{path} in body must be of type {schema["format"]}: "{value}"'
        yield Violation.wrong_type(path, value, detail)


def _of_number(value: float, schema: Schema, path: str) -> Iterator[Violation]:
    factor = schema.get("multipleOf")
    if factor and abs(value / factor - round(value / factor)) > 1e-9:
        yield _refused(path, value, f"should be a multiple of {factor}")
    most, least = schema.get("maximum"), schema.get("minimum")
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        relation = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield _refused(path, value, f"should be {relation} {most}")
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        relation = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield _refused(path, value, f"should be {relation} {least}")


def _of_list(value: list[Any], schema: Schema, path: str) -> Iterator[Violation]:
    items = schema.get("items")
    if isinstance(items, dict):
        for i, item in enumerate(value):
            yield from _violations(item, items, f"{path}[{i}]", _ABSENT)
    if len(value) < schema.get("minItems", 0):
        yield _refused(path, len(value), f"should have at least {schema['minItems']} items")
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield Violation.too_many(path, len(value), schema["maxItems"])
    yield from _duplicates(value, schema, path)


def _duplicates(value: list[Any], schema: Schema, path: str) -> Iterator[Violation]:
    kind, seen = schema.get("x-kubernetes-list-type"), []
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if kind not in ("set", "map"):
        return
    for i, item in enumerate(value):
        if kind == "map" and not isinstance(item, dict):
            yield Violation.invalid(f"{path}[{i}]", item, "must be an object for an array of list-type map")
            continue
        identity = {key: item[key] for key in keys if key in item} if kind == "map" else item
        if identity in seen:
            yield Violation("FieldValueDuplicate", f"{path}[{i}]", f"Duplicate value: {shown(identity)}")
        seen.append(identity)


def _of_object(value: dict[str, Any], schema: Schema, path: str, old: Any) -> Iterator[Violation]:
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        yield Violation.too_many(path, len(value), schema["maxProperties"])
    if len(value) < schema.get("minProperties", 0):
        yield _refused(path, len(value), f"should have at least {schema['minProperties']} properties")
    yield from (Violation.required(_join(path, name)) for name in schema.get("required") or () if name not in value)
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    before = old if isinstance(old, dict) else {}
    for name, item in sorted(value.items()):
        inner = properties.get(name, extra)
        # The root's metadata is checked by itself, whatever its schema says.
        if isinstance(inner, dict) and (path or name != "metadata"):
            yield from _violations(item, inner, _join(path, name), before.get(name, _ABSENT))


def _combined(value: Any, schema: Schema, path: str) -> Iterator[Violation]:
    """Yield what allOf, anyOf, oneOf and not refuse; their complaints name no field."""
    if "anyOf" in schema and not _is_int_or_string(schema):
        failures = _failures(value, schema["anyOf"], path)
        if all(failures):
            yield _nameless(f'"{path}" must validate at least one schema (anyOf)')
            yield from failures[0]
    if "oneOf" in schema:
        failures = _failures(value, schema["oneOf"], path)
        valid = sum(not found for found in failures)
        if valid != 1:
            outcome = f"Found {valid} valid alternatives" if valid else "Found none valid"
            yield _nameless(f'"{path}" must validate one and only one schema (oneOf). {outcome}')
            yield from () if valid else failures[0]
    if any(failures := _failures(value, schema.get("allOf") or (), path)):
        yield from (violation for found in failures for violation in found)
        yield _nameless(f'"{path}" must validate all the schemas (allOf)')
    if "not" in schema and not list(_violations(value, schema["not"], path, _ABSENT)):
        yield _nameless(f'"{path}" must not validate the schema (not)')


def _failures(value: Any, schemas: Any, path: str) -> list[list[Violation]]:
    return [list(_violations(value, schema, path, _ABSENT)) for schema in schemas]


def _is_int_or_string(schema: Schema) -> bool:
    return bool(schema.get(INT_OR_STRING)) and schema["anyOf"] == [{"type": "integer"}, {"type": "string"}]


def _has_wrong_type(value: Any, schema: Schema) -> bool:
    if schema.get(INT_OR_STRING):
        return isinstance(value, bool) or not isinstance(value, (int, str))
    wanted = _TYPES.get(schema.get("type", ""))
    if wanted is None or (wanted == (int,) and isinstance(value, float) and value.is_integer() and abs(value) < 2**53):
        return False
    return not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)


def _wrong_type(value: Any, schema: Schema, path: str) -> Violation:
    wanted = "integer,string" if schema.get(INT_OR_STRING) else schema["type"]
    detail = f'{path} in body must be of type {wanted}: "{_type_name(value)}"'
    return Violation.wrong_type(path or "<nil>", _type_name(value), detail)


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return (
        "integer"
        if isinstance(value, int)
        else next(name for name, types in _TYPES.items() if isinstance(value, types))
    )


def _refused(path: str, value: object, rule: str) -> Violation:
    return Violation.invalid(path, value, f"{path} in body {rule}")


def _nameless(complaint: str) -> Violation:
    return Violation.invalid("<nil>", "", complaint)


def _unsupported(path: str, value: Any, allowed: list[Any]) -> Violation:
    texts = [item if isinstance(item, str) else shown(item) for item in allowed]
    return Violation.unsupported(path, value, texts)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
