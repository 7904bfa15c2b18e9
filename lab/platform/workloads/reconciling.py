"""What the workload controllers share: coalesced queueing, creating and deleting in bulk, lean status writes, claims.

Refuses to know about any kind of workload.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lab.errors import ApiError
from lab.objects import (
    Object,
    controller_of,
    is_being_deleted,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from lab.platform.runtime import Change, Controller, Mirror, ignoring
from lab.platform.workloads.expectations import Expectations
from lab.platform.workloads.selectors import LabelIndex, SelectorIndex, matches, selector_of
from lab.resources import PODS, Resource

if TYPE_CHECKING:
    from lab.clock import Clock
    from lab.platform.client import Client

_OwnersChange = Callable[[list[Object]], list[Object]]

LONGEST_SETTLE_SECONDS = 0.3

AT_ONCE = 50
"""Requests under way at a time when a controller creates or deletes many objects."""


def merge_difference(before: Object, after: Object) -> Object:
    """Return the merge patch (RFC 7386) that turns one object into the other; empty when they are equal."""
    difference: Object = {key: None for key in before if key not in after}
    for key, value in after.items():
        held = before.get(key)
        if isinstance(value, dict) and isinstance(held, dict):
            if inner := merge_difference(held, value):
                difference[key] = inner
        elif held != value or key not in before:
            difference[key] = value
    return difference


def is_news(change: Change) -> bool:
    """Tell whether a change of a workload is more than its own status being written."""
    before, now = change.before, change.object
    if before is None or change.type != "MODIFIED":
        return True
    old, new = before["metadata"], now["metadata"]
    watched = ("uid", "generation", "deletionTimestamp", "labels", "annotations")
    return any(old.get(field) != new.get(field) for field in watched)


def controller_uid(item: Object) -> str | None:
    """Return the uid of the controlling owner, if there is one."""
    for reference in item["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference["uid"])
    return None


def is_orphan(item: Object) -> bool:
    """Tell whether nothing controls the object and nothing is about to remove it."""
    return controller_uid(item) is None and not is_being_deleted(item)


class WorkloadController(Controller):
    """A controller of objects that own others.

    Changes of what it owns are gathered for `settle_seconds` (real), so that a thousand pods cost a few reconciles.
    """

    settle_seconds: ClassVar[float] = 0.025
    yields_to_load: ClassVar[bool] = False
    """Whether changes are gathered longer while many objects are busy; for those who only report what others did."""

    def __init__(self, *, client: Client, mirror: Mirror, clock: Clock) -> None:
        super().__init__(client=client, mirror=mirror, clock=clock)
        self.expectations = Expectations()

    def enqueue_soon(self, key: str) -> None:
        """Have the key reconciled once what is happening right now has been gathered."""
        seconds = self.settle_seconds
        if self.yields_to_load:
            seconds = min(seconds * (1 + len(self._timers) / 100), LONGEST_SETTLE_SECONDS)
        self._later(key, seconds)

    def watch_owner(self, resource: Resource) -> None:
        """Enqueue objects of the resource when they change."""
        self.mirror.subscribe(resource, self._on_owner)

    def watch_owned(self, resource: Resource, owner_kind: str) -> None:
        """Enqueue owners of this kind when something they control changes, and note what was expected."""

        def on_change(change: Change) -> None:
            self.expectations.observe(change)
            self._enqueue_owner(change.object, owner_kind)
            if change.before is not None and controller_uid(change.before) != controller_uid(change.object):
                self._enqueue_owner(change.before, owner_kind)

        self.mirror.subscribe(resource, on_change)

    def _on_owner(self, change: Change) -> None:
        """Take news at once, and its own status writes later: a status computed in between may have to follow."""
        key = key_of(change.object)
        if is_news(change):
            self.enqueue(key)
        else:
            self.enqueue_soon(key)

    def _enqueue_owner(self, item: Object, kind: str) -> None:
        for reference in item["metadata"].get("ownerReferences") or ():
            if reference.get("controller") and reference["kind"] == kind:
                self.enqueue_soon(f"{namespace_of(item)}/{reference['name']}")

    def is_settled(self, key: str) -> bool:
        """Tell whether the mirror shows all that was done for this key; otherwise it is looked at again later."""
        if self.expectations.are_met(key):
            return True
        self._later(key, 1.0)
        return False

    async def create_all(self, owner: Object, resource: Resource, bodies: Sequence[Object]) -> None:
        """Create the objects, some at a time; raises the first refusal after trying each of its batch."""
        key = key_of(owner)
        for start in range(0, len(bodies), AT_ONCE):
            batch = bodies[start : start + AT_ONCE]
            self.expectations.expect(key, "creation", map(key_of, batch))
            await _each(self._create(resource, body) for body in batch)

    async def _create(self, resource: Resource, body: Object) -> None:
        try:
            await self.client.create(resource, body)
        except ApiError:
            self.expectations.forget(key_of(body))
            raise

    async def delete_all(self, owner: Object, resource: Resource, items: Sequence[Object]) -> None:
        """Delete the objects, some at a time; what is gone already counts as deleted."""
        key = key_of(owner)
        for start in range(0, len(items), AT_ONCE):
            batch = [item for item in items[start : start + AT_ONCE] if not is_being_deleted(item)]
            self.expectations.expect(key, "deletion", map(key_of, batch))
            await _each(self._delete(resource, item) for item in batch)

    async def _delete(self, resource: Resource, item: Object) -> None:
        try:
            await self.client.delete(resource, name_of(item), namespace=namespace_of(item), uid=uid_of(item))
        except ApiError as error:
            self.expectations.forget(key_of(item))
            if error.code not in (404, 409):
                raise

    async def change(self, resource: Resource, item: Object, patch: Object, *, subresource: str = "") -> Object:
        """Merge a patch into an object, refused with 409 when it is not what the mirror showed any more."""
        metadata = {**patch.get("metadata", {}), "resourceVersion": item["metadata"]["resourceVersion"]}
        body = {**patch, "metadata": metadata}
        return await self.client.patch(
            resource, name_of(item), body, namespace=namespace_of(item), subresource=subresource
        )

    async def write_status(self, resource: Resource, item: Object, status: Object, *, locked: bool = False) -> None:
        """Make this the whole status of the object, `locked` where others write it too; writes only what differs."""
        difference = merge_difference(item.get("status") or {}, status)
        if difference and locked:
            await self.change(resource, item, {"status": difference}, subresource="status")
        elif difference:
            namespace, body = namespace_of(item), {"status": difference}
            with ignoring(404):
                await self.client.patch(resource, name_of(item), body, namespace=namespace, subresource="status")

    def index_orphans(self, resource: Resource, owners: Resource) -> LabelIndex:
        """Return an index of uncontrolled objects; their arrival enqueues the owners that would adopt them."""
        selecting = SelectorIndex(self.mirror, owners, selector_of)

        def on_change(change: Change) -> None:
            if change.type != "DELETED" and is_orphan(change.object):
                for key in selecting.selecting(change.object):
                    self.enqueue_soon(key)

        orphans = LabelIndex(self.mirror, resource, where=is_orphan)
        self.mirror.subscribe(resource, on_change)
        return orphans

    async def claim(self, owner: Object, resource: Resource, orphans: LabelIndex) -> list[Object]:
        """Return what the owner controls, after letting go of what it selects no more and adopting matching orphans.

        Adopted objects are part of the answer at the next look, when the mirror shows them.
        """
        uid, selector = uid_of(owner), selector_of(owner)
        held = []
        for item in self.mirror.owned_by(uid, resource):
            if controller_uid(item) != uid:
                continue
            if matches(selector, labels_of(item)):
                held.append(item)
            elif not is_being_deleted(item):
                await self._set_owners(resource, item, lambda owners: [o for o in owners if o["uid"] != uid])
        if not is_being_deleted(owner):
            for item in orphans.matching(namespace_of(owner), selector):
                await self._set_owners(resource, item, lambda owners: [*owners, owner_reference(owner)])
        return held

    async def _set_owners(self, resource: Resource, item: Object, change: _OwnersChange) -> None:
        owners = change(item["metadata"].get("ownerReferences") or [])
        with ignoring(404):
            await self.change(resource, item, {"metadata": {"ownerReferences": owners or None}})

    def owner_key(self, item: Object, kind: str) -> str | None:
        """Return the key of the controlling owner if it is of this kind."""
        reference = controller_of(item)
        if reference is None or reference["kind"] != kind:
            return None
        return f"{namespace_of(item)}/{reference['name']}"


class PodController(WorkloadController):
    """A workload controller that owns pods directly."""

    resource: ClassVar[Resource]

    def wire(self) -> None:
        """Follow its own objects, their pods, and pods without an owner that one of them would adopt."""
        self.orphans = self.index_orphans(PODS, self.resource)
        self.watch_owned(PODS, self.resource.kind)
        self.watch_owner(self.resource)

    def find(self, key: str) -> Object | None:
        """Return the mirrored object of a key."""
        namespace, _, name = key.partition("/")
        return self.mirror.get(self.resource, name, namespace=namespace)


async def _each(requests: Iterable[Coroutine[Any, Any, None]]) -> None:
    results = await asyncio.gather(*requests, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
