"""The way back: the opposite runbook to what the journal says the cluster had before, its policies restored."""

from __future__ import annotations

from prefect import flow, runtime

from flows.conduct import conduct
from flows.hooks import ON_CANCELLATION, ON_CRASHED, ON_FAILURE
from migration.models import (
    ClusterRef,
    Deadlines,
    MigrationReport,
    MigrationRequest,
    ProbeOptions,
    RestartOptions,
)
from migration.parameters import (
    AcceptedBlockers,
    AllDeadlines,
    AskForApproval,
    ClusterId,
    IgnoreWindow,
    MaintenanceWindows,
    Pods,
    Probes,
    RotateNodes,
    SeedName,
    StopAtSafePoint,
)
from migration.windows import Maintenance
from tasks.reverting import plan_revert


@flow(
    name="revert-migration",
    flow_run_name="revert-migration {seed}/{cluster}",
    on_failure=ON_FAILURE,
    on_crashed=ON_CRASHED,
    on_cancellation=ON_CANCELLATION,
)
async def revert_migration(
    seed: SeedName,
    cluster: ClusterId,
    rotate_nodes: RotateNodes = True,
    approval: AskForApproval = False,
    maintenance: MaintenanceWindows = Maintenance(),  # noqa: B008 - frozen
    ignore_window: IgnoreWindow = False,
    stop_at_safe_point: StopAtSafePoint = False,
    pods: Pods = RestartOptions(),  # noqa: B008 - frozen
    probes: Probes = ProbeOptions(),  # noqa: B008 - frozen
    accept: AcceptedBlockers = (),
    deadlines: AllDeadlines = Deadlines(),  # noqa: B008 - frozen
) -> MigrationReport:
    """Take back the unfinished migration of a KKP user cluster, or else the one that was finished last.

    CNI, version and kube-proxy mode become what they were before it, and the policies that only the former CNI reads
    are restored from their backup. Safe to start again after any failure.
    """
    request = MigrationRequest(
        cluster=ClusterRef(seed=seed, name=cluster),
        rotate_nodes=rotate_nodes,
        pods=pods,
        probes=probes,
        deadlines=deadlines,
        accept=accept,
        maintenance=maintenance,
        ignore_window=ignore_window,
        approval=approval,
        stop_at_safe_point=stop_at_safe_point,
        requested_by=str(runtime.flow_run.name),
    )
    return await conduct(request, planned=plan_revert)
