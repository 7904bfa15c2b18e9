"""Replacing nodes, or having them rebooted where nothing replaces them."""

from __future__ import annotations

from datetime import timedelta

from prefect.logging import get_run_logger

from clusters.journal import read_migration
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps import machines, reboots
from clusters.steps.result import StepResult, already
from migration.models import RunningMigration, StepOutcome
from tasks.policy import journaled, looking_task, perform, step_task


@looking_task("list MachineDeployments", retries=4)
async def list_machine_deployments(run: RunningMigration) -> tuple[str, ...]:
    """Return `namespace/name` of the MachineDeployments whose nodes are to be replaced; none if rotation is off."""
    if not run.request.rotate_nodes:
        return ()
    async with open_cluster(run.cluster, get_run_logger().info) as opened:
        if not await machines.needs_new_nodes(opened, await read_migration(opened.api, run.id)):
            return ()
        return await machines.rotatable_machine_deployments(opened)


@step_task("close old nodes")
async def close_old_nodes(run: RunningMigration) -> StepOutcome:
    """Leave nodes that would give new pods a dead CNI closed to them."""
    return await perform(run, "close old nodes", journaled(run, machines.close_old_nodes))


@step_task("open closed nodes")
async def open_closed_nodes(run: RunningMigration) -> StepOutcome:
    """Leave the nodes open again that the migration which this run takes back had closed."""
    return await perform(run, "open closed nodes", journaled(run, machines.open_closed_nodes))


@step_task("rotate MachineDeployment")
async def rotate_machine_deployment(run: RunningMigration, machine_deployment: str) -> StepOutcome:
    """Leave a MachineDeployment with new nodes only."""
    deadline = timedelta(minutes=run.request.deadlines.rotation)
    act = journaled(
        run,
        lambda opened, migration: machines.rotate_machine_deployment(
            opened, migration, machine_deployment, deadline=deadline
        ),
    )
    return await perform(run, f"rotate {machine_deployment}", act)


@looking_task("await reboots", retries=4)
async def await_reboots(run: RunningMigration) -> StepOutcome | None:
    """Return once the nodes that no MachineDeployment owns were rebooted; None if no node is to be replaced."""
    if not run.request.rotate_nodes:
        return None
    deadline = timedelta(minutes=run.request.deadlines.reboot)

    async def act(opened: OpenedCluster) -> StepResult:
        if not await machines.needs_new_nodes(opened, await read_migration(opened.api, run.id)):
            return already("nothing is left on the nodes that a reboot would clear")
        return await reboots.await_reboots(opened, run.id, deadline=deadline)

    return await perform(run, "await reboots", act, disruptive=True)
