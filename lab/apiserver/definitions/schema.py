"""What a structural schema makes of a custom object: unknown fields dropped, nulls gone, defaults filled in.

Follows pruning and defaulting of apiextensions-apiserver (pkg/apiserver/schema of Kubernetes v1.35). Refuses to judge
values: `schema_validation` does.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.patches.merge import copied

Schema = dict[str, Any]

METADATA = frozenset({"apiVersion", "kind", "metadata"})
"""Fields that every object has, whatever its schema says."""
PRESERVE = "x-kubernetes-preserve-unknown-fields"


def shape(found: dict[str, Any], schema: Schema) -> None:
    """Leave an object, in place, as its schema wants it: without null and unknown fields, and with defaults."""
    if not schema.get("properties") and schema.get(PRESERVE):
        return
    drop_nulls(found, schema)
    apply_defaults(found, schema)
    prune(found, schema, root=True)


def prune(value: Any, schema: Schema | None, *, root: bool = False) -> None:
    """Drop, in place, the fields that the schema does not know."""
    if isinstance(value, dict):
        keeps = schema is not None and schema.get(PRESERVE)
        for name in list(value):
            if _is_metadata(name, schema, root=root):
                continue
            known, inner = _of_field(schema, name)
            if known:
                prune(value[name], inner)
            elif not keeps:
                del value[name]
    elif isinstance(value, list):
        if schema is not None and schema.get(PRESERVE) and "items" not in schema:
            return
        for item in value:
            prune(item, (schema or {}).get("items"))


def drop_nulls(value: Any, schema: Schema) -> None:
    """Drop, in place, the nulls of fields that may not be null and have no default."""
    if isinstance(value, dict):
        for name in list(value):
            known, inner = _of_field(schema, name)
            if not known or inner is None:
                continue
            if value[name] is None and not inner.get("nullable") and inner.get("default") is None:
                del value[name]
            else:
                drop_nulls(value[name], inner)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            drop_nulls(item, schema["items"])


def apply_defaults(value: Any, schema: Schema) -> None:
    """Fill in the schema's defaults, in place, in every object that is there, also for nulls that may not be."""
    if isinstance(value, dict):
        for name, inner in (schema.get("properties") or {}).items():
            if inner.get("default") is not None and (name not in value or _is_wrong_null(value[name], inner)):
                value[name] = copied(inner["default"])
        for name in value:
            known, found = _of_field(schema, name)
            if known and found is not None:
                value[name] = _with_default(value[name], found)
                apply_defaults(value[name], found)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for i, item in enumerate(value):
            value[i] = _with_default(item, schema["items"])
            apply_defaults(value[i], schema["items"])


def _with_default(value: Any, schema: Schema) -> Any:
    return copied(schema.get("default")) if _is_wrong_null(value, schema) else value


def _is_wrong_null(value: Any, schema: Schema) -> bool:
    return value is None and not schema.get("nullable")


def _of_field(schema: Schema | None, name: str) -> tuple[bool, Schema | None]:
    """Return whether a schema knows a field, and the field's own schema unless it may be anything."""
    if schema is None:
        return False, None
    properties = schema.get("properties") or {}
    if name in properties:
        return True, properties[name]
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        return True, extra
    # `additionalProperties: true` knows every field, and nothing below it.
    return extra is True, None


def _is_metadata(name: str, schema: Schema | None, *, root: bool) -> bool:
    return name in METADATA and (root or bool(schema and schema.get("x-kubernetes-embedded-resource")))
