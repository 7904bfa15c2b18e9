"""What a request means for a cluster: which way it leads, what it changes, whether it goes on with something."""

from __future__ import annotations

from migration.journal import CLOSED_NODES, CNI_UNINSTALL, NODES_TO_OPEN, Migration
from migration.models import CniType, MigrationRequest, Network, ProxyMode, Runbook
from migration.restart import RestartPlan, plan_restart
from migration.survey import ClusterSurvey
from migration.targets import desired_network, is_same_migration

_TARGETS = {Runbook.CANAL_TO_CILIUM: CniType.CILIUM, Runbook.CILIUM_TO_CANAL: CniType.CANAL}


def new_cni(request: MigrationRequest) -> CniType | None:
    """Return the type of CNI that the runbook brings in; None if it stays with the one there is."""
    return _TARGETS.get(request.runbook)


def target(survey: ClusterSurvey, request: MigrationRequest) -> Network:
    """Return the CNI and kube-proxy mode that the cluster shall have."""
    return desired_network(request, survey.cluster, survey.journal)


def changes_mode(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    """Tell whether the kube-proxy mode shall be another."""
    return target(survey, request).proxy_mode != survey.cluster.proxy_mode


def taken_up(survey: ClusterSurvey, request: MigrationRequest) -> Migration | None:
    """Return the unfinished migration that the request goes on with; None if it begins one."""
    unfinished = survey.journal.open_migration()
    return unfinished if unfinished is not None and is_same_migration(request, unfinished) else None


def is_under_way(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    """Tell whether a migration is open that the request goes on with, or takes back."""
    unfinished = survey.journal.open_migration()
    if unfinished is None:
        return False
    return unfinished.id == request.reverts or is_same_migration(request, unfinished)


def is_replacing_nodes(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    """Tell whether the migration under way is in the middle of replacing nodes: old ones go, and new ones come."""
    unfinished = survey.journal.open_migration()
    if unfinished is None or not is_under_way(survey, request):
        return False
    rolling = [deployment for deployment in survey.machine_deployments if deployment.replicas]
    old = {uid for uids in unfinished.old_nodes.values() for uid in uids}
    # Those that are still drained count no more in the MachineDeployment's status (docs/platform.md 7.2).
    is_old_there = any(node.uid in old for node in survey.nodes)
    is_none_there = bool(old and rolling and not survey.nodes)
    return is_old_there or is_none_there or any(not deployment.is_complete for deployment in rolling)


def has_closed_nodes(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    """Tell whether the migration that the request goes on with has cordoned nodes that are there, to replace them."""
    running = taken_up(survey, request)
    closed = running.marks.get(CLOSED_NODES, "").split() if running is not None else ()
    return any(node.uid in closed for node in survey.nodes)


def opens_nodes(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    """Tell whether the migration that the request takes back has cordoned nodes that are there, to be opened again."""
    unfinished = survey.journal.open_migration()
    if unfinished is None or not request.reverts:
        return False
    is_reverted = unfinished.id == request.reverts
    closed = (unfinished.nodes_it_closed if is_reverted else unfinished.marks.get(NODES_TO_OPEN, "")).split()
    return any(node.uid in closed and node.cordoned for node in survey.nodes)


def may_keep_cni_file(survey: ClusterSurvey) -> bool:
    """Tell whether Cilium's agents can't be told to take their CNI file along when they go.

    KKP's webhook frees the values under `cni` only where chainingMode is set, which KKP does but on ebpf
    (docs/platform.md 1.4); what was on ebpf only since has kept it.
    """
    if survey.application is None or survey.application.values is None:
        return False
    on_ebpf = survey.cluster.proxy_mode == ProxyMode.EBPF
    return on_ebpf and not (survey.application.values.get("cni") or {}).get("chainingMode")


def moves_pods_with_nodes(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    """Tell whether pods come to Canal with new nodes, because they could not start anew on those there are.

    What the migration under way has found out counts; the Cluster and the application tell no more once both are
    changed.
    """
    if new_cni(request) is not CniType.CANAL:
        return False
    running = taken_up(survey, request)
    noted = running.marks.get(CNI_UNINSTALL) if running is not None else None
    return noted == "false" if noted is not None else may_keep_cni_file(survey)


def planned_restart(survey: ClusterSurvey, request: MigrationRequest) -> RestartPlan | None:
    """Return which pods the step that restarts them would choose now, and in which order; None if it has none to.

    It is chosen anew when it is their turn: pods come and go meanwhile.
    """
    cni = new_cni(request)
    if cni is None or moves_pods_with_nodes(survey, request):
        return None
    return plan_restart(
        survey.pods, survey.endpoints, request.pods, target=cni, webhook_backends=survey.webhook_backends
    )
