"""Restarting pods."""

from __future__ import annotations

from datetime import timedelta

from clusters.journal import read_migration
from clusters.seed import OpenedCluster
from clusters.steps import pods
from clusters.steps.cilium_removal import CNI_UNINSTALL
from clusters.steps.result import StepResult, skipped
from migration.errors import OperatorActionNeeded
from migration.models import CniType, RunningMigration, StepOutcome
from tasks.policy import looking_task, perform


@looking_task("restart pods", retries=4)
async def restart_pods(run: RunningMigration) -> StepOutcome:
    """Leave every pod of the pod network restarted onto the desired CNI.

    Never skipped: pods come and go, and the run after a failed verification has to restart those that it named.
    """
    options, deadline = run.request.pods, timedelta(minutes=run.request.deadlines.restart)

    async def act(opened: OpenedCluster) -> StepResult:
        migration = await read_migration(opened.api, run.id)
        if migration.desired_cni.type is CniType.CANAL and migration.marks.get(CNI_UNINSTALL) == "false":
            if not run.request.rotate_nodes:
                raise OperatorActionNeeded(
                    "Cilium's agents could not take their CNI configuration along, so pods that restart on the nodes "
                    "there are would not start: start the flow again with rotate_nodes on, and they move with the nodes"
                )
            return skipped("Cilium's file is left on the nodes, where new pods could not start: pods move with them")
        return await pods.restart_pods(opened, run.id, options, target=migration.desired_cni.type, deadline=deadline)

    return await perform(run, "restart pods", act)
