"""The cluster's lock, held by a flow run from its first change to its last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from prefect.logging import get_run_logger

from clusters.lock import RENEW_SECONDS, acquire_lock, release_lock, renew_lock
from clusters.seed import open_cluster
from migration.errors import LockLost, MigrationError
from migration.models import ClusterRef


@asynccontextmanager
async def cluster_lock(cluster: ClusterRef, holder: str, *, wait: timedelta) -> AsyncIterator[None]:
    """Hold the cluster's lock inside of the block. Raises LockHeld if another run keeps it for longer than `wait`.

    The steps look whether it is still held before they change anything, so a lost lock stops the run at its next step.
    """
    logger = get_run_logger()
    async with open_cluster(cluster, logger.info) as opened:
        await acquire_lock(opened.api, holder, deadline=wait, tell=logger.info)
        renewal = asyncio.create_task(_renew(cluster, holder), name="renew lock")
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
            try:
                await release_lock(opened.api, holder)
            except MigrationError as error:
                # What ended the block, if anything did, is what people have to read.
                logger.warning("the lock could not be freed, it expires by itself: %s", error)


async def _renew(cluster: ClusterRef, holder: str) -> None:
    logger = get_run_logger()
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            async with open_cluster(cluster, logger.info) as opened:
                await renew_lock(opened.api, holder)
        except LockLost as error:
            logger.error("%s", error)
            return
        except MigrationError as error:  # refused once is not lost: the lease tells, at the next step at the latest
            logger.warning("the lock could not be renewed yet: %s", error)
