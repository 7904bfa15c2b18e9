"""Opening and closing a migration in the journal, and recording its steps."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from clusters.journal import change_journal, change_migration, read_journal, read_migration
from clusters.seed import OpenedCluster
from clusters.steps.result import StepResult, already, changed
from migration import safe_points
from migration.errors import OperatorActionNeeded
from migration.facts import ClusterFacts
from migration.journal import NODES_TO_OPEN, Journal, Migration, Platform
from migration.models import MigrationRequest, StepOutcome
from migration.patches import UNSAFE_CNI_MIGRATION
from migration.readiness import NOT_ON_START
from migration.safe_points import is_stale, taking_back, unprepared
from migration.targets import START, desired_network, is_same_migration, way_on, why_nothing_to_do
from migration.versions import DEFAULT_TUNNEL_PORT

KEPT_RUNS = 20
CARRIED_OVER = ("baseline", "bare-pods")
"""Backups of an unfinished migration that its reversal needs as well: what was before is what was before both."""


async def begin_migration(
    opened: OpenedCluster, request: MigrationRequest, *, going_on_with: str = ""
) -> Migration | None:
    """Return the cluster's open migration to where the request leads, begun now unless an earlier run did.

    None if another run has finished it since this one looked. Raises OperatorActionNeeded if another migration is open,
    or if the cluster is no longer what the readiness check saw: this is asked again under the lock. So it is if the
    migration that the check saw unfinished, `going_on_with`, was closed since.
    """
    cluster, journal = await opened.seed.cluster(opened.ref.name), await read_journal(opened.api)
    if why_nothing_to_do(request, cluster, journal):
        return None
    unfinished = journal.open_migration()
    if going_on_with and (unfinished is None or unfinished.id != going_on_with):
        raise OperatorActionNeeded(
            f"migration {going_on_with} of {opened.ref}, with which this run was to go on, was closed while it waited: "
            "another run finished it or took it back. Start again if you still want to migrate this cluster"
        )
    if unfinished is None or unfinished.id == request.reverts:
        _require_start(cluster, request)
    platform: Platform = "addons" if await opened.seed.offered_cilium_versions() is None else "applications"

    def add(found: Journal) -> Journal:
        before = found.open_migration()
        if before is not None and before.id != request.reverts:
            return found
        fresh = _fresh(request, cluster, found, platform=platform)
        reverted = found.find(request.reverts)
        return (found if reverted is None else _closed_by(found, reverted, fresh)).with_migration(fresh)

    migration = (await change_journal(opened.api, add)).open_migration()
    if migration is None:
        raise OperatorActionNeeded(
            f"the journal of {opened.ref} closed while it was opened: another run ended it. Start again"
        )
    if not is_same_migration(request, migration):
        raise OperatorActionNeeded(
            f"migration {migration.id} of {opened.ref} ({migration.kind} to {migration.target}) is unfinished: "
            + way_on(migration)
        )
    return await change_migration(opened.api, migration.id, lambda found: _taken_up(found, request.run_id))


def _fresh(request: MigrationRequest, cluster: ClusterFacts, journal: Journal, *, platform: Platform) -> Migration:
    now, desired = datetime.now(UTC), desired_network(request, cluster, journal)
    reverted = journal.find(request.reverts)
    unfinished = reverted if reverted is not None and reverted.is_open else None
    fresh = Migration(
        id=f"{now:%Y%m%d%H%M%S}-{secrets.token_hex(3)}",
        kind=request.runbook,
        started_at=now,
        started_by=request.requested_by,
        previous_cni=cluster.cni,
        desired_cni=desired.cni,
        previous_proxy_mode=cluster.proxy_mode,
        desired_proxy_mode=desired.proxy_mode,
        label_was_there=UNSAFE_CNI_MIGRATION in cluster.labels if unfinished is None else unfinished.label_was_there,
        tunnel_port=request.tunnel_port or (reverted.tunnel_port if reverted else DEFAULT_TUNNEL_PORT),
        platform=platform,
        reverts=request.reverts,
    )
    if unfinished is None:
        return fresh
    fresh = taking_back(fresh, unfinished, now=now)
    carried = tuple(backup for backup in unfinished.backups if backup.name in CARRIED_OVER)
    closed = unfinished.nodes_it_closed
    marks = {**fresh.marks, NODES_TO_OPEN: closed} if closed else fresh.marks
    return fresh.model_copy(update={"backups": carried, "bare_pods": unfinished.bare_pods, "marks": marks})


def _taken_up(migration: Migration, run_id: str) -> Migration:
    """Return the migration as one that this run works on, prepared anew if it has waited for long."""
    if run_id and migration.runs[-1:] != (run_id,):
        others = tuple(run for run in migration.runs if run != run_id)
        migration = migration.model_copy(update={"runs": (*others[-KEPT_RUNS:], run_id)})
    if safe_points.under_way(migration):
        # Whoever finds a stretch under way sees it through, and has done its part with that.
        migration = migration.model_copy(update={"marks": {**migration.marks, safe_points.ENTERED_BY: run_id}})
    return unprepared(migration) if is_stale(migration, now=datetime.now(UTC)) else migration


def _closed_by(journal: Journal, reverted: Migration, fresh: Migration) -> Journal:
    finished_at = reverted.finished_at or fresh.started_at
    return journal.with_migration(reverted.model_copy(update={"finished_at": finished_at, "reverted_by": fresh.id}))


def _require_start(cluster: ClusterFacts, request: MigrationRequest) -> None:
    start = START.get(request.runbook)
    accepted = cluster.cni == request.desired_cni and NOT_ON_START.get(request.runbook) in request.accept
    if start is not None and cluster.cni.type is not start and not accepted and not request.reverts:
        raise OperatorActionNeeded(
            f"Cluster {cluster.name} runs {cluster.cni} by now: another run or a person changed it while this run "
            "waited. Nothing was changed by this run"
        )


async def record_step(opened: OpenedCluster, migration_id: str, outcome: StepOutcome) -> None:
    """Leave the step's outcome in the journal."""
    await change_migration(opened.api, migration_id, lambda found: found.with_step(outcome))


async def finish_migration(opened: OpenedCluster, migration_id: str) -> StepResult:
    """Leave the journal closed, and the Cluster without the label if this migration added it."""
    migration = await read_migration(opened.api, migration_id)
    cluster = await opened.seed.cluster(opened.ref.name)
    if migration.is_open and cluster.network != migration.desired:
        raise OperatorActionNeeded(
            f"Cluster {cluster.name} says {cluster.network}, though this migration led to {migration.desired}: "
            "somebody changed it meanwhile. Change it back and start the flow again, or take the migration back"
        )
    removed = False if migration.label_was_there else await opened.seed.label(opened.ref.name, present=False)
    if not migration.is_open:
        return already("the migration was closed")
    now = datetime.now(UTC)
    await change_migration(opened.api, migration_id, lambda found: found.model_copy(update={"finished_at": now}))
    return changed("journal closed" + (", label unsafe-cni-migration removed" if removed else ""))
