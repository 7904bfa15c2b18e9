"""Which resources one API server serves: the built-in ones, and those of its CustomResourceDefinitions.

A custom resource is stored in one version and served in one or more; nothing but the apiVersion differs, as with the
conversion strategy None. Refuses to keep objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from lab.objects import Object
from lab.resources import BUILT_IN, Resource

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_MATURITY = {None: 2, "beta": 1, "alpha": 0}


@dataclass(frozen=True)
class Definition:
    """What the API server needs to know to serve one resource. Empty beyond the resource for a built-in one."""

    resource: Resource
    schema: dict[str, Any] = field(default_factory=dict)
    columns: tuple[dict[str, Any], ...] = ()
    scale: dict[str, str] = field(default_factory=dict)
    """Paths of a custom resource's scale subresource, as `specReplicasPath`."""
    storage: Definition | None = None
    """How the objects are stored, if in another version than this one."""
    deprecation: str = ""
    """What clients of this version are warned of."""
    terminating: bool = False
    """Whether the definition is being deleted, and its objects with it."""


class Catalog:
    """Finds definitions by path or kind."""

    def __init__(self) -> None:
        self.revision = 0
        """Raised whenever a resource comes, changes or goes."""
        self._by_path: dict[tuple[str, str, str], Definition] = {}
        self._by_group_resource: dict[tuple[str, str], Definition] = {}
        for resource in BUILT_IN:
            self.add(Definition(resource))

    def add(self, definition: Definition, *, served: Iterable[Definition] | None = None) -> None:
        """Serve a resource from now on, in place of an older definition of it: in its own version or in those given."""
        resource = definition.resource
        self.remove(resource)
        for version in (definition,) if served is None else served:
            self._by_path[resource.group, version.resource.version, resource.plural] = version
        self._by_group_resource[resource.group, resource.plural] = definition
        self.revision += 1

    def remove(self, resource: Resource) -> None:
        """Serve a resource no more."""
        key = resource.group, resource.plural
        if self._by_group_resource.pop(key, None) is not None:
            for path in [path for path in self._by_path if (path[0], path[2]) == key]:
                del self._by_path[path]
            self.revision += 1

    def at(self, group: str, version: str, plural: str) -> Definition | None:
        """Return what is served at a path."""
        return self._by_path.get((group, version, plural))

    def of(self, resource: Resource) -> Definition | None:
        """Return the definition that is served for a resource, whatever its version."""
        return self._by_group_resource.get((resource.group, resource.plural))

    def conflict(self, crd: Object) -> tuple[str, str] | None:
        """Return reason and message if a definition's names are another's (pkg/controller/status of v1.35)."""
        names, group = crd["spec"]["names"], crd["spec"]["group"]
        others = [
            found.resource
            for (in_group, plural), found in self._by_group_resource.items()
            if in_group == group and plural != names["plural"]
        ]
        taken = {name for other in others for name in (other.plural, other.singular, *other.short_names)}
        kinds = {kind for other in others for kind in (other.kind, f"{other.kind}List")}
        wanted = [
            ("PluralConflict", names["plural"], taken),
            ("SingularConflict", names["singular"], taken),
            *(("ShortNamesConflict", name, taken) for name in names.get("shortNames") or ()),
            ("KindConflict", names["kind"], kinds),
            ("ListKindConflict", names["listKind"], kinds),
        ]
        refused = [(reason, f'"{name}" is already in use') for reason, name, held in wanted if name in held]
        return refused[-1] if refused else None

    def __iter__(self) -> Iterator[Definition]:
        return iter(list(self._by_path.values()))

    def groups(self) -> dict[str, dict[str, list[Resource]]]:
        """Return the served resources by group and version; the core group is the empty one."""
        found: dict[str, dict[str, list[Resource]]] = {}
        for definition in self:
            resource = definition.resource
            found.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
        return {group: dict(sorted(versions.items(), key=_rank)) for group, versions in found.items()}


def _rank(version: tuple[str, Any]) -> tuple[Any, ...]:
    """Return the order of versions, the one that clients prefer first (apimachinery v0.35, pkg/version/helpers.go)."""
    parts = _VERSION.fullmatch(version[0])
    if parts is None:
        return 1, version[0]
    return 0, -_MATURITY[parts[2]], -int(parts[1]), -int(parts[3] or 0)


def definitions_from(crd: Object) -> tuple[Definition, list[Definition]]:
    """Return how a CustomResourceDefinition has its objects stored, and how it has them served."""
    versions = crd["spec"]["versions"]
    stored = _definition(crd, next(version for version in versions if version.get("storage")))
    served = [
        stored if v.get("storage") else replace(_definition(crd, v), storage=stored) for v in versions if v["served"]
    ]
    return stored, served


def _definition(crd: Object, version: dict[str, Any]) -> Definition:
    spec, names = crd["spec"], crd["spec"]["names"]
    subresources = version.get("subresources") or {}
    resource = Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=frozenset(subresources),
        custom=True,
    )
    return Definition(
        resource,
        (version.get("schema") or {}).get("openAPIV3Schema") or {},
        tuple(version.get("additionalPrinterColumns") or ()),
        dict(subresources.get("scale") or {}),
        deprecation=_deprecation(crd, version) if version.get("deprecated") else "",
        terminating="deletionTimestamp" in crd["metadata"],
    )


def _deprecation(crd: Object, version: dict[str, Any]) -> str:
    group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
    own = _rank((version["name"], None))
    better = [v["name"] for v in crd["spec"]["versions"] if v.get("served") and not v.get("deprecated")]
    better = sorted((name for name in better if _rank((name, None)) < own), key=lambda name: _rank((name, None)))
    use = f"; use {group}/{better[0]} {kind}" if better else ""
    return version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated{use}"
