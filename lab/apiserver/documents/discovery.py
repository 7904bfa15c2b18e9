"""Tells clients which resources there are: /api, /apis, and the aggregated form of both. Refuses to describe fields."""

from __future__ import annotations

from typing import Any

from lab.apiserver.catalog import Catalog
from lab.objects import Object
from lab.resources import (
    ALL_VERBS,
    API_SERVICES,
    CRON_JOBS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    MUTATING_WEBHOOKS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
    Resource,
)

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

REVIEWS: dict[tuple[str, str, str], str] = {
    ("authorization.k8s.io", "v1", "localsubjectaccessreviews"): "LocalSubjectAccessReview",
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    ("authorization.k8s.io", "v1", "subjectaccessreviews"): "SubjectAccessReview",
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): "SelfSubjectReview",
}
"""Resources that are only created, answered and forgotten."""

_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "status": ("", "", "", ("get", "patch", "update")),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "log": ("", "v1", "Pod", ("get",)),
    "finalize": ("", "", "", ("update",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}
"""Group, version and kind of a subresource (empty for its resource's own), and its verbs."""

_LACKING = {"namespaces": "deletecollection"}
"""A verb that a resource does not have."""
_EXTENDING = frozenset({CUSTOM_RESOURCE_DEFINITIONS, VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS, API_SERVICES})
"""What `kubectl get api-extensions` shows."""
_IN_ALL = frozenset({PODS, SERVICES, DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, JOBS, CRON_JOBS})
"""What `kubectl get all` shows."""


def is_group(catalog: Catalog, name: str) -> bool:
    """Tell whether anything is served in an API group; the core group is the empty one."""
    return name in served_versions(catalog)


def core_versions() -> Object:
    """Return the answer to /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(catalog: Catalog) -> Object:
    """Return the answer to /apis."""
    groups = [_group(name, list(versions)) for name, versions in served_versions(catalog).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(catalog: Catalog, name: str) -> Object | None:
    """Return the answer to /apis/<group>."""
    versions = served_versions(catalog).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, list(versions))} if versions and name else None


def resource_list(catalog: Catalog, group_name: str, version: str) -> Object | None:
    """Return the answer to /api/v1 or /apis/<group>/<version>."""
    resources = served_versions(catalog).get(group_name, {}).get(version)
    if resources is None:
        return None
    entries: list[Object] = []
    for resource in resources:
        entries.append(_described(resource))
        entries += [_subresource(resource, name) for name in sorted(resource.subresources)]
    entries += [
        {
            "name": plural,
            "singularName": kind.lower(),
            "namespaced": kind.startswith("Local"),
            "kind": kind,
            "verbs": ["create"],
        }
        for (in_group, in_version, plural), kind in REVIEWS.items()
        if (in_group, in_version) == (group_name, version)
    ]
    entries.sort(key=lambda entry: str(entry["name"]))
    if not group_name:
        # The core group's list lacks the apiVersion (k8s.io/apiserver v0.35, pkg/endpoints/discovery/version.go).
        return {"kind": "APIResourceList", "groupVersion": version, "resources": entries}
    name = f"{group_name}/{version}"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": entries}


def aggregated(catalog: Catalog, *, core: bool) -> Object:
    """Return the answer to /api (`core`) or /apis for clients that want everything at once."""
    items = [
        {
            "metadata": {"name": name} if name else {},
            "versions": [
                {"version": version, "freshness": "Current", "resources": _aggregated_resources(catalog, name, version)}
                for version in versions
            ],
        }
        for name, versions in served_versions(catalog).items()
        if core is not bool(name)
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def served_versions(catalog: Catalog) -> dict[str, dict[str, list[Resource]]]:
    """Return what is served by group and version; the core group is the empty one."""
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
        "verbs": [verb for verb in ALL_VERBS if verb != _LACKING.get(resource.group_resource)],
    }
    if resource.short_names:
        described["shortNames"] = list(resource.short_names)
    categories = [*resource.categories, *(["all"] if resource in _IN_ALL else [])]
    categories += ["api-extensions"] if resource in _EXTENDING else []
    if categories:
        described["categories"] = categories
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
    custom = any(resource.custom for resource in served_versions(catalog)[group_name].get(version, ()))
    # Built-in resources leave group and version to their place (k8s.io/apiserver v0.35, pkg/endpoints/installer.go).
    own = (group_name, version) if custom else ("", "")
    found: dict[str, dict[str, Any]] = {}
    for entry in listed["resources"] if listed else ():
        name, _, subresource = entry["name"].partition("/")
        kind = {
            "group": entry.get("group", own[0]),
            "version": entry.get("version", own[1]),
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
