"""Restarting pods."""

from __future__ import annotations

from datetime import timedelta

from clusters.steps import pods
from migration.models import RunningMigration, StepOutcome
from tasks.policy import perform, step_task


@step_task("restart pods")
async def restart_pods(run: RunningMigration) -> StepOutcome:
    """Leave every pod of the pod network restarted onto the new CNI."""
    options, deadline = run.request.pods, timedelta(minutes=run.request.deadlines.restart)
    return await perform(
        run, "restart pods", lambda opened: pods.restart_pods(opened, run.id, options, deadline=deadline)
    )
