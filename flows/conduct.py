"""What surrounds every runbook: look first, lock, open the journal, prove it afterwards, and leave a way forward."""

from __future__ import annotations

from datetime import timedelta

from prefect import runtime

from flows.runbooks import RUNBOOKS
from migration.errors import MigrationError, MigrationReverted
from migration.models import MigrationReport, MigrationRequest, OnFailure, RunningMigration
from tasks.cluster import verify
from tasks.journal import begin_migration, finish_migration
from tasks.lock import cluster_lock
from tasks.readiness import check_readiness
from tasks.report import report_failure, report_migration, report_nothing_to_do
from tasks.reverting import reverting


async def conduct(request: MigrationRequest) -> MigrationReport:
    """Run the request's runbook from wherever the cluster stands to its end, and return the report.

    Raises PreflightFailed before anything is changed, MigrationReverted if it failed and was taken back as asked for,
    and the step's own error if it failed and was left where it was.
    """
    # Step 1. Look, and change nothing.
    readiness = await check_readiness(request)
    if readiness.nothing_to_do:
        return await report_nothing_to_do(request, readiness.nothing_to_do)

    holder = str(runtime.flow_run.id)
    async with cluster_lock(request.cluster, holder, wait=timedelta(minutes=request.deadlines.lock)):
        # Step 2. Open the journal, or take up the migration that it has open.
        run = await begin_migration(request, holder, readiness.unfinished)
        if run is None:
            return await report_nothing_to_do(request, "another run migrated this cluster while this one waited for it")
        try:
            await see_through(run)
        except MigrationError as error:
            await take_back(run, error)
            raise

    return await report_migration(run, readiness.findings)


async def see_through(run: RunningMigration) -> None:
    """Run the runbook, prove that nothing is worse than before, and close the journal."""
    await RUNBOOKS[run.request.runbook](run)
    await verify(run)
    await finish_migration(run)


async def take_back(run: RunningMigration, error: MigrationError) -> None:
    """Tell where a failed run stands and, if it was asked for and is possible, bring back what was before.

    Raises MigrationReverted with the cause when that has succeeded.
    """
    standing = await report_failure(run, error)
    if run.request.on_failure is not OnFailure.REVERT or not standing.can_revert:
        return
    reverse = await begin_migration(await reverting(run), run.holder)
    if reverse is not None:
        try:
            await see_through(reverse)
        except MigrationError as obstacle:
            await report_failure(reverse, obstacle)
            raise
        await report_migration(reverse, ())
    raise MigrationReverted(
        f"{run.cluster} was not migrated: {error} The run was taken back as asked for, and everything is as before"
    ) from error
