"""The kube-proxy mode of one user cluster: changed, seen through on every node, and the nodes replaced."""

from __future__ import annotations

from prefect import flow, runtime

from flows.conduct import conduct
from flows.hooks import ON_CANCELLATION, ON_CRASHED, ON_FAILURE
from migration.models import (
    ClusterRef,
    Deadlines,
    MigrationReport,
    MigrationRequest,
    OnFailure,
    ProbeOptions,
    ProxyMode,
    Runbook,
)
from migration.windows import Maintenance


@flow(
    name="change-proxy-mode",
    flow_run_name="change-proxy-mode {seed}/{cluster}",
    on_failure=ON_FAILURE,
    on_crashed=ON_CRASHED,
    on_cancellation=ON_CANCELLATION,
)
async def change_proxy_mode(
    seed: str,
    cluster: str,
    proxy_mode: ProxyMode,
    rotate_nodes: bool = True,
    probes: ProbeOptions = ProbeOptions(),  # noqa: B008 - frozen
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - frozen
    accept: tuple[str, ...] = (),
    on_failure: OnFailure = OnFailure.STOP,
    maintenance: Maintenance = Maintenance(),  # noqa: B008 - frozen
    ignore_window: bool = False,
    approval: bool = False,
    stop_at_safe_point: bool = False,
) -> MigrationReport:
    """Change the kube-proxy mode of a KKP user cluster. Safe to start again after any failure.

    Args:
        seed: Name of the configured connection to the cluster's seed.
        cluster: ID of the user cluster, which is the name of its Cluster object on the seed.
        proxy_mode: The mode to change to. With ebpf, which needs Cilium, Cilium takes kube-proxy's place.
        rotate_nodes: Replace every node at the end, so that no rules of the old mode are left in a kernel.
        probes: Short-lived pods that try the network before and after.
        deadlines: Minutes after which a wait fails its step. Nothing is undone by that.
        accept: Codes of readiness blockers to go on in spite of.
        on_failure: Stop where it failed, or take back what was done.
        maintenance: Windows outside of which nothing disruptive begins. Empty: it begins at once.
        ignore_window: Go on although no window is open, in an emergency. The report says so.
        approval: Ask a person, with the readiness report, before the first disruptive step.
        stop_at_safe_point: End at the next point where the cluster is fine as it is, and go on in a later run.
    """
    return await conduct(
        MigrationRequest(
            cluster=ClusterRef(seed=seed, name=cluster),
            runbook=Runbook.CHANGE_PROXY_MODE,
            desired_proxy_mode=proxy_mode,
            rotate_nodes=rotate_nodes,
            probes=probes,
            deadlines=deadlines,
            accept=accept,
            on_failure=on_failure,
            maintenance=maintenance,
            ignore_window=ignore_window,
            approval=approval,
            stop_at_safe_point=stop_at_safe_point,
            requested_by=str(runtime.flow_run.name),
        )
    )
