"""The cluster's lock, held by a flow run from its first change to its last."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, NoReturn

from prefect import runtime
from prefect.logging import get_run_logger

from clusters.lock import RENEW_SECONDS, renew_lock, still_held, try_lock, who_holds
from clusters.seed import open_cluster
from clusters.steps.locking import free_lock
from migration.errors import LockLost, MigrationError
from migration.models import ClusterRef
from tasks import clock
from tasks.policy import looking_task
from tasks.rescheduling import AWAITING_LOCK, put_off, waiting_since

SHORTEST_PAUSE: Final = timedelta(seconds=15)
LONGEST_PAUSE: Final = timedelta(minutes=5)
"""Between two looks at a lock that another run has; each look costs a process."""


def new_holder() -> str:
    """Return the name under which this attempt of the run holds locks.

    A run that is started again must not pass for its former self, which may live on beside it.
    """
    return f"{runtime.flow_run.id}/{secrets.token_hex(3)}"


@asynccontextmanager
async def cluster_lock(cluster: ClusterRef, holder: str, *, patience: timedelta) -> AsyncIterator[None]:
    """Hold the cluster's lock inside of the block; if another run has it, this one is put off.

    Raises LockHeld once it has waited longer than its patience. Whatever opens the cluster with this holder changes
    nothing any more when the lock is lost.
    """
    other = await take_lock(cluster, holder)
    if other is not None:
        await _put_off(cluster, other, patience)
    renewal = asyncio.create_task(_renew(cluster, holder), name="renew lock")
    try:
        yield
    finally:
        renewal.cancel()
        await asyncio.gather(renewal, return_exceptions=True)
        await _release(cluster, holder)


async def await_other_run(cluster: ClusterRef, *, patience: timedelta) -> None:
    """Put the run off while another one works on the cluster: what that is in the middle of must not be judged."""
    other = await look_at_lock(cluster)
    if other is not None:
        await _put_off(cluster, other, patience)


@looking_task("take the lock", retries=4)
async def take_lock(cluster: ClusterRef, holder: str) -> str | None:
    """Leave the cluster's lock with this holder unless another one has it, which is returned."""
    async with open_cluster(cluster, get_run_logger().info) as opened:
        return await try_lock(opened.api, holder)


@looking_task("look at the lock", retries=4)
async def look_at_lock(cluster: ClusterRef) -> str | None:
    """Return who works on the cluster; None if nobody does."""
    async with open_cluster(cluster, get_run_logger().info) as opened:
        return await who_holds(opened.api)


async def _put_off(cluster: ClusterRef, other: str, patience: timedelta) -> NoReturn:
    """Have the run look at the lock again in a while. Raises LockHeld when patience has ended."""
    now = clock.now()
    waited = now - (await waiting_since(AWAITING_LOCK) or now)
    if waited >= patience:
        raise still_held(cluster, other, waited=waited)
    until = now + _pause(waited, patience)
    own = f"an earlier attempt of this run ({other}) may still be at work here, until its lock is a minute old"
    who = own if str(runtime.flow_run.id) in other else f"{other} works on this cluster"
    message = f"{cluster}: {who}. Looked at again at {_moment(until)}"
    await put_off(AWAITING_LOCK, until=until, message=message)


def _pause(waited: timedelta, patience: timedelta) -> timedelta:
    return min(max(SHORTEST_PAUSE, waited / 4), LONGEST_PAUSE, patience - waited)


def _moment(when: datetime) -> str:
    return f"{when:%H:%M:%S} UTC"


async def _release(cluster: ClusterRef, holder: str) -> None:
    logger = get_run_logger()
    try:
        await free_lock(cluster, holder, logger.info)
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
        except MigrationError as error:  # refused once is not lost: the lease tells, before the next change
            logger.warning("the lock could not be renewed yet: %s", error)
