"""Writes down which fields the built-in kinds have, from the OpenAPI document of the pinned k8s.io/kubernetes.

Refuses to copy descriptions: names, types and how lists merge are all that the lab reads.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from lab.resources import BUILT_IN  # noqa: E402 - the project is not installed where tools run

TARGET = ROOT / "lab" / "apiserver" / "ownership" / "fields.json"
MODULE = "k8s.io/kubernetes"
EXTRA_KINDS = {("autoscaling", "v1", "Scale"), ("policy", "v1", "Eviction"), ("", "v1", "Binding")}

_SCALARS = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "Time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "Time",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "IntOrString",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "Quantity",
}
_FORMATS = {"int32": "int32", "int64": "int64", "byte": "bytes", "double": "number"}


def main() -> None:
    """Write the table."""
    definitions = json.loads(_openapi().read_text())["definitions"]
    wanted = {(resource.group, resource.version, resource.kind) for resource in BUILT_IN} | EXTRA_KINDS
    kinds = {
        f"{group}/{version}/{kind}": name
        for name, definition in definitions.items()
        for group, version, kind in map(_group_version_kind, definition.get("x-kubernetes-group-version-kind", ()))
        if (group, version, kind) in wanted
    }
    structs = _reachable(definitions, sorted(kinds.values()))
    table = {
        "kinds": {kind: _short(name) for kind, name in sorted(kinds.items())},
        "structs": {_short(name): _struct(definitions, definitions[name]) for name in sorted(structs)},
    }
    TARGET.write_text(json.dumps(table, separators=(",", ":")).replace('},"', '},\n"') + "\n")


def _openapi() -> Path:
    command = ["go", "list", "-m", "-f", "{{.Dir}}", MODULE]
    folder = subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True).stdout
    return Path(folder.strip()) / "api" / "openapi-spec" / "swagger.json"


def _group_version_kind(entry: dict[str, str]) -> tuple[str, str, str]:
    return entry["group"], entry["version"], entry["kind"]


def _short(name: str) -> str:
    return name.removeprefix("io.k8s.").replace("apimachinery.pkg.apis.", "").removeprefix("api.")


def _reachable(definitions: dict[str, Any], names: list[str]) -> set[str]:
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found and "properties" in definitions[name]:
            found.add(name)
            names += [ref for field in definitions[name]["properties"].values() for ref in _references(field)]
    return found


def _references(field: dict[str, Any]) -> list[str]:
    inner = [field[key] for key in ("items", "additionalProperties") if isinstance(field.get(key), dict)]
    own = [field["$ref"].rpartition("/")[2]] if "$ref" in field else []
    return [*own, *(ref for item in inner for ref in _references(item))]


def _struct(definitions: dict[str, Any], definition: dict[str, Any]) -> dict[str, str]:
    shapes = {name: _shape(definitions, field) for name, field in definition["properties"].items()}
    return {"": "atomic", **shapes} if definition.get("x-kubernetes-map-type") == "atomic" else shapes


def _shape(definitions: dict[str, Any], field: dict[str, Any]) -> str:
    atomic = "!" if field.get("x-kubernetes-map-type") == "atomic" else ""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if name in _SCALARS:
            return _SCALARS[name]
        return _short(name) + atomic if "properties" in definitions[name] else "any"
    if field.get("type") == "array":
        return f"[{_shape(definitions, field['items'])}]{_list_keys(field)}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"{{{_shape(definitions, field['additionalProperties'])}}}{atomic}"
    kind = str(field.get("type", "any"))
    if "format" in field:
        return _FORMATS.get(field["format"], kind)
    return {"boolean": "bool", "integer": "int64", "object": "any"}.get(kind, kind)


def _list_keys(field: dict[str, Any]) -> str:
    """Return how a list merges; the older patch tags count where there is no list type (kube-openapi, schemaconv)."""
    kind = field.get("x-kubernetes-list-type")
    if kind is None and "merge" in field.get("x-kubernetes-patch-strategy", "").split(","):
        key = field.get("x-kubernetes-patch-merge-key")
        return f"={key}" if key else "set"
    return {"map": f"={','.join(field.get('x-kubernetes-list-map-keys', ()))}", "set": "set"}.get(str(kind), "")


if __name__ == "__main__":
    main()
