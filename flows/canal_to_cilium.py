"""Canal to Cilium on one user cluster: the documented manual procedure, as a runbook that resumes."""

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
    RestartOptions,
    Runbook,
)
from migration.parameters import (
    AUTOMATIC_PORT,
    AcceptedBlockers,
    AllDeadlines,
    AskForApproval,
    CiliumVersion,
    ClusterId,
    FailureChoice,
    IgnoreWindow,
    MaintenanceWindows,
    Manifest,
    OptionalProxyMode,
    Pods,
    Probes,
    ProxyModeChoice,
    RemoveDefinitions,
    RotateNodes,
    SeedName,
    StopAtSafePoint,
    TunnelPort,
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
    seed: SeedName,
    cluster: ClusterId,
    cilium_version: CiliumVersion = DEFAULT_CILIUM,
    proxy_mode: OptionalProxyMode = ProxyModeChoice.KEEP,
    rotate_nodes: RotateNodes = True,
    approval: AskForApproval = False,
    maintenance: MaintenanceWindows = Maintenance(),  # noqa: B008 - frozen
    ignore_window: IgnoreWindow = False,
    stop_at_safe_point: StopAtSafePoint = False,
    on_failure: FailureChoice = OnFailure.STOP,
    pods: Pods = RestartOptions(),  # noqa: B008 - frozen
    probes: Probes = ProbeOptions(),  # noqa: B008 - frozen
    remove_crds: RemoveDefinitions = False,
    manifest: Manifest = "",
    tunnel_port: TunnelPort = AUTOMATIC_PORT,
    accept: AcceptedBlockers = (),
    deadlines: AllDeadlines = Deadlines(),  # noqa: B008 - frozen
) -> MigrationReport:
    """Migrate a KKP user cluster from Canal to Cilium. Started again after any failure, it goes on where it was."""
    return await conduct(
        MigrationRequest(
            cluster=ClusterRef(seed=seed, name=cluster),
            runbook=Runbook.CANAL_TO_CILIUM,
            desired_cni=Cni(type=CniType.CILIUM, version=cilium_version),
            desired_proxy_mode=proxy_mode.wanted,
            tunnel_port=tunnel_port or None,
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
