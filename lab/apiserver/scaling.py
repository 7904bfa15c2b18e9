"""The scale subresource: a Scale seen in an object, and an object with another number of replicas."""

from __future__ import annotations

from typing import Any

from lab.apiserver.catalog import Definition
from lab.apiserver.problems import Violation, conflict, invalid
from lab.objects import Object, name_of

_DEFAULT_PATHS = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def scale_of(definition: Definition, found: Object) -> Object:
    """Return the autoscaling/v1 Scale of an object."""
    paths = definition.scale or _DEFAULT_PATHS
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
        "spec": {"replicas": _at(found, paths["specReplicasPath"]) or 0},
        "status": status,
    }


def scaled(definition: Definition, found: Object, scale: Object) -> Object:
    """Return the object with the replicas of a Scale; 409 if the Scale is of another version."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        detail = "must be greater than or equal to 0"
        raise invalid(definition.resource, name_of(found), [Violation.invalid("spec.replicas", replicas, detail)])
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version and version != found["metadata"]["resourceVersion"]:
        raise conflict(definition.resource, name_of(found))
    path = (definition.scale or _DEFAULT_PATHS)["specReplicasPath"]
    return _with(found, path.strip(".").split("."), replicas)


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
