"""The way back: the opposite runbook to what the journal says the cluster had before, its policies restored."""

from __future__ import annotations

from prefect import flow, runtime

from flows.conduct import conduct
from flows.hooks import ON_CANCELLATION, ON_CRASHED, ON_FAILURE
from migration.models import ClusterRef, Deadlines, MigrationReport, MigrationRequest, ProbeOptions, RestartOptions
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
    seed: str,
    cluster: str,
    rotate_nodes: bool = True,
    pods: RestartOptions = RestartOptions(),  # noqa: B008 - frozen
    probes: ProbeOptions = ProbeOptions(),  # noqa: B008 - frozen
    deadlines: Deadlines = Deadlines(),  # noqa: B008 - frozen
    accept: tuple[str, ...] = (),
    maintenance: Maintenance = Maintenance(),  # noqa: B008 - frozen
    ignore_window: bool = False,
    approval: bool = False,
    stop_at_safe_point: bool = False,
) -> MigrationReport:
    """Take back the unfinished migration of a KKP user cluster, or else the one that was finished last.

    CNI, version and kube-proxy mode become what they were before it, and the policies that only the former CNI reads
    are restored from their backup. Safe to start again after any failure.

    Args:
        seed: Name of the configured connection to the cluster's seed.
        cluster: ID of the user cluster, which is the name of its Cluster object on the seed.
        rotate_nodes: Replace every node at the end. Back to Canal that is necessary.
        pods: How pods are moved back.
        probes: Short-lived pods that try the network before and after.
        deadlines: Minutes after which a wait fails its step. Nothing is undone by that.
        accept: Codes of readiness blockers to go on in spite of.
        maintenance: Windows outside of which nothing disruptive begins. Empty: it begins at once.
        ignore_window: Go on although no window is open, in an emergency. The report says so.
        approval: Ask a person, with the readiness report, before the first disruptive step.
        stop_at_safe_point: End at the next point where the cluster is fine as it is, and go on in a later run.
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
