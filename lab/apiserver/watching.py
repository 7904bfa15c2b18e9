"""Streams a watch to an HTTP client, pushed the moment something changes. Refuses to filter: the store's watch does."""

from __future__ import annotations

import asyncio
import contextlib
import random

from lab.apiserver.exchange import Exchange
from lab.apiserver.lists.options import read_version
from lab.apiserver.lists.selectors import Selection
from lab.apiserver.problems import Violation, invalid_options
from lab.apiserver.registry import Registry
from lab.apiserver.rendering import Rendering, error_event
from lab.apiserver.routes import is_set, number_in
from lab.apiserver.store import Recorded, Watch
from lab.errors import ApiError

BOOKMARK_SECONDS = 60.0
BOOKMARK_BEFORE_END_SECONDS = 2.0
BURST_SECONDS = 0.005
"""A change is sent at once; those that follow within this time go together: a thousand pods end in one second."""
LONGEST_SECONDS = 1800.0
"""A watch without timeoutSeconds ends after this to twice this, as with kube-apiserver's --min-request-timeout."""


async def stream_watch(exchange: Exchange, registry: Registry, rendering: Rendering, selection: Selection) -> None:
    """Send what happens to the selected objects until the client leaves, its time is over or the resource is gone."""
    _check_options(exchange.query)
    shelf = registry.shelf(rendering.definition.resource)
    version = read_version(exchange.query) or None
    initial = _wants_initial_events(exchange.query)
    if version is None and initial is False:
        version = registry.store.version
    seconds = _seconds(number_in(exchange.query, "timeoutSeconds"))
    try:
        watch = shelf.watch(selection, None if initial else version)
    except ApiError as error:
        # A version that is too old is told inside the watch (k8s.io/apiserver/pkg/storage/cacher).
        await exchange.begin_stream()
        await exchange.stream(error_event(error), end=True)
        return
    leaving = asyncio.create_task(exchange.client_left())
    leaving.add_done_callback(lambda _: watch.close())
    try:
        await exchange.begin_stream()
        await _Stream(exchange, registry, rendering, watch).run(seconds, mark_initial=bool(initial))
    finally:
        shelf.unwatch(watch)
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving


class _Stream:
    def __init__(self, exchange: Exchange, registry: Registry, rendering: Rendering, watch: Watch) -> None:
        self._exchange = exchange
        self._store = registry.store
        self._rendering = rendering
        self._watch = watch
        self._bookmarks = is_set(exchange.query, "allowWatchBookmarks")
        self._first = True

    async def run(self, seconds: float, *, mark_initial: bool) -> None:
        """Send until the watch is closed or the seconds are over; `mark_initial` tells when all there was is sent."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        if mark_initial:
            await self._send_initial()
        mark = _next_bookmark(loop.time(), end)
        while not self._watch.is_closed() and (left := end - loop.time()) > 0:
            timer = loop.call_later(min(left, max(0.0, mark - loop.time())), self._watch.wake)
            batch = await self._watch.next_batch()
            timer.cancel()
            if batch:
                await self._exchange.stream(b"".join([self._line(change) for change in batch]))
                await asyncio.sleep(BURST_SECONDS)
            if mark <= loop.time() < end and not self._watch.is_closed():
                await self._send_bookmark()
                mark = _next_bookmark(loop.time(), end)
        await self._exchange.stream(b"".join([self._line(change) for change in self._watch.take()]), end=True)

    async def _send_initial(self) -> None:
        lines = [self._line(change) for change in self._watch.take()]
        if self._bookmarks:
            lines.append(self._rendering.bookmark(self._store.version, initial_events_end=True))
        await self._exchange.stream(b"".join(lines))

    async def _send_bookmark(self) -> None:
        """Send what has been queued, and then how far that is; nothing can come in between."""
        lines = [self._line(change) for change in self._watch.take()]
        if self._bookmarks:
            lines.append(self._rendering.bookmark(self._store.version))
        if lines:
            await self._exchange.stream(b"".join(lines))

    def _line(self, change: Recorded) -> bytes:
        line = self._rendering.event(change, first=self._first)
        self._first = False
        return line


def _next_bookmark(now: float, end: float) -> float:
    """Return when a bookmark is due (k8s.io/apiserver v0.35, storage/cacher/cache_watcher.go)."""
    before_end = end - BOOKMARK_BEFORE_END_SECONDS
    return min(now + BOOKMARK_SECONDS, before_end) if before_end > now else now + BOOKMARK_SECONDS


def _check_options(query: dict[str, str]) -> None:
    """Raise the 422 of a watch that asks for what does not go together.

    Source: k8s.io/apimachinery v0.35, pkg/apis/meta/internalversion/validation.
    """
    number_in(query, "limit")
    match, found = query.get("resourceVersionMatch", ""), []
    if query.get("continue") and _wants_initial_events(query) is not None:
        detail = "resourceVersionMatch is forbidden when continue is provided"
        found.append(Violation.forbidden("resourceVersionMatch", detail))
    if "sendInitialEvents" in query:
        if match != "NotOlderThan":
            detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            found.append(Violation.forbidden("resourceVersionMatch", detail))
        if match not in ("", "NotOlderThan"):
            found.append(Violation.unsupported("resourceVersionMatch", match, ("NotOlderThan",)))
    elif match:
        detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        found.append(Violation.forbidden("resourceVersionMatch", detail))
    if found:
        raise invalid_options(found)


def _wants_initial_events(query: dict[str, str]) -> bool | None:
    """Tell whether the watch is to begin with all there is; None leaves it to the resourceVersion.

    A watch from no version, or from 0, has always begun so, and is marked as if it had asked for it.
    """
    if "sendInitialEvents" in query:
        return is_set(query, "sendInitialEvents")
    return True if query.get("resourceVersion", "") in ("", "0") else None


def _seconds(asked: int | None) -> float:
    if asked:
        return float(asked)
    return LONGEST_SECONDS * (1 + random.random())  # noqa: S311 - spreads reconnects, nothing secret
