"""Opening and closing a migration in the journal, and recording its steps."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from clusters.journal import change_journal, change_migration, read_journal, read_migration
from clusters.seed import UNSAFE_CNI_MIGRATION, OpenedCluster
from clusters.steps.result import StepResult, already, changed
from migration.errors import OperatorActionNeeded
from migration.facts import ClusterFacts
from migration.journal import Journal, Migration
from migration.models import CniType, MigrationRequest, StepOutcome
from migration.readiness import NOT_ON_CANAL
from migration.versions import DEFAULT_TUNNEL_PORT


async def begin_migration(opened: OpenedCluster, request: MigrationRequest) -> Migration | None:
    """Return the cluster's open migration to the desired CNI, begun now unless an earlier run did.

    None if another run has finished it since this one looked. Raises OperatorActionNeeded if another migration is open,
    or if the cluster is no longer what the readiness check saw: this is asked again under the lock.
    """
    cluster, journal = await opened.seed.cluster(opened.ref.name), await read_journal(opened.api)
    if journal.open_migration() is None:
        last = journal.last_finished()
        if last is not None and cluster.cni == request.desired_cni == last.desired_cni:
            return None
        _require_canal(cluster, request)
    fresh = Migration(
        id=f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}",
        started_at=datetime.now(UTC),
        started_by=request.requested_by,
        previous_cni=cluster.cni,
        desired_cni=request.desired_cni,
        previous_proxy_mode=cluster.proxy_mode,
        label_was_there=UNSAFE_CNI_MIGRATION in cluster.labels,
        tunnel_port=request.tunnel_port or DEFAULT_TUNNEL_PORT,
    )

    def add(found: Journal) -> Journal:
        return found if found.open_migration() else found.with_migration(fresh)

    migration = (await change_journal(opened.api, add)).open_migration()
    if migration is None:
        raise OperatorActionNeeded(
            f"the journal of {opened.ref} closed while it was opened: another run ended it. Start again"
        )
    if migration.desired_cni != request.desired_cni:
        raise OperatorActionNeeded(
            f"migration {migration.id} of {opened.ref} to {migration.desired_cni} is unfinished: "
            "finish it first, with that version"
        )
    return migration


def _require_canal(cluster: ClusterFacts, request: MigrationRequest) -> None:
    accepted = cluster.cni == request.desired_cni and NOT_ON_CANAL in request.accept
    if cluster.cni.type is not CniType.CANAL and not accepted:
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
    removed = False if migration.label_was_there else await opened.seed.label(opened.ref.name, present=False)
    if not migration.is_open:
        return already("the migration was closed")
    now = datetime.now(UTC)
    await change_migration(opened.api, migration_id, lambda found: found.model_copy(update={"finished_at": now}))
    return changed("journal closed" + (", label unsafe-cni-migration removed" if removed else ""))
