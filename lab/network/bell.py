"""Waiting for something that others make true. Refuses to poll: whoever changes something rings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Bell:
    """Wakes everybody who waits, each time it is rung."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Have every waiter look again."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def until(self, is_true: Callable[[], bool], *, real_seconds: float) -> bool:
        """Return True once it is true, False when the time is over first."""
        try:
            async with asyncio.timeout(real_seconds):
                while not is_true():
                    await self._rung.wait()
        except TimeoutError:
            return False
        return True
