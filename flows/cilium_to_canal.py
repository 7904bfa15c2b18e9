"""Cilium to Canal on one user cluster: the documented procedure backwards, in the order that today's KKP needs."""

from __future__ import annotations

from prefect import flow, runtime

from flows.conduct import conduct
from flows.hooks import ON_CANCELLATION, ON_CRASHED, ON_FAILURE
from migration.models import (
    ClusterRef,
    Cni,
    CniType,
    Deadlines,
    MigrationReport,
    MigrationRequest,
    OnFailure,
    ProbeOptions,
    ProxyMode,
    RestartOptions,
    Runbook,
)
from migration.versions import DEFAULT_CANAL
from migration.windows import Maintenance


@flow(
    name="cilium-to-canal",
    flow_run_name="cilium-to-canal {seed}/{cluster}",
    on_failure=ON_FAILURE,
    on_crashed=ON_CRASHED,
    on_cancellation=ON_CANCELLATION,
)
async def cilium_to_canal(
    seed: str,
    cluster: str,
    canal_version: str = DEFAULT_CANAL,
    proxy_mode: ProxyMode | None = None,
    rotate_nodes: bool = True,
    remove_crds: bool = False,
    manifest: str = "",
    pods: RestartOptions = RestartOptions(),  # noqa: B008 - frozen
    probes: ProbeOptions = ProbeOptions(),  # noqa: B008 - frozen
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - frozen
    accept: tuple[str, ...] = (),
    on_failure: OnFailure = OnFailure.STOP,
    maintenance: Maintenance = Maintenance(),  # noqa: B008 - frozen
    ignore_window: bool = False,
    approval: bool = False,
    stop_at_safe_point: bool = False,
) -> MigrationReport:
    """Migrate a KKP user cluster from Cilium to Canal. Safe to start again after any failure: it goes on where it was.

    Args:
        seed: Name of the configured connection to the cluster's seed.
        cluster: ID of the user cluster, which is the name of its Cluster object on the seed.
        canal_version: Canal version as KKP offers it, for example v3.31.
        proxy_mode: kube-proxy mode to change to. Empty: it stays, or from ebpf goes back to the one before it.
        rotate_nodes: Replace every node at the end, which Cilium's traces in their kernels make necessary.
        remove_crds: Delete Cilium's CustomResourceDefinitions, and with them all its policies (they are backed up).
        manifest: File or URL of the manifest that Cilium was installed from, if not by KKP. Empty: KKP knows.
        pods: How pods are moved to Canal.
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
            runbook=Runbook.CILIUM_TO_CANAL,
            desired_cni=Cni(type=CniType.CANAL, version=canal_version),
            desired_proxy_mode=proxy_mode,
            rotate_nodes=rotate_nodes,
            remove_crds=remove_crds,
            manifest=manifest,
            pods=pods,
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
