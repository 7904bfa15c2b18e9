"""Steps that change the CNI: bring Cilium in, take Canal out."""

from __future__ import annotations

from datetime import timedelta

from clusters.journal import read_migration
from clusters.seed import OpenedCluster
from clusters.steps import canal, cilium
from clusters.steps.result import StepResult
from migration.models import RunningMigration, StepOutcome
from tasks.policy import looking_task, perform, step_task


@step_task("remove stale Cilium")
async def remove_stale_cilium(run: RunningMigration) -> StepOutcome:
    """Leave nothing of an earlier Cilium installation that would keep KKP from installing it."""
    deadline = timedelta(minutes=run.request.deadlines.removal)
    return await perform(
        run, "remove stale Cilium", lambda opened: cilium.remove_stale_cilium(opened, deadline=deadline)
    )


@looking_task("allow CNI migration", retries=4)
async def allow_cni_migration(run: RunningMigration) -> StepOutcome:
    """Leave the Cluster labelled for the change."""
    return await perform(run, "allow CNI migration", cilium.allow_cni_migration)


@looking_task("switch CNI", retries=4)
async def switch_cni(run: RunningMigration) -> StepOutcome:
    """Leave the Cluster's spec on Cilium."""

    async def act(opened: OpenedCluster) -> StepResult:
        return await cilium.switch_cni(opened, await read_migration(opened.api, run.id))

    return await perform(run, "switch CNI", act)


@looking_task("wait for Cilium", retries=4)
async def wait_for_cilium(run: RunningMigration) -> StepOutcome:
    """Return once Cilium serves every node."""
    version, deadline = run.request.cilium_version, timedelta(minutes=run.request.deadlines.cilium)
    return await perform(
        run, "wait for Cilium", lambda opened: cilium.wait_for_cilium(opened, version=version, deadline=deadline)
    )


@looking_task("verify pods on Cilium", retries=4)
async def verify_pods_on_cilium(run: RunningMigration) -> StepOutcome:
    """Return once every pod of the pod network has its own CiliumEndpoint."""
    options, deadline = run.request.pods, timedelta(minutes=run.request.deadlines.verification)
    return await perform(
        run, "verify pods on Cilium", lambda opened: cilium.verify_pods_on_cilium(opened, options, deadline=deadline)
    )


@step_task("remove Canal")
async def remove_canal(run: RunningMigration) -> StepOutcome:
    """Leave nothing of Canal in the cluster."""
    deadline = timedelta(minutes=run.request.deadlines.removal)
    return await perform(
        run,
        "remove Canal",
        lambda opened: canal.remove_canal(opened, run.id, remove_crds=run.request.remove_crds, deadline=deadline),
    )
