"""The way of the lab's own controllers to the registry: no wire, no authentication, no request faults.

Implements `lab.platform.client.Client`. Objects that come out are the stored ones; those that go in are copied.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

from lab.apiserver.admission import LAB
from lab.apiserver.binding import bind, node_of
from lab.apiserver.deletion import DeleteOptions
from lab.apiserver.eviction import evict
from lab.apiserver.lists.selectors import Selection, select
from lab.apiserver.patches.merge import copied, merge_patch
from lab.apiserver.registry import Registry
from lab.apiserver.scaling import scale_of, scaled
from lab.apiserver.store import Watch
from lab.objects import Object
from lab.platform.client import WatchEvent
from lab.resources import PODS, Resource

TURN_SECONDS = 0.005
"""How long writes may follow each other before everything else on the loop has its turn."""


class InProcessClient:
    """The Kubernetes API, called directly as user system:lab."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._turn_ends = 0.0

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object:
        """Return one object."""
        return self._registry.get(resource, name, namespace=namespace).object

    async def list(
        self, resource: Resource, *, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[Object], str]:
        """Return the objects and the resourceVersion of the list; an empty namespace means all of them."""
        selection = select(resource, namespace=namespace, labels=label_selector, fields=field_selector)
        found = [stored.object for stored in self._registry.select(resource, selection)]
        return found, str(self._registry.store.version)

    async def watch(self, resource: Resource, resource_version: str) -> AsyncIterator[WatchEvent]:
        """Yield what changes in all namespaces after the resourceVersion; ends when the server closes it."""
        shelf = self._registry.shelf(resource)
        version = int(resource_version) if resource_version else None
        watch = shelf.watch(Selection(), version)
        try:
            while batch := await _next_changes(watch):
                for change in batch:
                    yield change.event
        finally:
            shelf.unwatch(watch)

    async def create(self, resource: Resource, body: Object, *, namespace: str = "") -> Object:
        """Create an object; the namespace is the body's unless given."""
        await self._give_way()
        return self._registry.create(resource, copied(body), by=LAB, namespace=namespace).object

    async def update(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Replace an object, or the part that a subresource stands for; 409 on a stale resourceVersion."""
        await self._give_way()
        if subresource in ("binding", "scale"):
            metadata = body["metadata"]
            where = metadata.get("namespace", "")
            return self._apply(resource, metadata["name"], copied(body), namespace=where, subresource=subresource)
        return self._registry.update(resource, copied(body), by=LAB, subresource=subresource).object

    async def patch(
        self, resource: Resource, name: str, patch: dict[str, Any], *, namespace: str = "", subresource: str = ""
    ) -> Object:
        """Apply an RFC 7386 merge patch. Optimistic locking by a `metadata.resourceVersion` in it."""
        await self._give_way()
        return self._apply(resource, name, copied(patch), namespace=namespace, subresource=subresource)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> None:
        """Delete an object; with `uid` only the one that has it (409 otherwise)."""
        await self._give_way()
        options = DeleteOptions(grace_period_seconds=grace_period_seconds, uid=uid, propagation=propagation)
        self._registry.delete(resource, name, namespace=namespace, by=LAB, options=options)

    async def evict(self, name: str, *, namespace: str) -> None:
        """Evict a pod; 429 while a PodDisruptionBudget forbids it."""
        await self._give_way()
        evict(self._registry, name, namespace=namespace, by=LAB)

    def _apply(self, resource: Resource, name: str, patch: Object, *, namespace: str, subresource: str) -> Object:
        registry = self._registry
        if resource == PODS and subresource == "binding":
            uid = (patch.get("metadata") or {}).get("uid", "")
            return bind(registry, name, node_of(patch), namespace=namespace, by=LAB, uid=uid).object
        if subresource == "scale":
            definition = registry.definition(resource)

            def rescaled(found: Object) -> Object:
                return scaled(definition, found, merge_patch(scale_of(definition, found), patch))

            return registry.change(resource, name, rescaled, by=LAB, namespace=namespace).object

        def patched(found: Object) -> Object:
            return merge_patch(found, patch)  # type: ignore[no-any-return]

        return registry.change(resource, name, patched, by=LAB, namespace=namespace, subresource=subresource).object

    async def _give_way(self) -> None:
        """Let the loop turn now and then: writes never wait, so that a busy controller would starve everybody else."""
        now = time.monotonic()
        if now > self._turn_ends:
            await asyncio.sleep(0)
            self._turn_ends = time.monotonic() + TURN_SECONDS


async def _next_changes(watch: Watch) -> list[Any]:
    """Return the next changes, or none once the watch is closed."""
    while True:
        batch = await watch.next_batch()
        if batch or watch.is_closed():
            return batch
