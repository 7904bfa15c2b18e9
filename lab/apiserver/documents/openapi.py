"""The OpenAPI v3 documents: what `kubectl explain` shows, and by which kubectl leaves validation to the server.

Built-in kinds have the fields and types of `fields.json`, without Kubernetes' texts about them; custom resources the
schema of their definition. Refuses OpenAPI v2, but for a document that says nothing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import orjson

from lab.apiserver.catalog import Catalog, Definition
from lab.apiserver.documents.discovery import is_group, served_versions
from lab.objects import Object
from lab.resources import Resource

V2_PROTOBUF = b"\n\x032.0"
"""An OpenAPI v2 document that says nothing but its version: gnostic's Document with field 1 set."""

_TABLE = Path(__file__).parents[1] / "ownership" / "fields.json"
_REFERENCE = "#/components/schemas/"
_SCALARS: dict[str, Object] = {
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "format": "byte"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "Time": {"type": "string", "format": "date-time"},
}
_NAMED: dict[str, Object] = {
    "api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "util.intstr.IntOrString": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
"""Scalars that have a name of their own, which `kubectl explain` shows."""
_NAMES = {name.rpartition(".")[2]: name for name in _NAMED}
_WRITE_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]


def index(catalog: Catalog) -> Object:
    """Return the answer to /openapi/v3."""
    paths = {}
    for name, versions in served_versions(catalog).items():
        for version in versions:
            path = f"apis/{name}/{version}" if name else f"api/{version}"
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={catalog.revision}"}
    return {"paths": paths}


def document_of(catalog: Catalog, group: str, version: str) -> Object | None:
    """Return the OpenAPI v3 document of a group and version, None if it is not served."""
    if not is_group(catalog, group) or version not in served_versions(catalog)[group]:
        return None
    served = [d for d in catalog if (d.resource.group, d.resource.version) == (group, version)]
    schemas: Object = {}
    for definition in served:
        name, schema = _schema_of(definition)
        schemas[name] = {**schema, "x-kubernetes-group-version-kind": [_kind_of(definition.resource)]}
    for name in _referred(schemas):
        schemas[name] = _structs()[name]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1"},
        "paths": {path: item for definition in served for path, item in _paths_of(definition.resource).items()},
        "components": {"schemas": schemas},
    }


def _kind_of(resource: Resource) -> Object:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _paths_of(resource: Resource) -> Object:
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    path = f"{base}{'/namespaces/{namespace}' if resource.namespaced else ''}/{resource.plural}"

    def operation(action: str, *parameters: Object) -> Object:
        return {
            "operationId": f"{action}{resource.kind}",
            "parameters": list(parameters),
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _kind_of(resource),
        }

    return {
        path: {"get": operation("list"), "post": operation("post", *_WRITE_PARAMETERS)},
        f"{path}/{{name}}": {
            "get": operation("get"),
            "put": operation("put", *_WRITE_PARAMETERS),
            "patch": operation("patch", *_WRITE_PARAMETERS),
            "delete": operation("delete"),
        },
    }


def _schema_of(definition: Definition) -> tuple[str, Object]:
    resource = definition.resource
    if resource.custom:
        schema = {"type": "object", **definition.schema}
        properties = {name: {"type": "string"} for name in ("apiVersion", "kind")}
        properties |= schema.get("properties") or {}
        properties["metadata"] = _referring("meta.v1.ObjectMeta")
        name = f"{'.'.join(reversed(resource.group.split('.')))}.{resource.version}.{resource.kind}"
        return name, {**schema, "properties": properties}
    name = _table()["kinds"].get(f"{resource.group}/{resource.version}/{resource.kind}", "")
    return name or f"{resource.version}.{resource.kind}", _structs().get(name, {"type": "object"})


def _referred(schemas: Object) -> list[str]:
    """Return the structs that schemas refer to, and those that these refer to."""
    found: list[str] = []
    waiting = list(schemas.values())
    while waiting:
        for name in _references(waiting.pop()):
            if name not in schemas and name not in found:
                found.append(name)
                waiting.append(_structs()[name])
    return found


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    own = value.get("$ref")
    if isinstance(own, str) and own.startswith(_REFERENCE):
        return [own.removeprefix(_REFERENCE)]
    return [name for item in value.values() for name in _references(item)]


@cache
def _table() -> dict[str, dict[str, Any]]:
    return dict(orjson.loads(_TABLE.read_bytes()))


@cache
def _structs() -> Object:
    """Return the schemas of all structs by name."""
    found = dict(_NAMED)
    for name, fields in _table()["structs"].items():
        properties = {field: _typed(text) for field, text in fields.items() if field}
        found[name] = {"type": "object", "properties": properties}
    return found


def _typed(text: str) -> Object:
    text = text.rstrip("!")
    if text[0] == "[":
        return {"type": "array", "items": _typed(text[1:].rpartition("]")[0])}
    if text[0] == "{":
        return {"type": "object", "additionalProperties": _typed(text[1:-1])}
    if text == "any":
        return {"x-kubernetes-preserve-unknown-fields": True}
    return dict(_SCALARS[text]) if text in _SCALARS else _referring(_NAMES.get(text, text))


def _referring(name: str) -> Object:
    return {"allOf": [{"$ref": f"{_REFERENCE}{name}"}]}
