"""A lab's user cluster in the middle of its migration: switched to Cilium, Cilium up, no pod moved yet."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps.bookkeeping import begin_migration
from clusters.steps.cilium import wait_for_cilium
from clusters.steps.switching import allow_cni_migration, switch_cni
from migration.models import ClusterRef, Cni, CniType, MigrationRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.running_lab import RunningLab

CILIUM_VERSION = "1.19.4"
CILIUM_DEADLINE = timedelta(seconds=120)


def connected(lab: RunningLab) -> AbstractContextManager[None]:
    """Have the connections of the product be this lab's until the block ends."""
    return connections(lab.connections)


@contextmanager
def connections(directory: Path) -> Iterator[None]:
    """Have the connections of the product be those of a directory until the block ends."""
    before = os.environ.get(ENVIRONMENT_VARIABLE)
    os.environ[ENVIRONMENT_VARIABLE] = str(directory)
    try:
        yield
    finally:
        del os.environ[ENVIRONMENT_VARIABLE]
        if before is not None:
            os.environ[ENVIRONMENT_VARIABLE] = before


@asynccontextmanager
async def opened(lab: RunningLab, index: int = 0) -> AsyncIterator[OpenedCluster]:
    """Open one of the lab's user clusters."""
    ref = ClusterRef(seed="lab", name=lab.cluster_name(index))
    with connected(lab):
        async with open_cluster(ref, lambda _: None) as cluster:
            yield cluster


async def bring_cilium_in(cluster: OpenedCluster) -> str:
    """Do the steps of the runbook up to Cilium serving every node; returns the id of the migration."""
    request = MigrationRequest(
        cluster=cluster.ref, desired_cni=Cni(type=CniType.CILIUM, version=CILIUM_VERSION), requested_by="bench"
    )
    migration = await begin_migration(cluster, request)
    assert migration is not None, f"{cluster.ref} was migrated before"
    await allow_cni_migration(cluster)
    await switch_cni(cluster, migration)
    await wait_for_cilium(cluster, version=CILIUM_VERSION, deadline=CILIUM_DEADLINE)
    return migration.id
