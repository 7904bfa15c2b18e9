"""Finding out what a revert has to bring back."""

from __future__ import annotations

from prefect.logging import get_run_logger

from clusters.journal import read_journal, read_migration
from clusters.seed import open_cluster
from migration.errors import InvalidRequest
from migration.models import MigrationRequest, OnFailure, RunningMigration
from migration.targets import reverting_request
from tasks.policy import looking_task


@looking_task("plan the revert", retries=4)
async def reverting(run: RunningMigration) -> MigrationRequest:
    """Return the request that takes this very migration back."""
    async with open_cluster(run.cluster, get_run_logger().info) as opened:
        migration = await read_migration(opened.api, run.id)
    return reverting_request(run.request.model_copy(update={"on_failure": OnFailure.STOP}), migration)


@looking_task("plan the revert", retries=4)
async def plan_revert(request: MigrationRequest) -> MigrationRequest:
    """Return the request that takes back the cluster's unfinished migration, or else the one that was finished last.

    A revert that was begun before is taken up. Raises InvalidRequest if there is nothing to take back.
    """
    async with open_cluster(request.cluster, get_run_logger().info) as opened:
        journal = await read_journal(opened.api)
    migration = journal.open_migration() or journal.last_finished()
    if migration is not None and migration.reverts:
        migration = journal.find(migration.reverts)
    if migration is None:
        raise InvalidRequest(
            f"the journal of {request.cluster} has no migration that could be taken back: run the flow for the way "
            "that you want to go, canal-to-cilium, cilium-to-canal or change-proxy-mode"
        )
    return reverting_request(request, migration)
