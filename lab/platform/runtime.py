"""What every controller stands on: a mirror of one cluster's objects, and a queue of keys to reconcile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from lab.clock import Clock
from lab.errors import ApiError
from lab.objects import Object, key_of, namespace_of, uid_of
from lab.platform.client import Client
from lab.resources import PODS, Resource

log = logging.getLogger(__name__)

RETRY_SECONDS = (0.05, 0.2, 1.0, 5.0, 10.0)
"""Real seconds between tries of a reconcile that failed."""


@dataclass(frozen=True)
class Change:
    """One change of a mirrored object; `before` is what the mirror held, None for an addition."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object
    before: Object | None


Handler = Callable[[Change], None]


class Mirror:
    """A live copy of the followed resources of one cluster, indexed by key, owner and node."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._objects: dict[Resource, dict[str, Object]] = {}
        self._handlers: dict[Resource, list[Handler]] = defaultdict(list)
        self._owned: dict[str, dict[str, Object]] = defaultdict(dict)
        self._on_node: dict[str, dict[str, Object]] = defaultdict(dict)
        self._tasks: dict[Resource, asyncio.Task[None]] = {}
        self._synced: dict[Resource, asyncio.Event] = {}
        self._broken = asyncio.Event()
        self._error: BaseException | None = None

    def subscribe(self, resource: Resource, handler: Handler) -> None:
        """Have `handler` called at every change; what is mirrored already comes first, as additions."""
        self._handlers[resource].append(handler)
        for found in list(self._objects.get(resource, {}).values()):
            handler(Change("ADDED", found, None))

    async def follow(self, *resources: Resource) -> None:
        """Mirror these resources from now on; returns when each has been listed once. Idempotent.

        A resource whose CustomResourceDefinition does not exist yet counts as empty and is tried again.
        """
        for resource in resources:
            if resource not in self._tasks:
                self._objects.setdefault(resource, {})
                self._synced[resource] = asyncio.Event()
                self._tasks[resource] = asyncio.create_task(self._mirror(resource), name=f"mirror {resource.plural}")
                self._tasks[resource].add_done_callback(self._note_end)
        await asyncio.gather(*(self._synced[resource].wait() for resource in resources))

    async def watch_over(self) -> None:
        """Wait until the mirroring of a resource ends by an error, as a handler's, and raise that."""
        await self._broken.wait()
        if self._error is not None:
            raise self._error

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
            self._broken.set()

    async def close(self) -> None:
        """Stop following."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object | None:
        """Return one mirrored object."""
        return self._objects.get(resource, {}).get(f"{namespace}/{name}")

    def all(self, resource: Resource, *, namespace: str | None = None) -> list[Object]:
        """Return the mirrored objects, of one namespace if given."""
        found = self._objects.get(resource, {}).values()
        return [item for item in found if namespace is None or namespace_of(item) == namespace]

    def owned_by(self, uid: str, resource: Resource) -> list[Object]:
        """Return the mirrored objects of a resource that name this uid as owner."""
        return [item for item in self._owned.get(uid, {}).values() if item["kind"] == resource.kind]

    def dependents(self, uid: str) -> list[Object]:
        """Return the mirrored objects of any resource that name this uid as owner."""
        return list(self._owned.get(uid, {}).values())

    def pods_on(self, node: str) -> list[Object]:
        """Return the mirrored pods that are bound to a node."""
        return list(self._on_node.get(node, {}).values())

    async def _mirror(self, resource: Resource) -> None:
        while True:
            try:
                items, version = await self._client.list(resource)
                self._replace(resource, items)
                self._synced[resource].set()
                async for event in self._client.watch(resource, version):
                    self._apply(resource, event.type, event.object)
            except ApiError as error:
                if error.code == 404:
                    self._replace(resource, [])
                    self._synced[resource].set()
                elif error.code != 410:
                    log.debug("mirror of %s: %s", resource.plural, error)
                await asyncio.sleep(0 if error.code == 410 else 0.1)

    def _replace(self, resource: Resource, items: Iterable[Object]) -> None:
        fresh = {key_of(item): item for item in items}
        for key, old in list(self._objects[resource].items()):
            if key not in fresh or uid_of(fresh[key]) != uid_of(old):
                self._apply(resource, "DELETED", old)
        for key, item in fresh.items():
            old_item = self._objects[resource].get(key)
            if old_item is None or old_item["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._apply(resource, "ADDED" if old_item is None else "MODIFIED", item)

    def _apply(self, resource: Resource, kind: Literal["ADDED", "MODIFIED", "DELETED"], item: Object) -> None:
        key = key_of(item)
        held = self._objects[resource]
        before = held.get(key)
        if before is not None:
            self._unindex(resource, before)
        if kind == "DELETED":
            held.pop(key, None)
        else:
            held[key] = item
            self._index(resource, item)
        change = Change(kind, item, before)
        for handler in self._handlers[resource]:
            handler(change)

    def _index(self, resource: Resource, item: Object) -> None:
        for reference in item["metadata"].get("ownerReferences") or ():
            self._owned[reference["uid"]][uid_of(item)] = item
        if resource is PODS and (node := item["spec"].get("nodeName")):
            self._on_node[node][uid_of(item)] = item

    def _unindex(self, resource: Resource, item: Object) -> None:
        for reference in item["metadata"].get("ownerReferences") or ():
            owned = self._owned.get(reference["uid"], {})
            owned.pop(uid_of(item), None)
            if not owned:
                self._owned.pop(reference["uid"], None)
        if resource is PODS and (node := item["spec"].get("nodeName")):
            self._on_node[node].pop(uid_of(item), None)


@dataclass(frozen=True)
class Site:
    """One API server as controllers see it: a seed or a user cluster."""

    name: str
    client: Client
    mirror: Mirror


class Controller(ABC):
    """A loop that makes the world match an object, one key at a time, again whenever something changes.

    A key that fails is tried again with growing pauses; a key queued while it runs, runs once more after.
    """

    name: ClassVar[str]
    follows: ClassVar[tuple[Resource, ...]] = ()
    """Resources that the mirror must hold before the first reconcile."""
    workers: ClassVar[int] = 1
    """How many keys are reconciled at a time; never one key twice. More than one pays where each waits for a wire."""

    def __init__(self, *, client: Client, mirror: Mirror, clock: Clock) -> None:
        self.client = client
        self.mirror = mirror
        self.clock = clock
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._timers: dict[str, tuple[float, asyncio.Handle]] = {}
        self._failures: dict[str, int] = defaultdict(int)
        self._busy: set[str] = set()
        self._queued_while_busy: set[str] = set()

    @abstractmethod
    def wire(self) -> None:
        """Subscribe to the mirror, so that changes call `enqueue`."""

    @abstractmethod
    async def reconcile(self, key: str) -> float | None:
        """Make the object of this key true; returns platform seconds after which to look again, if any."""

    def enqueue(self, key: str) -> None:
        """Have the key reconciled soon; once, however often it is asked."""
        if key not in self._queued:
            self._queued.add(key)
            self._queue.put_nowait(key)

    def enqueue_after(self, key: str, seconds: float) -> None:
        """Have the key reconciled after the given platform seconds; the earliest request wins."""
        self._later(key, self.clock.real_seconds(seconds))

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await self.mirror.follow(*self.follows)
        self.wire()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.workers):
                    group.create_task(self._work(), name=f"{self.name} worker")
        finally:
            for _, timer in self._timers.values():
                timer.cancel()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            self._queued.discard(key)
            if key in self._busy:
                self._queued_while_busy.add(key)
                continue
            self._busy.add(key)
            try:
                await self._reconcile_once(key)
            finally:
                self._busy.discard(key)
            if key in self._queued_while_busy:
                self._queued_while_busy.discard(key)
                self.enqueue(key)

    async def _reconcile_once(self, key: str) -> None:
        try:
            again = await self.reconcile(key)
        except ApiError as error:
            self._retry(key, error, expected=error.code in (404, 409, 429))
        except Exception as error:  # noqa: BLE001 - a controller outlives any single object, as the real ones do
            self._retry(key, error, expected=False)
        else:
            self._failures.pop(key, None)
            if again is not None:
                self.enqueue_after(key, again)

    def _retry(self, key: str, error: Exception, *, expected: bool) -> None:
        tries = self._failures[key]
        self._failures[key] += 1
        if not expected:
            log.warning("%s: %s failed: %s", self.name, key, error, exc_info=not isinstance(error, ApiError))
        self._later(key, RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])

    def _later(self, key: str, real_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + real_seconds
        # Noted here, for uvloop's handle of less than half a millisecond doesn't know when it is due.
        known_due, timer = self._timers.get(key, (due, None))
        if timer is not None and not timer.cancelled() and known_due <= due:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = due, loop.call_later(real_seconds, self._fire, key)

    def _fire(self, key: str) -> None:
        self._timers.pop(key, None)
        self.enqueue(key)


async def run_together(controllers: Iterable[Controller]) -> None:
    """Run controllers until cancelled; the end of one by an error is the end of all."""
    async with asyncio.TaskGroup() as group:
        for controller in controllers:
            group.create_task(controller.run(), name=controller.name)


@contextlib.contextmanager
def ignoring(*codes: int) -> Iterator[None]:
    """Pass over an `ApiError` with one of these codes, for changes that somebody else may have made already."""
    try:
        yield
    except ApiError as error:
        if error.code not in codes:
            raise
