"""Steps that change the kube-proxy mode."""

from __future__ import annotations

from datetime import timedelta

from clusters.steps import proxy_mode, switching
from migration.models import RunningMigration, StepOutcome
from tasks.policy import journaled, looking_task, perform


@looking_task("switch kube-proxy mode", retries=4)
async def switch_proxy_mode(run: RunningMigration) -> StepOutcome:
    """Leave the Cluster's spec on the desired kube-proxy mode."""
    return await perform(run, "switch kube-proxy mode", journaled(run, switching.switch_proxy_mode))


@looking_task("wait for kube-proxy mode", retries=4)
async def wait_for_proxy_mode(run: RunningMigration) -> StepOutcome:
    """Return once the mode is in effect on every node."""
    deadline = timedelta(minutes=run.request.deadlines.proxy_mode)
    act = journaled(run, lambda opened, migration: proxy_mode.wait_for_proxy_mode(opened, migration, deadline=deadline))
    return await perform(run, "wait for kube-proxy mode", act, disruptive=True)
