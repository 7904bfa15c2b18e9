"""The lab's time: every delay of the platform is waited for here, divided by the speed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(eq=False)
class Clock:
    """Platform seconds, `speed` of which pass in one real second. Timestamps in objects stay real.

    The speed may be changed at any time; delays that are already being waited for keep the speed they began with.
    """

    speed: float = 1.0

    def real_seconds(self, seconds: float) -> float:
        """Return how many real seconds the given platform seconds take."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait for the given platform seconds."""
        await asyncio.sleep(self.real_seconds(seconds))

    def call_later(self, seconds: float, callback: object, *arguments: object) -> asyncio.TimerHandle:
        """Call back after the given platform seconds, on the running loop."""
        return asyncio.get_running_loop().call_later(self.real_seconds(seconds), callback, *arguments)  # type: ignore[arg-type]
