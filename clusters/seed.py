"""Opening KKP by the name of a connection, and through it the API of a user cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from clusters.api import KubeApi, open_api
from clusters.connections import Connection, SeedConnection, find_connection
from clusters.evidence import keeping
from clusters.expiry import expires_at
from clusters.kkp_api.opening import open_kkp
from clusters.kubernetes_seed import KubernetesSeed
from clusters.lock import LockFence
from clusters.recording import ChangeRecorder
from clusters.watching import Progress, Tell, no_progress
from clusters.ways_in import CONFLICT_TRIES, Seed, WayIn
from migration.errors import Unauthorized
from migration.models import ClusterRef

__all__ = ["CONFLICT_TRIES", "KubernetesSeed", "OpenedCluster", "Seed", "WayIn", "open_cluster", "open_seed"]


@asynccontextmanager
async def open_seed(connection: str) -> AsyncIterator[Seed]:
    """Open KKP by the name of a configured connection, whichever way in that is."""
    async with open_connection(await find_connection(connection)) as seed:
        yield seed


@asynccontextmanager
async def open_connection(connection: Connection) -> AsyncIterator[Seed]:
    """Open KKP by a connection, which may not be configured yet."""
    if isinstance(connection, SeedConnection):
        async with open_api(connection.kubeconfig, where=f"seed {connection.name}") as api:
            yield KubernetesSeed(api, connection.name, expires_at=expires_at(connection.kubeconfig))
    else:
        async with open_kkp(connection) as seed:
            yield seed


@dataclass(frozen=True)
class OpenedCluster:
    """A user cluster with its seed, ready for the steps of a runbook; `tell` takes what people should see."""

    ref: ClusterRef
    seed: Seed
    api: KubeApi
    tell: Tell
    way_in: WayIn
    expires_at: datetime | None = None
    """When the way in ends, as far as it says."""
    progress: Progress = no_progress
    """Takes how far a long step is."""


@asynccontextmanager
async def open_cluster(
    ref: ClusterRef,
    tell: Tell,
    *,
    holder: str = "",
    recorder: ChangeRecorder | None = None,
    progress: Progress = no_progress,
) -> AsyncIterator[OpenedCluster]:
    """Open a seed and, through it, the API of one of its user clusters.

    With a holder, nothing is changed on either unless it has the cluster's lock. Raises LockLost if it hasn't. With a
    recorder, what is changed on either is kept as evidence beside the journal.
    """
    async with open_seed(ref.seed) as seed:
        way_in = await seed.way_into(await seed.cluster(ref.name))
        where = f"user cluster {ref.name}"
        try:
            async with open_api(way_in.kubeconfig, where=where) as api:
                opened = OpenedCluster(ref, seed, api, tell, way_in, expires_at(way_in.kubeconfig), progress)
                opened = await _fenced(opened, holder) if holder else opened
                async with _recorded(opened, recorder, api) as recorded:
                    yield recorded
        except Unauthorized as error:
            if not str(error).startswith(where):
                raise
            raise Unauthorized(f"{error}. It came from {way_in.source}") from error


async def _fenced(opened: OpenedCluster, holder: str) -> OpenedCluster:
    fence = LockFence(opened.api, holder)
    await fence()
    return replace(opened, seed=opened.seed.fenced(fence), api=opened.api.fenced(fence))


@asynccontextmanager
async def _recorded(
    opened: OpenedCluster, recorder: ChangeRecorder | None, evidence: KubeApi
) -> AsyncIterator[OpenedCluster]:
    if recorder is None:
        yield opened
        return
    async with keeping(recorder, evidence, opened.tell):
        yield replace(opened, seed=opened.seed.recorded(recorder), api=opened.api.recorded(recorder))
