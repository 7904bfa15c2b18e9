"""Restarting pods."""

from __future__ import annotations

from datetime import timedelta

from clusters.steps import moving
from migration.models import RunningMigration, StepOutcome
from tasks.policy import journaled, looking_task, perform


@looking_task("restart pods", retries=4)
async def restart_pods(run: RunningMigration) -> StepOutcome:
    """Leave every pod of the pod network restarted onto the desired CNI.

    Never skipped: pods come and go, and the run after a failed verification has to restart those that it named.
    """
    options, deadline = run.request.pods, timedelta(minutes=run.request.deadlines.restart)
    return await perform(
        run,
        "restart pods",
        journaled(
            run,
            lambda opened, migration: moving.move_pods(
                opened, migration, options, rotates_nodes=run.request.rotate_nodes, deadline=deadline
            ),
        ),
    )
