"""How long a lab lives: as long as its block, and no longer than any part of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


class LabFailed(Exception):
    """A part of the lab ended by an error, or a user cluster did not settle."""


@contextlib.asynccontextmanager
async def alive(life: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `life` beside the block, which is cancelled when it ends by itself; raises LabFailed then."""
    block = asyncio.current_task()
    living = asyncio.create_task(life, name="lab")
    if block is not None:
        living.add_done_callback(lambda task: None if task.cancelled() else block.cancel())
    try:
        yield
    except BaseException as error:
        if not living.done():
            raise
        if isinstance(error, asyncio.CancelledError) and block is not None:
            block.uncancel()
        raise LabFailed(_reason(living)) from error
    else:
        if living.done():
            raise LabFailed(_reason(living))
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)


def _reason(living: asyncio.Task[None]) -> str:
    """Return, in one line, the first error inside nested groups, naming its kind."""
    error = living.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return "it did not settle in time"
    return f"{type(error).__name__}: {error}"
