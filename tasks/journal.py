"""Opening and closing a migration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prefect.logging import get_run_logger

from clusters.seed import open_cluster
from clusters.steps import bookkeeping
from migration.models import MigrationRequest, RunningMigration, StepOutcome
from migration.readiness_report import ReadinessReport
from migration.safe_points import preparation
from tasks.events import BEGUN, emit_migration
from tasks.evidence import keep_start
from tasks.policy import looking_task, perform

NO_ESTIMATE: Final[Mapping[str, float]] = {}
"""Without an estimate no window is waited for: so it is with a migration that is taken back because it failed."""


@looking_task("begin migration", retries=4)
async def begin_migration(
    request: MigrationRequest,
    holder: str,
    going_on_with: str = "",
    seconds: Mapping[str, float] = NO_ESTIMATE,
    readiness: ReadinessReport | None = None,
) -> RunningMigration | None:
    """Return the open migration of the cluster, begun now or taken up from an earlier run; None if none is left."""
    logger = get_run_logger()
    async with open_cluster(request.cluster, logger.info, holder=holder) as opened:
        migration = await bookkeeping.begin_migration(opened, request, going_on_with=going_on_with)
        if migration is None:
            return None
        await keep_start(opened, request, migration, readiness)
    if not migration.steps and len(migration.runs) <= 1:
        which = {"migration": migration.id, "runbook": str(migration.kind), "reverts": migration.reverts}
        networks = {"from": str(migration.previous), "to": str(migration.desired)}
        emit_migration(BEGUN, request.cluster, {**which, **networks, "started_by": migration.started_by})
    done = f", {len(migration.steps)} steps recorded" if migration.steps else ""
    logger.info(
        "%s: migration %s: %s -> %s%s",
        request.cluster.name,
        migration.id,
        migration.previous,
        migration.desired,
        done,
    )
    return RunningMigration(
        request=request, id=migration.id, holder=holder, seconds=seconds, preparation=preparation(migration)
    )


@looking_task("finish migration", retries=4)
async def finish_migration(run: RunningMigration) -> StepOutcome:
    """Leave the label removed and the journal closed."""
    return await perform(run, "finish migration", lambda opened: bookkeeping.finish_migration(opened, run.id))
