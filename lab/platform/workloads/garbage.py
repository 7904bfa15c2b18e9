"""Garbage collection: what has lost its last owner goes, in the order that the owner's deletion asked for.

Kubernetes: pkg/controller/garbagecollector and /docs/concepts/architecture/garbage-collection. Refuses to delete a
dependent whose owner's kind it does not know, as the real one does.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.errors import ApiError
from lab.objects import Object, is_being_deleted, key_of, name_of, namespace_of, uid_of
from lab.platform.runtime import Change, Controller, Mirror, ignoring
from lab.platform.workloads.catalogue import Catalogue
from lab.resources import BUILT_IN, EVENTS, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.clock import Clock
    from lab.platform.client import Client

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_ABSENT_LIMIT = 5_000
"""How many owners that are gone are remembered, by all that a reference says of them; none of them comes again."""
_AT_ONCE = 50


@dataclass
class _Owners:
    """The owner references of one object by what has become of the owners."""

    solid: list[Object] = field(default_factory=list)
    dangling: list[Object] = field(default_factory=list)
    waiting: list[Object] = field(default_factory=list)
    """Owners that are being deleted in the foreground and wait for this object."""


class GarbageCollector(Controller):
    """Deletes dependents whose owners are gone, and lets owners go whose dependents are. Keys are `group/kind:key`."""

    name = "garbage-collector"
    follows = tuple(resource for resource in BUILT_IN if resource is not EVENTS)

    def __init__(self, *, client: Client, mirror: Mirror, clock: Clock) -> None:
        super().__init__(client=client, mirror=mirror, clock=clock)
        self._catalogue = Catalogue()
        self._followed: set[Resource] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._absent: OrderedDict[str, None] = OrderedDict()

    def wire(self) -> None:
        """Follow everything that can own or be owned."""
        for resource in self.follows:
            self._follow(resource)
        self._catalogue.learn_from(self.mirror, self._follow)

    async def run(self) -> None:
        """Collect until cancelled."""
        try:
            await super().run()
        finally:
            for task in self._tasks:
                task.cancel()

    def _follow(self, resource: Resource) -> None:
        if resource in self._followed:
            return
        self._followed.add(resource)
        self.mirror.subscribe(resource, self._on_change)
        if resource.custom:
            task = asyncio.create_task(self.mirror.follow(resource), name=f"follow {resource.plural}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _on_change(self, change: Change) -> None:
        item, before = change.object, change.before
        if change.type == "DELETED":
            self._remember_absent(f"{_key(item)}:{uid_of(item)}")
            self._enqueue_all(self.mirror.dependents(uid_of(item)))
            self._enqueue_all(self._held_up_by(item))
            return
        references = item["metadata"].get("ownerReferences") or []
        held = (before["metadata"].get("ownerReferences") or []) if before is not None else []
        if references != held:
            self._on_new_owners(item, references, held)
        if is_being_deleted(item) and _is_final(item):
            self.enqueue(_key(item))

    def _on_new_owners(self, item: Object, references: list[Object], held: list[Object]) -> None:
        if any(self._owner(item, reference) is None for reference in references):
            self.enqueue(_key(item))
        kept = {reference["uid"] for reference in references}
        if lost := [reference for reference in held if reference["uid"] not in kept]:
            self._enqueue_all(self._held_up_by(item, lost))

    def _held_up_by(self, item: Object, references: Sequence[Object] | None = None) -> list[Object]:
        """Return the owners of an object that are being deleted in the foreground."""
        owners = [self._owner(item, r) for r in references or item["metadata"].get("ownerReferences") or ()]
        return [owner for owner in owners if owner is not None and FOREGROUND in _finalizers(owner)]

    def _enqueue_all(self, items: Sequence[Object]) -> None:
        for item in items:
            self.enqueue(_key(item))

    def _remember_absent(self, owner: str) -> None:
        self._absent[owner] = None
        if len(self._absent) > _ABSENT_LIMIT:
            self._absent.popitem(last=False)

    def _owner(self, item: Object, reference: Object) -> Object | None:
        """Return the mirrored owner, None when it is not there or another has taken its name."""
        resource = self._catalogue.find(reference["apiVersion"], reference["kind"])
        if resource is None:
            return None
        namespace = namespace_of(item) if resource.namespaced else ""
        owner = self.mirror.get(resource, reference["name"], namespace=namespace)
        return owner if owner is not None and uid_of(owner) == reference["uid"] else None

    async def reconcile(self, key: str) -> float | None:
        """Take the next step in the object's deletion, or delete it if its owners are gone."""
        found = self._find(key)
        if found is None:
            return None
        resource, item = found
        if is_being_deleted(item):
            if ORPHAN in _finalizers(item):
                await self._orphan_dependents(resource, item)
            elif FOREGROUND in _finalizers(item):
                await self._delete_dependents(resource, item)
            return None
        if item["metadata"].get("ownerReferences"):
            await self._collect(resource, item)
        return None

    def _find(self, key: str) -> tuple[Resource, Object] | None:
        kind, _, place = key.partition(":")
        api_version, _, kind = kind.rpartition("/")
        namespace, _, name = place.partition("/")
        resource = self._catalogue.find(api_version, kind)
        item = resource and self.mirror.get(resource, name, namespace=namespace)
        return (resource, item) if resource and item else None

    async def _collect(self, resource: Resource, item: Object) -> None:
        owners = await self._sort_owners(item)
        if not owners.dangling and not owners.waiting:
            return
        if owners.solid:
            gone = {reference["uid"] for reference in (*owners.dangling, *owners.waiting)}
            await self._drop_references(resource, item, gone)
            return
        propagation = "Background"
        if owners.waiting and self.mirror.dependents(uid_of(item)):
            propagation = "Foreground"
        elif ORPHAN in _finalizers(item):
            propagation = "Orphan"
        with ignoring(404, 409):
            await self.client.delete(
                resource,
                name_of(item),
                namespace=namespace_of(item),
                uid=uid_of(item),
                propagation=propagation,  # type: ignore[arg-type]
            )

    async def _sort_owners(self, item: Object) -> _Owners:
        sorted_owners = _Owners()
        for reference in item["metadata"]["ownerReferences"]:
            owner = self._owner(item, reference)
            if owner is None and await self._is_absent(item, reference):
                sorted_owners.dangling.append(reference)
            elif owner is not None and FOREGROUND in _finalizers(owner) and reference.get("blockOwnerDeletion"):
                sorted_owners.waiting.append(reference)
            else:
                sorted_owners.solid.append(reference)
        return sorted_owners

    async def _is_absent(self, item: Object, reference: Object) -> bool:
        """Ask the API server: the mirror of the owner's resource may be behind that of the dependent's."""
        resource = self._catalogue.find(reference["apiVersion"], reference["kind"])
        if resource is None:
            return False
        namespace = namespace_of(item) if resource.namespaced else ""
        owner = f"{reference['apiVersion']}/{reference['kind']}:{namespace}/{reference['name']}:{reference['uid']}"
        if owner in self._absent:
            return True
        try:
            live = await self.client.get(resource, reference["name"], namespace=namespace)
        except ApiError as error:
            if error.code != 404:
                raise
        else:
            if uid_of(live) == reference["uid"]:
                return False
        self._remember_absent(owner)
        return True

    async def _delete_dependents(self, resource: Resource, owner: Object) -> None:
        uid = uid_of(owner)
        blocking = [item for item in self.mirror.dependents(uid) if _blocks(item, uid)]
        if blocking:
            self._enqueue_all([item for item in blocking if not is_being_deleted(item)])
        else:
            await self._drop_finalizer(resource, owner, FOREGROUND)

    async def _orphan_dependents(self, resource: Resource, owner: Object) -> None:
        uid = uid_of(owner)
        dependents = self.mirror.dependents(uid)
        for start in range(0, len(dependents), _AT_ONCE):
            batch = dependents[start : start + _AT_ONCE]
            kinds = [self._catalogue.find(item["apiVersion"], item["kind"]) for item in batch]
            pairs = zip(kinds, batch, strict=True)
            await asyncio.gather(*(self._drop_references(kind, item, {uid}) for kind, item in pairs if kind))
        await self._drop_finalizer(resource, owner, ORPHAN)

    async def _drop_references(self, resource: Resource, item: Object, uids: set[str]) -> None:
        kept = [r for r in item["metadata"].get("ownerReferences") or () if r["uid"] not in uids]
        await self._change_metadata(resource, item, {"ownerReferences": kept or None})

    async def _drop_finalizer(self, resource: Resource, item: Object, finalizer: str) -> None:
        kept = [name for name in _finalizers(item) if name != finalizer]
        await self._change_metadata(resource, item, {"finalizers": kept or None})

    async def _change_metadata(self, resource: Resource, item: Object, metadata: Object) -> None:
        body = {"metadata": {**metadata, "resourceVersion": item["metadata"]["resourceVersion"]}}
        with ignoring(404):
            await self.client.patch(resource, name_of(item), body, namespace=namespace_of(item))


def _key(item: Object) -> str:
    return f"{item['apiVersion']}/{item['kind']}:{key_of(item)}"


def _finalizers(item: Object) -> list[str]:
    return item["metadata"].get("finalizers") or []


def _is_final(item: Object) -> bool:
    return any(name in (FOREGROUND, ORPHAN) for name in _finalizers(item))


def _blocks(item: Object, owner_uid: str) -> bool:
    references = item["metadata"].get("ownerReferences") or ()
    return any(r["uid"] == owner_uid and r.get("blockOwnerDeletion") for r in references)
