"""Streams a watch to an HTTP client, pushed the moment something changes. Refuses to filter: the store's watch does."""

from __future__ import annotations

import asyncio
import contextlib
import random

from lab.apiserver.exchange import Exchange
from lab.apiserver.problems import Violation, bad_request
from lab.apiserver.registry import Registry
from lab.apiserver.rendering import Rendering, error_event
from lab.apiserver.routes import is_set, seconds_in
from lab.apiserver.selectors import Selection
from lab.apiserver.store import Recorded, Watch
from lab.errors import ApiError

BOOKMARK_SECONDS = 60.0
BURST_SECONDS = 0.005
"""A change is sent at once; those that follow within this time go together: a thousand pods end in one second."""
LONGEST_SECONDS = 1800.0
"""A watch without timeoutSeconds ends after this to twice this, as with kube-apiserver's --min-request-timeout."""


async def stream_watch(exchange: Exchange, registry: Registry, rendering: Rendering, selection: Selection) -> None:
    """Send what happens to the selected objects until the client leaves, its time is over or the resource is gone."""
    _refuse_initial_events(exchange)
    shelf = registry.shelf(rendering.definition.resource)
    version = _version(exchange.query.get("resourceVersion", ""))
    seconds = _seconds(seconds_in(exchange.query, "timeoutSeconds"))
    try:
        watch = shelf.watch(selection, version, registry.store.version)
    except ApiError as error:
        # A version that is too old is told inside the watch (k8s.io/apiserver/pkg/storage/cacher).
        await exchange.begin_stream()
        await exchange.stream(error_event(error), end=True)
        return
    leaving = asyncio.create_task(exchange.client_left())
    leaving.add_done_callback(lambda _: watch.close())
    try:
        await exchange.begin_stream()
        await _Stream(exchange, registry, rendering, watch).run(seconds)
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

    async def run(self, seconds: float) -> None:
        """Send until the watch is closed or the seconds are over."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self._watch.is_closed() and (left := end - loop.time()) > 0:
            timer = loop.call_later(min(left, BOOKMARK_SECONDS), self._watch.wake)
            batch = await self._watch.next_batch()
            timer.cancel()
            if batch:
                await self._exchange.stream(b"".join([self._line(change) for change in batch]))
                await asyncio.sleep(BURST_SECONDS)
            elif self._bookmarks and not self._watch.is_closed() and loop.time() < end:
                await self._exchange.stream(self._rendering.bookmark(self._store.version))
        rest = [self._line(change) for change in self._watch.take()]
        if self._bookmarks and not self._watch.is_closed():
            rest.append(self._rendering.bookmark(self._store.version))
        await self._exchange.stream(b"".join(rest), end=True)

    def _line(self, change: Recorded) -> bytes:
        line = self._rendering.event(change, first=self._first)
        self._first = False
        return line


def _refuse_initial_events(exchange: Exchange) -> None:
    """Answer as a server without the WatchList feature, whereupon clients list and then watch."""
    if "sendInitialEvents" in exchange.query:
        forbidden = Violation.forbidden(
            "sendInitialEvents", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        )
        cause = {"reason": forbidden.reason, "message": forbidden.message, "field": forbidden.field}
        raise ApiError(
            422,
            f'ListOptions.meta.k8s.io "" is invalid: {forbidden.field}: {forbidden.message}',
            details={"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]},
        )


def _version(text: str) -> int | None:
    """Return the version to start after, None to begin with everything there is."""
    if text in ("", "0"):
        return None
    if not text.isdecimal():
        raise bad_request(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def _seconds(asked: int | None) -> float:
    if asked:
        return float(asked)
    return LONGEST_SECONDS * (1 + random.random())  # noqa: S311 - spreads reconnects, nothing secret
