"""Objects that the contract's writes send, and how patches say what they are."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

JSON_PATCH = {"content-type": "application/json-patch+json"}
MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}

GROUP = "writing.example.com"


def config_map(name: str, **data: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **labels: str) -> Object:
    container = {"name": "main", "image": "registry.k8s.io/pause:3.10"}
    metadata = {"name": name, "labels": labels} if labels else {"name": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def workload(kind: str = "Deployment", name: str = "web", **spec: Any) -> Object:
    """A workload without pods, so that no controller has anything to do."""
    main = {"name": "main", "image": "web:1", "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [main]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def thing(name: str = "one", **spec: Any) -> Object:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


def definition_of_things() -> Object:
    """A custom resource with a status, a scale, and lists of each kind."""
    text = {"type": "string"}
    item = {"type": "object", "required": ["name"], "properties": {"name": text, "value": text}}
    keyed = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    spec = {
        "type": "object",
        "properties": {
            "replicas": {"type": "integer"},
            "colour": {"type": "string", "enum": ["red", "blue"]},
            "items": keyed,
            "set": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
            "list": {"type": "array", "items": text},
            "labels": {"type": "object", "additionalProperties": text},
        },
    }
    status = {"type": "object", "properties": {"replicas": {"type": "integer"}, "phase": text}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
    }
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
