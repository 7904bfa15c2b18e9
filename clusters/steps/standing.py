"""Looking at a cluster after a failure. Whatever can't be seen is left out: the failure itself must not be hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from clusters import narrowing
from clusters.api import KubeApi
from clusters.journal import read_journal, read_migration
from clusters.kinds import DAEMON_SETS
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps.survey import list_cilium_endpoints, list_pods
from clusters.watching import Tell
from migration.cilium import RolloutFacts
from migration.errors import MigrationError, Unreachable
from migration.journal import Journal, Migration
from migration.models import ClusterRef
from migration.restart import is_on_cilium, needs_network
from migration.safe_points import is_disruptive
from migration.standing import StandingFacts

NAMESPACE = "kube-system"
LOOK_SECONDS: Final = 30.0
"""How long a look after a crash may take: shorter than a crashed run is left alone."""


async def look_where_it_stands(ref: ClusterRef, migration_id: str, tell: Tell) -> StandingFacts:
    """Return what can be seen of a cluster and its migration."""
    try:
        async with open_cluster(ref, tell) as opened:
            migration = await read_migration(opened.api, migration_id)
            return await _look(opened, migration)
    except MigrationError:
        return StandingFacts()


async def look_after_crash(
    ref: ClusterRef, choose: Callable[[Journal], Migration | None], tell: Tell
) -> tuple[Journal, StandingFacts]:
    """Return a cluster's journal, and what can be seen of it and of the migration that `choose` finds there.

    Raises MigrationError if the journal can't be reached, within half a minute: whoever looks has others waiting.
    """
    try:
        async with asyncio.timeout(LOOK_SECONDS), open_cluster(ref, tell) as opened:
            journal = await read_journal(opened.api)
            return journal, await _look(opened, choose(journal))
    except TimeoutError:
        raise Unreachable(f"no answer within {LOOK_SECONDS:.0f} s") from None


async def look_at_unfinished(ref: ClusterRef, tell: Tell) -> StandingFacts | None:
    """Return what can be seen of a cluster in the middle of a migration; None if it is in none, or can't be asked."""
    try:
        async with asyncio.timeout(LOOK_SECONDS), open_cluster(ref, tell) as opened:
            migration = (await read_journal(opened.api)).open_migration()
            if migration is None or not is_disruptive(migration):
                return None
            return await _look(opened, migration)
    except (MigrationError, TimeoutError):
        return None


async def _look(opened: OpenedCluster, migration: Migration | None) -> StandingFacts:
    try:
        pods = [pod for pod in await list_pods(opened.api) if needs_network(pod) and not pod.deleting and pod.addresses]
        endpoints = await list_cilium_endpoints(opened.api)
        return StandingFacts(
            migration=migration,
            cluster=await opened.seed.cluster(opened.ref.name),
            canal=await _rollout(opened.api, "canal"),
            cilium=await _rollout(opened.api, "cilium"),
            on_cilium=sum(is_on_cilium(pod, endpoints) for pod in pods),
            on_pod_network=len(pods),
        )
    except MigrationError:
        return StandingFacts(migration=migration)


async def _rollout(api: KubeApi, name: str) -> RolloutFacts | None:
    found: Any = await api.find(DAEMON_SETS, name, namespace=NAMESPACE)
    return None if found is None else narrowing.rollout(found)
