"""Which resources one API server serves: the built-in ones, and those of its CustomResourceDefinitions.

Refuses to keep objects. Of a definition with several versions only the stored one is served.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.objects import Object, name_of, timestamp
from lab.resources import BUILT_IN, Resource


@dataclass(frozen=True)
class Definition:
    """What the API server needs to know to serve one resource. Empty beyond the resource for a built-in one."""

    resource: Resource
    schema: dict[str, Any] = field(default_factory=dict)
    columns: tuple[dict[str, Any], ...] = ()
    scale: dict[str, str] = field(default_factory=dict)
    """Paths of a custom resource's scale subresource, as `specReplicasPath`."""


class Catalog:
    """Finds definitions by path or kind."""

    def __init__(self) -> None:
        self.revision = 0
        """Raised whenever a resource comes, changes or goes."""
        self._by_path: dict[tuple[str, str, str], Definition] = {}
        self._by_group_resource: dict[tuple[str, str], Definition] = {}
        for resource in BUILT_IN:
            self.add(Definition(resource))

    def add(self, definition: Definition) -> None:
        """Serve a resource from now on, in place of an older definition of it."""
        resource = definition.resource
        self.remove(resource)
        self._by_path[resource.group, resource.version, resource.plural] = definition
        self._by_group_resource[resource.group, resource.plural] = definition
        self.revision += 1

    def remove(self, resource: Resource) -> None:
        """Serve a resource no more."""
        old = self._by_group_resource.pop((resource.group, resource.plural), None)
        if old is not None:
            del self._by_path[old.resource.group, old.resource.version, old.resource.plural]
            self.revision += 1

    def at(self, group: str, version: str, plural: str) -> Definition | None:
        """Return what is served at a path."""
        return self._by_path.get((group, version, plural))

    def of(self, resource: Resource) -> Definition | None:
        """Return the definition that is served for a resource, whatever its version."""
        return self._by_group_resource.get((resource.group, resource.plural))

    def __iter__(self) -> Iterator[Definition]:
        return iter(list(self._by_path.values()))

    def groups(self) -> dict[str, dict[str, list[Resource]]]:
        """Return the served resources by group and version; the core group is the empty one."""
        found: dict[str, dict[str, list[Resource]]] = {}
        for definition in self:
            resource = definition.resource
            found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
        return found


def definition_from(crd: Object) -> Definition:
    """Return what a CustomResourceDefinition defines."""
    spec, names = crd["spec"], crd["spec"]["names"]
    version = next((v for v in spec["versions"] if v.get("storage")), spec["versions"][0])
    subresources = version.get("subresources") or {}
    resource = Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec.get("scope", "Namespaced") == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=frozenset(subresources),
        custom=True,
    )
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    columns = tuple(version.get("additionalPrinterColumns") or ())
    return Definition(resource, schema, columns, dict(subresources.get("scale") or {}))


def established(crd: Object) -> Object:
    """Return the status of a definition that is served: names accepted, established."""
    names = crd["spec"]["names"]
    accepted = {
        "singular": names["kind"].lower(),
        "listKind": f"{names['kind']}List",
        **names,
    }
    now = crd["metadata"].get("creationTimestamp") or timestamp()
    reasons = {"NamesAccepted": "NoConflicts", "Established": "InitialNamesAccepted"}
    return {
        "acceptedNames": accepted,
        "conditions": [
            {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now}
            for kind, reason in reasons.items()
        ],
        "storedVersions": [v["name"] for v in crd["spec"]["versions"] if v.get("storage")],
    }


def definition_name(crd: Object) -> str:
    """Return the name that a definition must have."""
    return f"{crd['spec']['names']['plural']}.{crd['spec']['group']}" if "spec" in crd else name_of(crd)
