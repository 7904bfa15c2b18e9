"""Tells clients which resources there are: /api, /apis, the aggregated form of both, and OpenAPI.

Refuses to describe fields: the OpenAPI documents only say which paths take which parameters, so that kubectl leaves
validation to the server and takes its built-in merge rules.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.catalog import Catalog
from lab.objects import Object
from lab.resources import (
    ALL_VERBS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

REVIEWS: dict[tuple[str, str, str], str] = {
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): "SelfSubjectReview",
}
"""Resources that are only created, answered and forgotten."""

_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "status": ("", "", "", ("get", "patch", "update")),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "log": ("", "v1", "Pod", ("get",)),
}
"""Group, version and kind of a subresource (empty for its resource's own), and its verbs."""

_IN_ALL = frozenset({PODS, SERVICES, DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, JOBS, CRON_JOBS})
"""What `kubectl get all` shows."""

OPENAPI_V2_PROTOBUF = b"\n\x032.0"
"""An OpenAPI v2 document that says nothing but its version: gnostic's Document with field 1 set."""


def core_versions() -> Object:
    """Return the answer to /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(catalog: Catalog) -> Object:
    """Return the answer to /apis."""
    groups = [_group(name, list(versions)) for name, versions in _groups(catalog).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(catalog: Catalog, name: str) -> Object | None:
    """Return the answer to /apis/<group>."""
    versions = _groups(catalog).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, list(versions))} if versions and name else None


def resource_list(catalog: Catalog, group_name: str, version: str) -> Object | None:
    """Return the answer to /api/v1 or /apis/<group>/<version>."""
    resources = _groups(catalog).get(group_name, {}).get(version)
    if resources is None:
        return None
    entries: list[Object] = []
    for resource in resources:
        entries.append(_described(resource))
        entries += [_subresource(resource, name) for name in sorted(resource.subresources)]
    entries += [
        {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}
        for (in_group, in_version, plural), kind in REVIEWS.items()
        if (in_group, in_version) == (group_name, version)
    ]
    name = f"{group_name}/{version}" if group_name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": entries}


def aggregated(catalog: Catalog, *, core: bool) -> Object:
    """Return the answer to /api (`core`) or /apis for clients that want everything at once."""
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None},
            "versions": [
                {"version": version, "freshness": "Current", "resources": _aggregated_resources(catalog, name, version)}
                for version in versions
            ],
        }
        for name, versions in _groups(catalog).items()
        if core is not bool(name)
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def openapi_index(catalog: Catalog) -> Object:
    """Return the answer to /openapi/v3."""
    paths = {}
    for name, versions in _groups(catalog).items():
        for version in versions:
            path = f"apis/{name}/{version}" if name else f"api/{version}"
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={catalog.revision}"}
    return {"paths": paths}


def openapi_document(catalog: Catalog, group_name: str, version: str) -> Object | None:
    """Return the OpenAPI v3 document of a group and version: that PATCH takes fieldValidation and dryRun."""
    resources = _groups(catalog).get(group_name, {}).get(version)
    if resources is None:
        return None
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    paths = {}
    for resource in resources:
        base = f"/apis/{group_name}/{version}" if group_name else f"/api/{version}"
        place = "/namespaces/{namespace}" if resource.namespaced else ""
        paths[f"{base}{place}/{resource.plural}/{{name}}"] = {
            "patch": {
                "operationId": f"patch{resource.kind}",
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": {"group": group_name, "version": version, "kind": resource.kind},
            }
        }
    info = {"title": "Kubernetes", "version": "v1"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}


def _groups(catalog: Catalog) -> dict[str, dict[str, list[Resource]]]:
    groups = catalog.groups()
    for group_name, version, _ in REVIEWS:
        groups.setdefault(group_name, {}).setdefault(version, [])
    return groups


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _described(resource: Resource) -> Object:
    described: Object = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(ALL_VERBS),
    }
    if resource.short_names:
        described["shortNames"] = list(resource.short_names)
    if resource.categories or resource in _IN_ALL:
        described["categories"] = [*resource.categories, *(["all"] if resource in _IN_ALL else [])]
    return described


def _subresource(resource: Resource, name: str) -> Object:
    group_name, version, kind, verbs = _SUBRESOURCES[name]
    described: Object = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind or resource.kind,
        "verbs": list(verbs),
    }
    if group_name:
        described |= {"group": group_name, "version": version}
    return described


def _aggregated_resources(catalog: Catalog, group_name: str, version: str) -> list[Object]:
    listed = resource_list(catalog, group_name, version)
    found: dict[str, dict[str, Any]] = {}
    for entry in listed["resources"] if listed else ():
        name, _, subresource = entry["name"].partition("/")
        kind = {
            "group": entry.get("group", group_name),
            "version": entry.get("version", version),
            "kind": entry["kind"],
        }
        if subresource:
            found[name].setdefault("subresources", []).append(
                {"subresource": subresource, "responseKind": kind, "verbs": entry["verbs"]}
            )
            continue
        found[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if entry["namespaced"] else "Cluster",
            "singularResource": entry["singularName"],
            "verbs": entry["verbs"],
        }
        found[name] |= {key: entry[key] for key in ("shortNames", "categories") if key in entry}
    return list(found.values())
