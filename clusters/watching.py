"""Waiting by watching: a live view of some objects, and a wait on it that ends by a judgement or a deadline.

Nothing polls. A view lists once, then watches from the list's resourceVersion; a watch that the server ends in order is
taken up at the last version seen, and one that was cut or has expired lists again. A custom kind that doesn't exist yet
is awaited by watching its definition.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Generic, Protocol, TypeVar

from clusters.kinds import CUSTOM_RESOURCE_DEFINITIONS, Kind
from migration.errors import ClusterError, DeadlineExceeded, Expired, NotFound, Permanent, Transient

T = TypeVar("T")
Tell = Callable[[str], None]
"""Takes a line for people: a change of what is being waited for."""
Progress = Callable[[int, int, str], None]
"""Takes how far a long step is: how many are done, of how many, and of what. Called often; costs nothing."""

RETRY_PAUSES_SECONDS: Final = (0.2, 1.0, 3.0, 10.0)
COALESCE_SECONDS: Final = 0.05
"""Changes that come close together are judged together: a thousand pods end within a second."""
TELL_SECONDS: Final = 1.0
SHORT_WATCH_SECONDS: Final = 5.0
"""A watch that ends sooner and shows nothing counts as trouble: what ends it will end the next."""
FIRST_ANSWER: Final = "a first answer of the API server"
TOLERATED_FAULT_SECONDS: Final = 300.0
"""For how long an API server may fail before a wait gives up on it; the wait's own deadline may be earlier."""


class Watched(Protocol):
    """What can be watched: an API server, or what is made to look like one."""

    def pages(
        self, kind: Kind, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[list[Any], str]]:
        """Yield pages of objects, with the list's resourceVersion."""

    def watch(
        self, kind: Kind, *, resource_version: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Any]]:
        """Yield type and object of each event until the watch ends."""


@dataclass
class Live(Generic[T]):
    """What one watch shows: objects by `namespace/name`, narrowed to what the waiting rule needs."""

    api: Watched
    kind: Kind
    narrow: Callable[[Any], T]
    namespace: str = ""
    labels: str = ""
    fields: str = ""
    objects: dict[str, T] = field(default_factory=dict)
    fault: ClusterError | None = None
    """Why nothing new is known at the moment."""

    def get(self, name: str, *, namespace: str = "") -> T | None:
        """Return one object."""
        return self.objects.get(f"{namespace}/{name}")

    def values(self) -> tuple[T, ...]:
        """Return all objects."""
        return tuple(self.objects.values())


class View:
    """Several watches together; every change wakes whoever waits."""

    def __init__(self) -> None:
        self._next_change = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._lives: list[Live[Any]] = []
        self._listed: list[asyncio.Event] = []
        self.changes = 0
        """How many changes there were, for `changed(since=...)`."""

    async def until(
        self,
        judge: Callable[[], str | None],
        *,
        what: str,
        deadline: timedelta,
        tell: Tell,
        advice: str = "",
        rejudge_seconds: float | None = None,
    ) -> None:
        """Return once `judge` answers None; while it answers with what is missing, wait for the next change.

        `rejudge_seconds` asks again without a change, for judgements in which time plays a part; no request is made.
        Tells when the answer changes. Raises DeadlineExceeded with the last answer, and whatever `judge` raises.
        """
        started = time.monotonic()
        line = _Line(tell, quiet_until=0.0 if self._all_listed() else started + TELL_SECONDS)
        missing: str | None = ""
        while True:
            next_change = self._next_change
            self._raise_ended()
            missing = judge() if self._all_listed() else with_faults(FIRST_ANSWER, *self._lives)
            if missing is None:
                return
            untold_seconds = line.say(missing)
            left = started + deadline.total_seconds() - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(what, deadline, missing, advice)
            # Not wait_for, which swallows a cancellation that meets a change (python/cpython#86296, gone in 3.12).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, rejudge_seconds or left, untold_seconds or left)):
                    await next_change.wait()
                    await asyncio.sleep(COALESCE_SECONDS)

    async def listed(self) -> None:
        """Return once every watch has listed its objects. Raises what ended a watch for good."""
        while True:
            next_change = self._next_change
            self._raise_ended()
            if self._all_listed():
                return
            await next_change.wait()

    async def changed(self, *, since: int | None = None) -> None:
        """Return at the next change, at once if `changes` is past `since`. Raises what ended a watch for good."""
        next_change = self._next_change
        self._raise_ended()
        if since is None or since == self.changes:
            await next_change.wait()
        self._raise_ended()

    def follow(self, live: Live[Any]) -> None:
        """Start a watch."""
        listed = asyncio.Event()
        self._lives.append(live)
        self._listed.append(listed)
        self._tasks.append(asyncio.create_task(self._follow(live, listed), name=f"watch {live.kind.plural}"))

    async def close(self) -> None:
        """End all watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _all_listed(self) -> bool:
        return all(listed.is_set() for listed in self._listed)

    def _raise_ended(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _follow(self, live: Live[Any], listed: asyncio.Event) -> None:
        faults, is_defined = _Faults(), True
        try:
            while True:
                try:
                    if not is_defined:
                        await _until_defined(live, faults)
                    version = await self._list(live)
                    is_defined = True
                    faults.answered()
                    listed.set()
                    self._wake(live, None)
                    await self._watch(live, version, faults)
                except Expired:
                    faults.count += 1
                except NotFound as error:
                    if not live.kind.custom:
                        raise
                    is_defined = False
                    faults.answered()
                    live.objects.clear()
                    listed.set()
                    self._wake(live, error)
                except Permanent:
                    raise
                except Transient as error:
                    faults.count += 1
                    if faults.lasting() > TOLERATED_FAULT_SECONDS:
                        raise
                    self._wake(live, error)
                await asyncio.sleep(_pause(faults.count))
        finally:
            self._notify()

    async def _list(self, live: Live[Any]) -> str:
        found: dict[str, Any] = {}
        version = ""
        pages = live.api.pages(live.kind, namespace=live.namespace, labels=live.labels, fields=live.fields)
        async for items, listed_at in pages:
            found.update((_key(item), live.narrow(item)) for item in items)
            version = listed_at
        live.objects.clear()
        live.objects.update(found)
        return version

    async def _watch(self, live: Live[Any], version: str, faults: _Faults) -> None:
        """Follow events until a fault; a watch that the server ends in order is taken up where it ended."""
        while True:
            began = time.monotonic()
            async for kind, item in live.api.watch(
                live.kind, resource_version=version, namespace=live.namespace, labels=live.labels, fields=live.fields
            ):
                version = item["metadata"]["resourceVersion"]
                faults.over()
                if kind == "BOOKMARK":
                    continue
                if kind == "DELETED":
                    live.objects.pop(_key(item), None)
                else:
                    live.objects[_key(item)] = live.narrow(item)
                self._wake(live, None)
            if time.monotonic() - began > SHORT_WATCH_SECONDS:
                faults.over()
            else:
                faults.count += 1
            await asyncio.sleep(_pause(faults.count))

    def _wake(self, live: Live[Any], fault: ClusterError | None) -> None:
        live.fault = fault
        self._notify()

    def _notify(self) -> None:
        # A fresh event for the next change: several waiters, none of which can miss or swallow another's.
        self.changes += 1
        changed, self._next_change = self._next_change, asyncio.Event()
        changed.set()


@dataclass
class _Faults:
    """The trouble that one watch has had in a row."""

    count: int = 0
    _answered_at: float = field(default_factory=time.monotonic)

    def answered(self) -> None:
        """Note that the server is there, though a watch on it may still fail."""
        self._answered_at = time.monotonic()

    def over(self) -> None:
        """Note that all is well."""
        self.count = 0
        self.answered()

    def lasting(self) -> float:
        """Return for how many seconds the server has not answered."""
        return time.monotonic() - self._answered_at


class _Line:
    """Tells a text when it changes, and not more often than people can read."""

    def __init__(self, tell: Tell, *, quiet_until: float) -> None:
        self._tell = tell
        self._told, self._quiet_until = "", quiet_until

    def say(self, missing: str) -> float | None:
        """Tell unless it was told; returns after how many seconds to come back if something was told just before."""
        now = time.monotonic()
        if missing == self._told:
            return None
        if now < self._quiet_until:
            return self._quiet_until - now
        self._tell(f"waiting for {missing}")
        self._told, self._quiet_until = missing, now + TELL_SECONDS
        return None


def no_progress(_done: int, _of: int, _what: str) -> None:
    """Take how far a step is, and tell nobody."""


@asynccontextmanager
async def watching(*lives: Live[Any]) -> AsyncIterator[View]:
    """Open a view of these objects; its watches end with the block."""
    view = View()
    try:
        for live in lives:
            view.follow(live)
        yield view
    finally:
        await view.close()


def with_faults(missing: str, *lives: Live[Any]) -> str:
    """Return a text for people, with the faults that keep it from being newer."""
    faults = [str(live.fault) for live in lives if isinstance(live.fault, Transient)]
    return f"{missing} (not up to date: {faults[0]})" if faults else missing


async def _until_defined(live: Live[Any], faults: _Faults) -> None:
    """Return when the kind's CustomResourceDefinition is established."""
    name = live.kind.group_resource
    fields = f"metadata.name={name}"
    while True:
        version = ""
        async for items, listed_at in live.api.pages(CUSTOM_RESOURCE_DEFINITIONS, fields=fields):
            if any(_is_established(item) for item in items):
                return
            version = listed_at
        faults.answered()
        with contextlib.suppress(Expired):
            async for _, item in live.api.watch(CUSTOM_RESOURCE_DEFINITIONS, resource_version=version, fields=fields):
                if _is_established(item):
                    return
        await asyncio.sleep(_pause(0))


def _is_established(definition: Mapping[str, Any]) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def _key(item: Mapping[str, Any]) -> str:
    metadata = item["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def _pause(faults: int) -> float:
    """Return for how long to wait before the next request: little for the first fault, more for those after it."""
    index = min(max(faults - 1, 0), len(RETRY_PAUSES_SECONDS) - 1)
    return RETRY_PAUSES_SECONDS[index] * random.uniform(0.8, 1.2)  # noqa: S311
