"""Namespaces that are being deleted: first everything in them goes, then they do.

Kubernetes: pkg/controller/namespace/deletion. Refuses to delete a namespace of its own accord.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.errors import ApiError
from lab.objects import Object, is_being_deleted, key_of, name_of, uid_of
from lab.platform.runtime import Change, Controller, Mirror, ignoring
from lab.platform.workloads.catalogue import Catalogue
from lab.platform.workloads.leftovers import conditions_of
from lab.resources import CUSTOM_RESOURCE_DEFINITIONS, EVENTS, NAMESPACES, Resource

if TYPE_CHECKING:
    from lab.clock import Clock
    from lab.platform.client import Client

FINALIZER = "kubernetes"
LOOK_AGAIN_SECONDS = 0.1
"""Real seconds until the next look at content that is still terminating."""


class NamespaceController(Controller):
    """Empties namespaces that are being deleted, and finalizes them."""

    name = "namespace"
    follows = (NAMESPACES, CUSTOM_RESOURCE_DEFINITIONS)

    def __init__(self, *, client: Client, mirror: Mirror, clock: Clock) -> None:
        super().__init__(client=client, mirror=mirror, clock=clock)
        self._catalogue = Catalogue()

    def wire(self) -> None:
        """Follow namespaces, and definitions of what may lie in them."""
        self._catalogue.learn_from(self.mirror)
        self.mirror.subscribe(NAMESPACES, self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.type != "DELETED" and is_being_deleted(change.object):
            self.enqueue(key_of(change.object))

    async def reconcile(self, key: str) -> float | None:
        """Delete what the namespace holds; once nothing is left, take the finalizer off."""
        namespace = key.removeprefix("/")
        found = self.mirror.get(NAMESPACES, namespace)
        if found is None or not is_being_deleted(found):
            return None
        namespaced = [resource for resource in (*self._catalogue, EVENTS) if resource.namespaced]
        left = {resource.group_resource: await self._empty(resource, namespace) for resource in namespaced}
        if any(left.values()):
            await self._tell(found, left)
            self._later(key, LOOK_AGAIN_SECONDS)
        else:
            await self._finalize(found)
        return None

    async def _tell(self, found: Object, left: dict[str, list[Object]]) -> None:
        """Have the status say what still keeps the namespace."""
        conditions = conditions_of(found, left)
        if conditions != (found.get("status") or {}).get("conditions"):
            with ignoring(404):
                await self.client.patch(
                    NAMESPACES, name_of(found), {"status": {"conditions": conditions}}, subresource="status"
                )

    async def _empty(self, resource: Resource, namespace: str) -> list[Object]:
        """Delete all objects of one resource; returns those that are not gone by that."""
        try:
            items, _ = await self.client.list(resource, namespace=namespace)
        except ApiError as error:
            if error.code == 404:
                return []
            raise
        for item in items:
            if not is_being_deleted(item):
                with ignoring(404, 409):
                    await self.client.delete(resource, name_of(item), namespace=namespace, uid=uid_of(item))
        left, _ = await self.client.list(resource, namespace=namespace) if items else ([], "")
        return left

    async def _finalize(self, found: Object) -> None:
        kept = [name for name in found["spec"].get("finalizers") or () if name != FINALIZER]
        body = {**found, "spec": {**found["spec"], "finalizers": kept}}
        with ignoring(404):
            await self.client.update(NAMESPACES, body, subresource="finalize")
