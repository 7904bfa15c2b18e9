"""Patience with the Prefect server: a run whose server is away for a while, as for an upgrade, need not fail for it.

Prefect's client tries a request again for about a minute (3.8.8, PREFECT_CLIENT_MAX_RETRIES) and then gives up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

import httpx
from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

PATIENCE: Final = timedelta(minutes=30)
PAUSE_SECONDS: Final = 5.0
R = TypeVar("R")


async def patiently(
    ask: Callable[[], Awaitable[R]], *, patience: timedelta = PATIENCE, pause_seconds: float = PAUSE_SECONDS
) -> R:
    """Return what the Prefect server answers, asking again while it can't be reached, or fails; then raises that.

    Only for where a run may stand for that long: at a safe point.
    """
    ends = time.monotonic() + patience.total_seconds()
    while True:
        try:
            return await ask()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if time.monotonic() >= ends or not _is_away(error):
                raise
            _logger().warning("the Prefect server can't be reached, so the run waits here: %s", error)
            await asyncio.sleep(pause_seconds)


def _logger() -> Any:
    """Return the run's logger; hooks that a worker calls have none."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger(__name__)


def _is_away(error: httpx.TransportError | httpx.HTTPStatusError) -> bool:
    """Tell whether the server may be well again by itself: a 5xx is its database's or a proxy's, not the question's."""
    return isinstance(error, httpx.TransportError) or error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
