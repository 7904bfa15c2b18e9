"""The scale subresource: a Scale seen in an object, and an object with another number of replicas."""

from __future__ import annotations

from typing import Any

from lab.apiserver.catalog import Definition
from lab.apiserver.problems import Violation, bad_request, conflict, invalid
from lab.errors import ApiError
from lab.objects import Object, name_of
from lab.resources import Resource

SCALES = Definition(Resource(group="autoscaling", plural="scales", kind="Scale"))
"""The kind that the subresource speaks."""
_DEFAULT_PATHS = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def scale_of(definition: Definition, found: Object, *, strict: bool = False) -> Object:
    """Return the autoscaling/v1 Scale of an object; with `strict` 500 if it says nothing about its replicas."""
    paths = definition.scale or _DEFAULT_PATHS
    if strict and definition.scale and _at(found, paths["specReplicasPath"]) is None:
        why = f'the spec replicas field "{paths["specReplicasPath"]}" does not exist'
        raise ApiError(500, f"Internal error occurred: {why}", details={"causes": [{"message": why}]})
    metadata = found["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": _at(found, paths.get("statusReplicasPath", "")) or 0}
    selector = _selector(definition, found)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": replicas} if (replicas := _at(found, paths["specReplicasPath"])) else {},
        "status": status,
    }


def scaled(definition: Definition, found: Object, scale: Object) -> Object:
    """Return the object with the replicas of a Scale; 409 if the Scale is of another version."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not definition.scale and (not isinstance(replicas, int) or replicas < 0):
        detail = "must be greater than or equal to 0"
        raise invalid(SCALES.resource, name_of(found), [Violation.invalid("spec.replicas", replicas, detail)])
    metadata, name = scale.get("metadata") or {}, name_of(found)
    if metadata.get("name", name) != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    version = metadata.get("resourceVersion")
    if version and version != found["metadata"]["resourceVersion"]:
        raise conflict(definition.resource, name_of(found))
    path = (definition.scale or _DEFAULT_PATHS)["specReplicasPath"]
    return _with(found, path.strip(".").split("."), replicas)


def replica_violations(definition: Definition, found: Object) -> list[Violation]:
    """Return what is wrong with the replicas of a custom resource that can be scaled."""
    path = definition.scale.get("specReplicasPath", "")
    replicas = _at(found, path)
    if replicas is None:
        return []
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        kind = {str: "string", bool: "bool", float: "float64", dict: "map[string]interface {}"}.get(type(replicas), "")
        shown = f"{replicas:g}" if isinstance(replicas, float) else str(replicas)
        detail = f"{path} accessor error: {shown} is of the type {kind}, expected int64"
        return [Violation.invalid(path, 0, detail)]
    return [] if replicas >= 0 else [Violation.invalid(path, replicas, "should be a non-negative integer")]


def _with(found: Object, steps: list[str], value: Any) -> Object:
    if len(steps) == 1:
        return {**found, steps[0]: value}
    return {**found, steps[0]: _with(found.get(steps[0]) or {}, steps[1:], value)}


def _at(found: Object, path: str) -> Any:
    here: Any = found
    for step in filter(None, path.split(".")):
        here = here.get(step) if isinstance(here, dict) else None
    return here if path else None


def _selector(definition: Definition, found: Object) -> str:
    if definition.scale:
        return str(_at(found, definition.scale.get("labelSelectorPath", "")) or "")
    selector = (found.get("spec") or {}).get("selector") or {}
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(expression.get("values") or ())
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[expression["operator"]]
        )
    return ",".join(terms)
