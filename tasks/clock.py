"""The clock on the wall, which windows go by. Read here alone, so that a test can have it show another time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

LONGEST_NAP_SECONDS: Final = 30.0


def now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


async def sleep_until(moment: datetime) -> None:
    """Return at this time of the wall clock, also if it is put forward or back meanwhile."""
    while (left := (moment - now()).total_seconds()) > 0:  # noqa: ASYNC110 - nobody tells when a clock is put forward
        await asyncio.sleep(min(left, LONGEST_NAP_SECONDS))
