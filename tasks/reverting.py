"""Finding out what a revert has to bring back."""

from __future__ import annotations

from prefect.logging import get_run_logger

from clusters.journal import read_journal, read_migration
from clusters.seed import open_cluster
from migration.models import MigrationRequest, OnFailure, Runbook, RunningMigration
from migration.targets import migration_to_take_back, reverting_request
from migration.windows import Maintenance
from tasks.policy import looking_task


@looking_task("plan the revert", retries=4)
async def reverting(run: RunningMigration) -> MigrationRequest:
    """Return the request that takes this very migration back."""
    async with open_cluster(run.cluster, get_run_logger().info) as opened:
        migration = await read_migration(opened.api, run.id)
    # It is in the middle of things: nobody is asked and nothing is waited for before all is as it was.
    at_once = {"maintenance": Maintenance(), "approval": False, "stop_at_safe_point": False}
    wanted = run.request.model_copy(update={"on_failure": OnFailure.STOP, **at_once})
    request = reverting_request(wanted, migration)
    # Back on Canal, nodes with Cilium's traces would not do, whatever was thought of those of Canal.
    to_canal = request.runbook is Runbook.CILIUM_TO_CANAL
    return request.model_copy(update={"rotate_nodes": True}) if to_canal else request


@looking_task("plan the revert", retries=4)
async def plan_revert(request: MigrationRequest) -> MigrationRequest:
    """Return the request that takes back the cluster's unfinished migration, or else the one that was finished last.

    A revert that was begun before is taken up. Raises InvalidRequest if there is nothing to take back, or if somebody
    changed the cluster since.
    """
    async with open_cluster(request.cluster, get_run_logger().info) as opened:
        journal, cluster = await read_journal(opened.api), await opened.seed.cluster(request.cluster.name)
    migration = migration_to_take_back(journal, cluster)
    get_run_logger().info("%s: takes back migration %s (%s)", cluster.name, migration.id, migration.target)
    return reverting_request(request, migration)
