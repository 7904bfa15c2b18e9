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
    RestartOptions,
    Runbook,
)
from migration.parameters import (
    AcceptedBlockers,
    AllDeadlines,
    AskForApproval,
    CanalVersion,
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
    seed: SeedName,
    cluster: ClusterId,
    canal_version: CanalVersion = DEFAULT_CANAL,
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
    accept: AcceptedBlockers = (),
    deadlines: AllDeadlines = Deadlines(),  # noqa: B008 - frozen
) -> MigrationReport:
    """Migrate a KKP user cluster from Cilium to Canal. Started again after any failure, it goes on where it was."""
    return await conduct(
        MigrationRequest(
            cluster=ClusterRef(seed=seed, name=cluster),
            runbook=Runbook.CILIUM_TO_CANAL,
            desired_cni=Cni(type=CniType.CANAL, version=canal_version),
            desired_proxy_mode=proxy_mode.wanted,
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
