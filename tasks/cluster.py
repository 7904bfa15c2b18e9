"""Steps on the cluster as a whole: its state before and after, and its backups."""

from __future__ import annotations

from datetime import timedelta

from clusters.steps import cni_backup, verification
from migration.models import RunningMigration, StepOutcome
from tasks.policy import looking_task, perform, step_task


@step_task("record baseline")
async def record_baseline(run: RunningMigration) -> StepOutcome:
    """Leave what is ready and reachable now in the journal."""
    return await perform(
        run,
        "record baseline",
        lambda opened: verification.record_baseline(opened, run.id, probes=run.request.probes),
    )


@step_task("back up")
async def back_up(run: RunningMigration) -> StepOutcome:
    """Leave the objects and resources of the CNI that is to go in Secrets beside the journal."""
    return await perform(run, "back up", lambda opened: cni_backup.back_up(opened, run.id))


@looking_task("verify", retries=4)
async def verify(run: RunningMigration) -> StepOutcome:
    """Return once workloads, Services and nodes are as good as before."""
    deadline = timedelta(minutes=run.request.deadlines.verification)
    accepted = verification.ACCEPT in run.request.accept
    return await perform(
        run,
        "verify",
        lambda opened: verification.verify(
            opened, run.id, accepted=accepted, deadline=deadline, probes=run.request.probes
        ),
    )
