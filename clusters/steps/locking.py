"""Freeing a cluster's lock through whatever stands between: one that stays behind keeps everybody out for a minute."""

from __future__ import annotations

from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_chain, wait_fixed

from clusters.lock import release_lock
from clusters.seed import open_cluster
from clusters.watching import Tell
from migration.errors import Transient
from migration.models import ClusterRef

PAUSES_SECONDS: Final = (1.0, 3.0, 10.0)
"""Together shorter than Prefect leaves a cancelled run (30 s), with the tries of each request in between."""


async def free_lock(ref: ClusterRef, holder: str, tell: Tell) -> None:
    """Free the cluster's lock if `holder` has it, in spite of passing trouble on the way.

    Raises MigrationError if that can't be done: then the lock expires by itself.
    """
    trying = AsyncRetrying(
        retry=retry_if_exception_type(Transient),
        stop=stop_after_attempt(len(PAUSES_SECONDS) + 1),
        wait=wait_chain(*map(wait_fixed, PAUSES_SECONDS)),
        reraise=True,
    )
    await trying(_free, ref, holder, tell)


async def _free(ref: ClusterRef, holder: str, tell: Tell) -> None:
    async with open_cluster(ref, tell) as opened:
        await release_lock(opened.api, holder)
