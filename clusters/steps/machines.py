"""Replacing every node of a MachineDeployment, so that nothing of the old CNI is left in a kernel.

Source: docs/platform.md 7.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from clusters import narrowing
from clusters.journal import change_migration, read_migration
from clusters.kinds import CILIUM_NODES, MACHINE_DEPLOYMENTS, MACHINES, NODES, PODS
from clusters.seed import OpenedCluster
from clusters.steps.bare_pods import remember_all_bare_pods, restore_bare_pods
from clusters.steps.marks import record_marks
from clusters.steps.measuring import measuring_outage
from clusters.steps.result import StepResult, already, changed
from clusters.steps.survey import list_machine_deployments, list_nodes, list_pods
from clusters.watching import Live, watching, with_faults
from migration.errors import DeadlineExceeded, OperatorActionNeeded
from migration.facts import MachineDeploymentFacts
from migration.journal import CLOSED_NODES, CNI_UNINSTALL, NAMESPACE, NODES_TO_OPEN, OPEN_BEFORE, Migration
from migration.models import CniType, StepStatus
from migration.patches import FORCE_RESTART, restart_patch

RESTORE_DEADLINE: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class _Machine:
    """A Machine: whose it is, and which node it became."""

    uid: str
    node: str
    labels: Mapping[str, str]
    deleting: bool


async def needs_new_nodes(opened: OpenedCluster, migration: Migration) -> bool:
    """Tell whether nodes may hold traces of what is taken out.

    Not if a revert finds that nothing was ever switched, or that none of Cilium's agents, which announce their nodes
    when they start, has ever run.
    """
    if not migration.reverts:
        return True
    if migration.previous == migration.desired:
        return False
    return migration.old_cni is not CniType.CILIUM or bool(await opened.api.list(CILIUM_NODES))


async def rotatable_machine_deployments(opened: OpenedCluster) -> tuple[str, ...]:
    """Return `namespace/name` of the MachineDeployments that have machines."""
    found = await list_machine_deployments(opened.api)
    return tuple(f"{deployment.namespace}/{deployment.name}" for deployment in found if deployment.replicas)


async def close_old_nodes(opened: OpenedCluster, migration: Migration) -> StepResult:
    """Leave nodes cordoned on which new pods would get a CNI that is gone, so that drained pods go to new ones.

    Only those that a MachineDeployment owns, which goes on to replace them (docs/platform.md 5.2).
    """
    if migration.marks.get(CNI_UNINSTALL) != "false" or not await needs_new_nodes(opened, migration):
        return already("new pods can start on every node")
    nodes = [node for node in await list_nodes(opened.api) if node.owned_by_machine and not node.deleting]
    # Remembered first: a repeat must not close the new ones.
    mark = {
        CLOSED_NODES: " ".join(node.uid for node in nodes),
        OPEN_BEFORE: " ".join(node.uid for node in nodes if not node.cordoned),
    }
    if CLOSED_NODES not in migration.marks:
        migration = await record_marks(opened, migration.id, mark)
    old = migration.marks[CLOSED_NODES].split()
    closed = 0
    for node in nodes:
        if node.uid in old and not node.cordoned:
            await opened.api.patch(NODES, node.name, {"spec": {"unschedulable": True}})
            closed += 1
    return changed(f"{closed} nodes cordoned: they are replaced next") if closed else already("all are cordoned")


async def open_closed_nodes(opened: OpenedCluster, migration: Migration) -> StepResult:
    """Leave the nodes open that the migration which is taken back had closed: its former CNI comes back to them.

    Before that CNI is waited for, because Helm waits for its pods that need a place. Nodes whose machines are going
    stay closed: machine-controller drains them (docs/platform.md 7.2).
    """
    closed = migration.marks.get(NODES_TO_OPEN, "").split()
    if not closed:
        return already("none was closed")
    going = {
        machine.node
        for item in await opened.api.list(MACHINES, namespace=NAMESPACE)
        if (machine := _machine(item)).deleting
    }
    count = 0
    for node in await list_nodes(opened.api):
        if node.uid in closed and node.cordoned and not (node.deleting or node.name in going):
            await opened.api.patch(NODES, node.name, {"spec": {"unschedulable": None}})
            count += 1
    return changed(f"{count} nodes uncordoned") if count else already("none is closed any more")


async def rotate_machine_deployment(
    opened: OpenedCluster, migration: Migration, machine_deployment: str, *, deadline: timedelta
) -> StepResult:
    """Leave the MachineDeployment with new machines only: rollout complete, no old Machine, no old Node.

    Bare pods on its nodes are remembered before and made anew after. A repeat goes on waiting for the same rollout.
    """
    namespace, name = machine_deployment.split("/", 1)
    found = await opened.api.find(MACHINE_DEPLOYMENTS, name, namespace=namespace)
    if found is None:
        return already("the MachineDeployment is gone")
    migration = await _remember(opened, migration, machine_deployment, found)
    old_machines = frozenset(migration.old_machines[machine_deployment])
    old_nodes = frozenset(migration.old_nodes[machine_deployment])
    started = await _force_restart(opened, migration, found)
    deployments, machines, nodes, pods = (
        Live(
            opened.api,
            MACHINE_DEPLOYMENTS,
            narrowing.machine_deployment,
            namespace=namespace,
            fields=f"metadata.name={name}",
        ),
        Live(opened.api, MACHINES, _machine, namespace=namespace),
        Live(opened.api, NODES, narrowing.node),
        Live(opened.api, PODS, narrowing.pod),
    )

    def missing() -> str | None:
        left = old_nodes & {node.uid for node in nodes.values()}
        opened.progress(len(old_nodes) - len(left), len(old_nodes), f"nodes of {machine_deployment} replaced")
        text = _progress(
            deployments.get(name, namespace=namespace),
            old_machines & {machine.uid for machine in machines.values()},
            left,
        )
        return with_faults(f"MachineDeployment {name}: {text}", deployments, machines, nodes) if text else None

    try:
        async with watching(deployments, machines, nodes, pods) as view:
            await view.listed()
            async with measuring_outage(view, pods) as meter:
                await view.until(
                    missing,
                    what=f"the rotation of MachineDeployment {machine_deployment}",
                    deadline=deadline,
                    tell=opened.tell,
                    advice="Look at its Machines' events (quota, image, a node not Ready), then start the flow again.",
                )
    except DeadlineExceeded:
        # The pods that were drained so far would be away until somebody starts the flow again.
        await restore_bare_pods(opened, migration.id, deadline=RESTORE_DEADLINE)
        raise
    made = await restore_bare_pods(opened, migration.id, deadline=RESTORE_DEADLINE)
    return StepResult(
        StepStatus.CHANGED if started or made else StepStatus.ALREADY,
        f"{len(old_nodes)} nodes of {machine_deployment} replaced",
        count=len(old_nodes),
        outage=meter.outages(),
        outage_seconds=meter.seconds(),
    )


async def _remember(opened: OpenedCluster, migration: Migration, key: str, deployment: Any) -> Migration:
    """Record what is old before anything is new, so that a repeat doesn't mistake the new for the old."""
    await remember_all_bare_pods(opened, migration.id, await list_pods(opened.api))
    migration = await read_migration(opened.api, migration.id)
    if key in migration.old_machines:
        return migration
    selector = (deployment["spec"].get("selector") or {}).get("matchLabels") or {}
    namespace = deployment["metadata"]["namespace"]
    machines = [_machine(item) for item in await opened.api.list(MACHINES, namespace=namespace)]
    mine = [machine for machine in machines if selector and selector.items() <= machine.labels.items()]
    if not mine and deployment["spec"].get("replicas", 1):
        raise OperatorActionNeeded(
            f"MachineDeployment {key} wants machines but has none: mend it, or start again with rotate_nodes off"
        )
    names = {machine.node for machine in mine}
    nodes = [narrowing.node(item) for item in await opened.api.list(NODES)]

    def record(found: Migration) -> Migration:
        machines_by_key = {**found.old_machines, key: tuple(machine.uid for machine in mine)}
        nodes_by_key = {**found.old_nodes, key: tuple(node.uid for node in nodes if node.name in names)}
        restarts = {**found.restarts, key: str(time.time_ns())}
        return found.model_copy(
            update={"old_machines": machines_by_key, "old_nodes": nodes_by_key, "restarts": restarts}
        )

    return await change_migration(opened.api, migration.id, record)


async def _force_restart(opened: OpenedCluster, migration: Migration, deployment: Any) -> bool:
    """Set the annotation to the value that was recorded with the old machines, so that a repeat changes nothing."""
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    value = migration.restarts[f"{metadata['namespace']}/{metadata['name']}"]
    current = str(((template.get("metadata") or {}).get("annotations") or {}).get(FORCE_RESTART, ""))
    if current.isdecimal() and int(current) >= int(value):
        return False  # set before, or by somebody since: either way all recorded machines go
    await opened.api.patch(MACHINE_DEPLOYMENTS, metadata["name"], restart_patch(value), namespace=metadata["namespace"])
    return True


def _progress(
    deployment: MachineDeploymentFacts | None, old_machines: frozenset[str], old_nodes: frozenset[str]
) -> str | None:
    if deployment is None:
        return None  # removed meanwhile, and its machines with it
    if deployment.paused:
        return "somebody to unpause the rollout"
    if not deployment.is_complete:
        return f"{deployment.updated} of {deployment.replicas} machines are new, {deployment.available} available"
    # Its status leaves out machines that are being deleted: those may still be draining (docs/platform.md 7.2).
    if old_machines:
        return f"{len(old_machines)} old machines to go"
    if old_nodes:
        return f"{len(old_nodes)} old nodes to go"
    return None


def _machine(found: Any) -> _Machine:
    metadata = found["metadata"]
    return _Machine(
        uid=metadata["uid"],
        node=((found.get("status") or {}).get("nodeRef") or {}).get("name", ""),
        labels=metadata.get("labels") or {},
        deleting="deletionTimestamp" in metadata,
    )
