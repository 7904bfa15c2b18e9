"""Keeps the objects of one API server with their history, and tells watches of every change.

Refuses to judge content: what may be written is the registry's business. Nothing here awaits, so that every write is
atomic on the event loop. Stored objects are shared and never changed.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator
from typing import Literal

import orjson

from lab.apiserver.lists.selectors import Selection
from lab.apiserver.problems import expired_watch
from lab.objects import Object
from lab.platform.client import WatchEvent
from lab.resources import Resource

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

WATCH_HISTORY = 5_000
"""How many changes per resource a watch, or a paged list, may lie behind."""
WATCH_BACKLOG = 200_000
"""How many undelivered changes end a watch, as kube-apiserver ends the watch of a client that is too slow."""


class Stored:
    """One version of an object, with its JSON once somebody has asked for it."""

    __slots__ = ("_json", "creator", "object", "version")

    def __init__(self, found: Object, version: int) -> None:
        self.object = found
        self.version = version
        self.creator = ""
        """The field manager that has created the object, empty if nobody has noted it."""
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """The object as JSON, its kind and apiVersion first."""
        if self._json is None:
            found = self.object
            self._json = orjson.dumps({"kind": found["kind"], "apiVersion": found["apiVersion"], **found})
        return self._json


class Recorded:
    """One change in the history of a resource. `before` is the version that it replaced or removed."""

    __slots__ = ("_event", "before", "key", "stored", "type")

    def __init__(self, kind: EventType, key: str, stored: Stored, before: Stored | None) -> None:
        self.type = kind
        self.key = key
        self.stored = stored
        self.before = before
        self._event: WatchEvent | None = None

    @property
    def event(self) -> WatchEvent:
        """The change as in-process watches see it."""
        if self._event is None:
            self._event = WatchEvent(self.type, self.stored.object)
        return self._event

    def seen_by(self, selection: Selection) -> Recorded | None:
        """Return the change as it looks through a selection, None when it stays outside.

        An object that comes to match is ADDED, one that no longer does is DELETED with its last matching content.
        """
        if selection.everything:
            return self
        now = selection.holds(self.stored.object)
        if not selection.by_content or self.type != "MODIFIED" or self.before is None:
            return self if now else None
        if now == selection.holds(self.before.object):
            return self if now else None
        if now:
            return Recorded("ADDED", self.key, self.stored, self.before)
        last = self.before.object
        metadata = {**last["metadata"], "resourceVersion": str(self.stored.version)}
        return Recorded("DELETED", self.key, Stored({**last, "metadata": metadata}, self.stored.version), self.before)


class Watch:
    """A queue of the changes that one client has yet to receive."""

    def __init__(self, selection: Selection, *, after: int = 0) -> None:
        self.selection = selection
        self._after = after
        self._closed = False
        self._pending: deque[Recorded] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def push(self, change: Recorded) -> None:
        """Queue a change if it is new to the watch and the selection lets it through."""
        if change.stored.version <= self._after:
            return
        seen = change.seen_by(self.selection)
        if seen is not None and not self._closed:
            self._pending.append(seen)
            if len(self._pending) > WATCH_BACKLOG:
                self._closed = True
            self.wake()

    def is_closed(self) -> bool:
        """Tell whether nothing more will be queued."""
        return self._closed

    def close(self) -> None:
        """End the watch once what is queued has been taken."""
        self._closed = True
        self.wake()

    def wake(self) -> None:
        """Have a waiting `next_batch` return, with nothing if nothing is queued."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def take(self) -> list[Recorded]:
        """Return what is queued, without waiting."""
        batch = list(self._pending)
        self._pending.clear()
        return batch

    async def next_batch(self) -> list[Recorded]:
        """Wait for changes; an empty batch means that the watch was woken or closed."""
        if not self._pending and not self._closed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.take()


class Shelf:
    """The objects of one resource, their recent history and who watches them."""

    def __init__(self, resource: Resource, history: int, floor: int) -> None:
        self.resource = resource
        self.revision = 0
        """Raised by every change."""
        self.objects: dict[str, Stored] = {}
        self._keys: list[str] = []
        self._history: deque[Recorded] = deque()
        self._limit = history
        self._floor = floor
        """The history is complete after this version."""
        self._watches: set[Watch] = set()

    def put(self, kind: EventType, key: str, stored: Stored) -> None:
        """Take in a new version of an object, or its removal, and tell the watches."""
        self.revision += 1
        before = self.objects.get(key)
        if kind == "DELETED":
            del self.objects[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            if before is None:
                insort(self._keys, key)
            self.objects[key] = stored
        change = Recorded(kind, key, stored, before)
        self._history.append(change)
        if len(self._history) > self._limit:
            self._floor = self._history.popleft().stored.version
        for watch in self._watches:
            watch.push(change)

    def range(self, namespace: str = "", after: str = "") -> list[Stored]:
        """Return the objects of a namespace (all if empty) in key order, those after a key only."""
        keys = self._keys
        low = bisect_left(keys, f"{namespace}/") if namespace else 0
        high = bisect_left(keys, f"{namespace}0") if namespace else len(keys)  # "0" follows "/" in ASCII
        if after:
            low = max(low, bisect_right(keys, after))
        objects = self.objects
        return [objects[key] for key in keys[low:high]]

    def as_of(self, version: int, namespace: str = "", after: str = "") -> list[Stored]:
        """Return what `range` would have returned at an earlier version, which must not be forgotten."""
        then = {stored_key(s): s for s in self.range(namespace, after)}
        prefix = f"{namespace}/" if namespace else ""
        for change in self._since_backwards(version):
            if change.key > after and change.key.startswith(prefix):
                if change.before is None:
                    then.pop(change.key, None)
                else:
                    then[change.key] = change.before
        return [then[key] for key in sorted(then)]

    def changed_since(self, version: int) -> bool:
        """Tell whether anything here is newer than a version."""
        return bool(self._history) and self._history[-1].stored.version > version

    def is_forgotten(self, version: int) -> bool:
        """Tell whether the state at a version can no longer be told."""
        return version < self._floor

    def _since_backwards(self, version: int) -> Iterator[Recorded]:
        for change in reversed(self._history):
            if change.stored.version <= version:
                return
            yield change

    def watch(self, selection: Selection, version: int | None) -> Watch:
        """Return a watch of what happens after a version; without one it begins with everything there is.

        Raises the 410 of a version whose successors are forgotten. A version that is yet to come is waited for.
        """
        watch = Watch(selection, after=version or 0)
        if version is None:
            for stored in self.range(selection.namespace):
                watch.push(Recorded("ADDED", stored_key(stored), stored, None))
        elif self.is_forgotten(version):
            raise expired_watch(version, self._floor)
        else:
            for change in reversed(list(self._since_backwards(version))):
                watch.push(change)
        self._watches.add(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Stop telling a watch."""
        self._watches.discard(watch)

    def close(self) -> None:
        """End every watch."""
        for watch in self._watches:
            watch.close()

    def forget_history(self, current: int) -> None:
        """Make every version before the current one too old, as an etcd compaction does."""
        self._history.clear()
        self._floor = current


class Store:
    """All objects of one API server under one resourceVersion counter."""

    def __init__(self, *, history: int = WATCH_HISTORY) -> None:
        self.version = 1
        self._history = history
        self._shelves: dict[tuple[str, str], Shelf] = {}

    def open(self, resource: Resource) -> Shelf:
        """Return the shelf of a resource, made if it is new."""
        key = (resource.group, resource.plural)
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = Shelf(resource, self._history, self.version)
        return shelf

    def drop(self, resource: Resource) -> None:
        """Delete every object of a resource, and end its watches."""
        shelf = self._shelves.pop((resource.group, resource.plural), None)
        if shelf is not None:
            for key, stored in list(shelf.objects.items()):
                self.write(shelf, "DELETED", key, stored.object)
            shelf.close()

    def write(self, shelf: Shelf, kind: EventType, key: str, found: Object) -> Stored:
        """Record a change under the next resourceVersion, which the stored copy of the object carries."""
        self.version += 1
        metadata = {**found["metadata"], "resourceVersion": str(self.version)}
        stored = Stored({**found, "metadata": metadata}, self.version)
        shelf.put(kind, key, stored)
        return stored

    def forget_history(self) -> None:
        """Make every earlier resourceVersion too old for watches and paged lists."""
        for shelf in self._shelves.values():
            shelf.forget_history(self.version)


def stored_key(stored: Stored) -> str:
    """Return the key under which a stored object lies."""
    metadata = stored.object["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"
