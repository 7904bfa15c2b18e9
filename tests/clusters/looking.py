"""Looking at the lab, which is another process, until it shows what a test needs."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

LONGEST_SECONDS = 20.0
PAUSE_SECONDS = 0.02  # nobody tells when another process changes


async def becomes(condition: Callable[[], Any], *, during: asyncio.Task[Any] | None = None) -> Any:
    """Return the first true value of a condition, which may be a coroutine function.

    Fails when it stays false for long, and at once when the task that should make it true has ended.
    """
    ends = time.monotonic() + LONGEST_SECONDS
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert during is None or not during.done(), f"ended too early: {during}"
        assert time.monotonic() < ends, f"did not come true within {LONGEST_SECONDS:g} s; last seen: {found!r}"
        await asyncio.sleep(PAUSE_SECONDS)
