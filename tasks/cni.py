"""Steps that change the CNI: bring the new one in, take the old one out."""

from __future__ import annotations

from datetime import timedelta

from clusters.steps import addon_removal, canal_arrival, cilium, cilium_removal, restoring, switching
from migration.models import RunningMigration, StepOutcome
from tasks.policy import journaled, looking_task, perform, step_task


@step_task("remove stale Cilium")
async def remove_stale_cilium(run: RunningMigration) -> StepOutcome:
    """Leave nothing of an earlier Cilium installation that would keep KKP from installing it."""
    deadline = timedelta(minutes=run.request.deadlines.removal)
    desired = run.request.desired_cni
    keep_version = desired.version if desired and run.request.reverts else ""
    return await perform(
        run,
        "remove stale Cilium",
        lambda opened: cilium.remove_stale_cilium(opened, deadline=deadline, keep_version=keep_version),
    )


@step_task("prepare Cilium's removal")
async def prepare_cilium_removal(run: RunningMigration) -> StepOutcome:
    """Leave Cilium configured so that Canal can come up beside it, and its agents take their CNI file along."""
    deadline = timedelta(minutes=run.request.deadlines.cni)
    return await perform(
        run,
        "prepare Cilium's removal",
        lambda opened: cilium_removal.prepare_cilium_removal(opened, run.id, deadline=deadline),
        disruptive=True,
    )


@looking_task("allow CNI migration", retries=4)
async def allow_cni_migration(run: RunningMigration) -> StepOutcome:
    """Leave the Cluster labelled for the change."""
    return await perform(run, "allow CNI migration", switching.allow_cni_migration)


@looking_task("switch CNI", retries=4)
async def switch_cni(run: RunningMigration) -> StepOutcome:
    """Leave the Cluster's spec on the desired CNI."""
    return await perform(run, "switch CNI", journaled(run, switching.switch_cni))


@looking_task("wait for Cilium", retries=4)
async def wait_for_cilium(run: RunningMigration) -> StepOutcome:
    """Return once Cilium serves every node."""
    deadline = timedelta(minutes=run.request.deadlines.cni)
    act = journaled(
        run,
        lambda opened, migration: cilium.wait_for_cilium(
            opened, version=migration.desired_cni.version, platform=migration.platform, deadline=deadline
        ),
    )
    return await perform(run, "wait for Cilium", act, disruptive=True)


@looking_task("wait for Canal", retries=4)
async def wait_for_canal(run: RunningMigration) -> StepOutcome:
    """Return once Canal serves every node."""
    deadline = timedelta(minutes=run.request.deadlines.cni)
    act = journaled(
        run,
        lambda opened, migration: canal_arrival.wait_for_canal(
            opened, version=migration.desired_cni.version, deadline=deadline
        ),
    )
    return await perform(run, "wait for Canal", act, disruptive=True)


@step_task("restore policies")
async def restore_policies(run: RunningMigration) -> StepOutcome:
    """Leave the policies of the former CNI there again, if this run takes a migration back."""
    return await perform(run, "restore policies", journaled(run, restoring.restore_policies))


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
        lambda opened: addon_removal.remove_canal(
            opened,
            run.id,
            remove_crds=run.request.remove_crds,
            manifest=run.request.manifest,
            deadline=deadline,
        ),
        disruptive=True,
    )


@step_task("remove Cilium")
async def remove_cilium(run: RunningMigration) -> StepOutcome:
    """Leave nothing of Cilium that runs or is configured."""
    deadline = timedelta(minutes=run.request.deadlines.removal)
    return await perform(
        run,
        "remove Cilium",
        lambda opened: cilium_removal.remove_cilium(opened, run.id, manifest=run.request.manifest, deadline=deadline),
        disruptive=True,
    )


@step_task("remove Cilium's definitions")
async def remove_cilium_definitions(run: RunningMigration) -> StepOutcome:
    """Leave no CustomResourceDefinition of Cilium, the resources backed up anew."""
    deadline = timedelta(minutes=run.request.deadlines.removal)
    return await perform(
        run,
        "remove Cilium's definitions",
        lambda opened: cilium_removal.remove_cilium_definitions(opened, run.id, deadline=deadline),
    )
