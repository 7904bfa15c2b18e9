"""How far a long step is, as a progress artifact on its task run's page: kept up to date, and never in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from clusters.watching import Progress
from migration.models import ClusterRef

if TYPE_CHECKING:
    from uuid import UUID

FIRST_SECONDS: Final = 3.0
"""A step that is through before has no need of a bar."""
UPDATE_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 5.0
LAST_PATIENCE_SECONDS: Final = 2.0

_logger: Final = logging.getLogger(__name__)


@asynccontextmanager
async def progress_artifact(cluster: ClusterRef, step: str) -> AsyncIterator[Progress]:
    """Give what takes a step's progress and shows it while the block lasts."""
    bar = _Bar(cluster, step)
    showing = asyncio.create_task(bar.show_now_and_then(), name="show progress")
    try:
        yield bar.take
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        if bar.is_shown:
            await bar.show(LAST_PATIENCE_SECONDS)


@dataclass
class _Bar:
    cluster: ClusterRef
    step: str
    _now: tuple[int, int, str] = (0, 0, "")
    _shown: tuple[int, int, str] = (0, 0, "")
    _artifact: UUID | None = field(default=None)

    @property
    def is_shown(self) -> bool:
        """Whether there is an artifact by now."""
        return self._artifact is not None

    def take(self, done: int, of: int, what: str) -> None:
        """Remember how far the step is."""
        self._now = done, of, what

    async def show_now_and_then(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            await self.show(PATIENCE_SECONDS)
            await asyncio.sleep(UPDATE_SECONDS)

    async def show(self, patience_seconds: float) -> None:
        """Leave the artifact as far as the step is; without a server that answers, as it was."""
        now = self._now
        if now == self._shown or not now[1]:
            return
        try:
            async with asyncio.timeout(patience_seconds):
                await self._show(*now)
            self._shown = now
        except Exception as error:  # noqa: BLE001 - a bar that stands still is no reason to end a migration
            _logger.debug("the progress of %s can't be shown: %s", self.cluster, type(error).__name__)

    async def _show(self, done: int, of: int, what: str) -> None:
        percent = round(100 * done / of, 1)
        text = f"{self.cluster}: {self.step}: {done} of {of} {what}"
        if self._artifact is None:
            key = f"migration-progress-{self.cluster.name}"
            self._artifact = await acreate_progress_artifact(percent, key=key, description=text)
        else:
            await aupdate_progress_artifact(self._artifact, percent, description=text)
