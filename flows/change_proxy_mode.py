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
    Runbook,
)
from migration.parameters import (
    AcceptedBlockers,
    AllDeadlines,
    AskForApproval,
    ClusterId,
    FailureChoice,
    IgnoreWindow,
    MaintenanceWindows,
    NewProxyMode,
    Probes,
    RotateNodes,
    SeedName,
    StopAtSafePoint,
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
    seed: SeedName,
    cluster: ClusterId,
    proxy_mode: NewProxyMode,
    rotate_nodes: RotateNodes = True,
    approval: AskForApproval = False,
    maintenance: MaintenanceWindows = Maintenance(),  # noqa: B008 - frozen
    ignore_window: IgnoreWindow = False,
    stop_at_safe_point: StopAtSafePoint = False,
    on_failure: FailureChoice = OnFailure.STOP,
    probes: Probes = ProbeOptions(),  # noqa: B008 - frozen
    accept: AcceptedBlockers = (),
    deadlines: AllDeadlines = Deadlines(),  # noqa: B008 - frozen
) -> MigrationReport:
    """Change the kube-proxy mode of a KKP user cluster. Safe to start again after any failure."""
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
