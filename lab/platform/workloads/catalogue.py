"""The resources of one cluster, built in or from CustomResourceDefinitions, found by kind. Refuses to follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import resources
from lab.resources import BUILT_IN, CUSTOM_RESOURCE_DEFINITIONS, EVENTS, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.objects import Object
    from lab.platform.runtime import Change, Mirror

_KNOWN_CUSTOM = {
    item.group_resource: item for item in vars(resources).values() if isinstance(item, Resource) and item.custom
}
"""Custom resources that other controllers follow too: the very same value, so that they share one mirror."""


class Catalogue:
    """All resources whose objects can own or be owned; Events are left out, as in the real garbage collector."""

    def __init__(self) -> None:
        self._by_kind = {(item.group, item.kind): item for item in BUILT_IN if item is not EVENTS}
        self._listeners: list[Callable[[Resource], None]] = []

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_kind.values()))

    def find(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource of a kind, whatever the version of its group."""
        group = api_version.rpartition("/")[0]
        return self._by_kind.get((group, kind))

    def learn_from(self, mirror: Mirror, listener: Callable[[Resource], None] | None = None) -> None:
        """Take up custom resources as they come; the listener is told of each new one."""
        if listener is not None:
            self._listeners.append(listener)
        mirror.subscribe(CUSTOM_RESOURCE_DEFINITIONS, self._on_definition)

    def _on_definition(self, change: Change) -> None:
        resource = resource_of(change.object)
        place = resource.group, resource.kind
        if change.type == "DELETED":
            self._by_kind.pop(place, None)
        elif self._by_kind.get(place) != resource:
            self._by_kind[place] = resource
            for listener in self._listeners:
                listener(resource)


def resource_of(definition: Object) -> Resource:
    """Return the resource that a CustomResourceDefinition defines, in its stored version."""
    spec, names = definition["spec"], definition["spec"]["names"]
    known = _KNOWN_CUSTOM.get(f"{names['plural']}.{spec['group']}")
    if known is not None:
        return known
    version = next((item for item in spec["versions"] if item.get("storage")), spec["versions"][0])
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec.get("scope", "Namespaced") == "Namespaced",
        subresources=frozenset(version.get("subresources") or {}),
        custom=True,
    )
