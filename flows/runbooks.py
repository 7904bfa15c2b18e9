"""The runbooks, step by step, with the safe points between: what lies between two is finished, never cut.

What surrounds each, the check, the lock, the journal and the proof, is in `conduct`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from flows.safe_points import safe_point
from migration.models import Runbook, RunningMigration, StepStatus, Stretch
from tasks.cluster import back_up, record_baseline
from tasks.cni import (
    allow_cni_migration,
    prepare_cilium_removal,
    remove_canal,
    remove_cilium,
    remove_cilium_definitions,
    remove_stale_cilium,
    restore_policies,
    switch_cni,
    verify_pods_on_cilium,
    wait_for_canal,
    wait_for_cilium,
)
from tasks.machines import (
    await_reboots,
    close_old_nodes,
    list_machine_deployments,
    open_closed_nodes,
    rotate_machine_deployment,
)
from tasks.pods import restart_pods
from tasks.proxy_mode import switch_proxy_mode, wait_for_proxy_mode


async def canal_to_cilium(run: RunningMigration) -> None:
    """Leave the cluster on Cilium, and in the desired kube-proxy mode."""
    # Step 3. Keep what could be lost.
    await safe_point(run, Stretch.PREPARE)
    await record_baseline(run)
    await back_up(run)

    # Step 4. Bring Cilium in beside Canal.
    await safe_point(run, Stretch.MOVE)
    await remove_stale_cilium(run)
    await allow_cni_migration(run)
    await switch_cni(run)
    if run.request.reverts:
        await open_closed_nodes(run)
    await wait_for_cilium(run)
    if run.request.reverts:
        await restore_policies(run)

    # Step 5. Move the pods.
    await restart_pods(run)
    await verify_pods_on_cilium(run)

    # Step 6. Take Canal out, and only then change the kube-proxy mode, which Canal's pods relied on.
    await safe_point(run, Stretch.REMOVE)
    await remove_canal(run)
    if run.request.desired_proxy_mode:
        await safe_point(run, Stretch.MODE)
        await switch_proxy_mode(run)
        await wait_for_proxy_mode(run)

    # Step 7. Replace the nodes.
    await replace_nodes(run)


async def cilium_to_canal(run: RunningMigration) -> None:
    """Leave the cluster on Canal, with kube-proxy in the desired mode."""
    # Step 3. Keep what could be lost.
    await safe_point(run, Stretch.PREPARE)
    await record_baseline(run)
    await back_up(run)

    # Step 4. Bring Canal in beside Cilium. KKP would make Cilium anew if it went before the switch.
    await safe_point(run, Stretch.MOVE)
    await prepare_cilium_removal(run)
    await allow_cni_migration(run)
    await switch_cni(run)
    await wait_for_canal(run)
    await wait_for_proxy_mode(run)
    if run.request.reverts:
        await restore_policies(run)

    # Step 5. Take Cilium out, and only then move the pods: as long as it is there, new pods get it.
    await remove_cilium(run)
    moved = await restart_pods(run)
    if run.request.remove_crds:
        await remove_cilium_definitions(run)

    # Step 6. Replace the nodes, whose kernels keep Cilium's programs and interfaces.
    if run.request.rotate_nodes:
        await close_old_nodes(run)
    await replace_nodes(run, pods_wait=moved.status is StepStatus.SKIPPED)


async def change_proxy_mode(run: RunningMigration) -> None:
    """Leave the cluster in the desired kube-proxy mode, on the CNI that it has."""
    # Step 3. Keep what could be lost.
    await safe_point(run, Stretch.PREPARE)
    await record_baseline(run)

    # Step 4. Change it, and see it through on every node.
    await safe_point(run, Stretch.MODE)
    await allow_cni_migration(run)
    await switch_proxy_mode(run)
    await wait_for_proxy_mode(run)

    # Step 5. Replace the nodes, whose kernels keep the rules of the old mode.
    await replace_nodes(run)


async def replace_nodes(run: RunningMigration, *, pods_wait: bool = False) -> None:
    """Leave no node of before: replaced one MachineDeployment at a time, or rebooted by hand where none owns it.

    Where pods wait for new nodes because they can't start on the old ones, no moment between is a safe one.
    """
    for machine_deployment in await list_machine_deployments(run):
        if not pods_wait:
            await safe_point(run, Stretch.NODES, machine_deployment)
        await rotate_machine_deployment(run, machine_deployment)
    if run.request.rotate_nodes and not pods_wait:
        await safe_point(run, Stretch.REBOOTS)
    await await_reboots(run)


RUNBOOKS: Final[Mapping[Runbook, Callable[[RunningMigration], Awaitable[None]]]] = {
    Runbook.CANAL_TO_CILIUM: canal_to_cilium,
    Runbook.CILIUM_TO_CANAL: cilium_to_canal,
    Runbook.CHANGE_PROXY_MODE: change_proxy_mode,
}
