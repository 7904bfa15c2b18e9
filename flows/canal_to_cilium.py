"""Canal to Cilium on one user cluster: the documented manual procedure, as a runbook that resumes."""

from __future__ import annotations

from typing import Annotated

from prefect import flow, runtime
from pydantic import Field

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
from migration.versions import DEFAULT_CILIUM
from migration.windows import Maintenance


@flow(
    name="canal-to-cilium",
    flow_run_name="canal-to-cilium {seed}/{cluster}",
    on_failure=ON_FAILURE,
    on_crashed=ON_CRASHED,
    on_cancellation=ON_CANCELLATION,
)
async def canal_to_cilium(
    seed: str,
    cluster: str,
    cilium_version: str = DEFAULT_CILIUM,
    proxy_mode: ProxyMode | None = None,
    tunnel_port: Annotated[int, Field(ge=1, le=65535)] | None = None,
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
    """Migrate a KKP user cluster from Canal to Cilium. Safe to start again after any failure: it goes on where it was.

    Args:
        seed: Name of the configured connection to the cluster's seed.
        cluster: ID of the user cluster, which is the name of its Cluster object on the seed.
        cilium_version: Cilium version as KKP offers it, for example 1.19.4.
        proxy_mode: kube-proxy mode to change to on the way. Empty: it stays as it is.
        tunnel_port: UDP port of Cilium's tunnel. Empty: one that Canal doesn't use.
        rotate_nodes: Replace every node at the end, so that nothing of Canal is left in a kernel.
        remove_crds: Delete Canal's CustomResourceDefinitions, and with them all Calico policies (they are backed up).
        manifest: File or URL of the manifest that Canal was installed from, if not by KKP. Empty: KKP knows.
        pods: How pods are moved to Cilium.
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
            runbook=Runbook.CANAL_TO_CILIUM,
            desired_cni=Cni(type=CniType.CILIUM, version=cilium_version),
            desired_proxy_mode=proxy_mode,
            tunnel_port=tunnel_port,
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
