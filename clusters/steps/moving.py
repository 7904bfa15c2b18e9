"""Bringing pods onto the new CNI: by restarting them, or with their nodes where a restarted pod could not start."""

from __future__ import annotations

from datetime import timedelta

from clusters.seed import OpenedCluster
from clusters.steps import pods
from clusters.steps.result import StepResult, skipped
from migration.errors import OperatorActionNeeded
from migration.journal import CNI_UNINSTALL, Migration
from migration.models import CniType, RestartOptions


async def move_pods(
    opened: OpenedCluster, migration: Migration, options: RestartOptions, *, rotates_nodes: bool, deadline: timedelta
) -> StepResult:
    """Leave every pod restarted onto the desired CNI, unless Cilium's file on the nodes would keep it from starting.

    Then pods move with their nodes. Raises OperatorActionNeeded if those are to stay.
    """
    target = migration.desired_cni.type
    if target is not CniType.CANAL or migration.marks.get(CNI_UNINSTALL) != "false":
        return await pods.restart_pods(opened, migration.id, options, target=target, deadline=deadline)
    if not rotates_nodes:
        raise OperatorActionNeeded(
            "Cilium's agents could not take their CNI configuration along, so pods that restart on the nodes there are "
            "would not start: start the flow again with rotate_nodes on, and they move with the nodes"
        )
    return skipped("Cilium's file is left on the nodes, where new pods could not start: pods move with them")
