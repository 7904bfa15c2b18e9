"""Workloads: what is lost, interrupted or in the way when pods are restarted and nodes replaced."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from migration.asking import new_cni, target
from migration.models import (
    BarePodChoice,
    CniType,
    Finding,
    JobChoice,
    MigrationRequest,
    Pod,
    ProxyMode,
    RestartStrategy,
)
from migration.readiness.codes import blocker, info, warning
from migration.restart import is_bare, needs_network
from migration.survey import ClusterSurvey
from migration.text import listing

NAMED: Final = 5
STUCK_AFTER: Final = timedelta(minutes=1)
"""How long after its grace period a pod that is being deleted counts as stuck."""


def pods(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find pods that nobody brings back, or that are on their way out."""
    restarted = new_cni(request) is not None
    for pod in survey.pods:
        if pod.deleting:
            yield from _terminating(survey, pod, restarted=restarted)
        elif restarted and needs_network(pod) and is_bare(pod):
            yield _bare_pod(pod.key, request)
        elif request.rotate_nodes and is_bare(pod) and not pod.finished:
            yield info(
                "bare-pod",
                f"Pod {pod.key}",
                "no controller would bring it back",
                "It follows when nodes are replaced.",
            )


def _terminating(survey: ClusterSurvey, pod: Pod, *, restarted: bool) -> Iterable[Finding]:
    if pod.deletion_due is not None and survey.seen_at - pod.deletion_due > STUCK_AFTER:
        yield warning(
            "pod-stuck",
            f"Pod {pod.key}",
            f"it should have ended at {pod.deletion_due:%H:%M:%S} UTC and has not",
            "Look at its node and its finalizers; pods.force_delete_stuck removes such pods.",
        )
    elif restarted and needs_network(pod):
        yield info("pod-terminating", f"Pod {pod.key}", "it is being deleted", "It is left to its end.")


def _bare_pod(key: str, request: MigrationRequest) -> Finding:
    choice, subject, seen = request.pods.bare_pods, f"Pod {key}", "no controller would bring it back"
    if choice is BarePodChoice.FAIL:
        return blocker("bare-pod", subject, seen, "Remove it, or choose to recreate or skip.")
    if choice is BarePodChoice.SKIP:
        return warning("bare-pod", subject, seen, "Skipped: it loses its network with the old CNI.")
    return info("bare-pod", subject, seen, "It is recreated from its backup.")


def jobs(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Tell of Jobs that still run."""
    if new_cni(request) is None and not request.rotate_nodes:
        return
    handled = "It starts over on another node when its own is replaced."
    if new_cni(request) is not None:
        handled = f"Its pods are handled as asked: {request.pods.jobs}."
        if request.pods.jobs is JobChoice.SKIP:
            return
    for job in sorted(survey.unfinished_jobs):
        yield info("running-job", f"Job {job}", "it still runs", handled)


def budgets(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find PodDisruptionBudgets that hold up evictions."""
    evicts = request.pods.strategy is RestartStrategy.EVICT and new_cni(request) is not None
    for budget in survey.blocked_budgets:
        if evicts or request.rotate_nodes:
            yield warning(
                "budget-blocks",
                f"PodDisruptionBudget {budget}",
                "it allows no disruption now",
                "Evictions and drains wait for it (machine-controller gives up after 2 h): relax it meanwhile.",
            )


def single_replicas(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find workloads that are away while their only pod is restarted."""
    if new_cni(request) is None and not request.rotate_nodes:
        return
    single = sorted(
        found.workload for found in survey.workloads if found.desired == 1 and "/DaemonSet/" not in found.workload
    )
    if single:
        yield warning(
            "single-replica",
            _count(single, "workloads"),
            f"they have one pod, and are away while it is restarted: {listing(single, count=NAMED)}",
            "Scale up those that must not be, where they can run twice.",
        )


def storage(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find data that is lost with its pod or with its node."""
    restarted = new_cni(request) is not None
    if not restarted and not request.rotate_nodes:
        return
    own = [pod for pod in survey.pods if needs_network(pod) and not pod.deleting and pod.namespace != "kube-system"]
    if emptied := sorted({pod.workload for pod in own if "emptyDir" in pod.local_volumes}):
        yield info(
            "empty-dir",
            _count(emptied, "workloads"),
            f"their emptyDir volumes are empty after the restart: {listing(emptied, count=NAMED)}",
            "Copy away what is not a cache.",
        )
    if request.rotate_nodes and (bound := sorted({pod.workload for pod in own if _lies_on_node(survey, pod)})):
        yield warning(
            "node-storage",
            _count(bound, "workloads"),
            f"they keep data on their node, which is replaced: {listing(bound, count=NAMED)}",
            "Copy it away, or run with rotate_nodes off and reboot these nodes instead.",
        )


def _lies_on_node(survey: ClusterSurvey, pod: Pod) -> bool:
    on_node = pod.owner is None or pod.owner.kind != "DaemonSet"
    if on_node and "hostPath" in pod.local_volumes:
        return True
    return any(f"{pod.namespace}/{claim}" in survey.node_bound_claims for claim in pod.claims)


def host_ports(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Tell of pods with ports of their node, which each CNI serves in its own way."""
    users = sorted({pod.workload for pod in survey.pods if pod.host_ports and needs_network(pod)})
    wanted = target(survey, request)
    if not users or wanted == survey.cluster.network:
        return
    subject, names = _count(users, "workloads"), listing(users, count=NAMED)
    if wanted.cni.type is CniType.CILIUM and wanted.proxy_mode == ProxyMode.EBPF:
        yield warning(
            "host-ports",
            subject,
            f"their host ports are served by Cilium itself with ebpf, no longer by portmap: {names}",
            "Try each of them afterwards.",
        )
    elif new_cni(request) is not None:
        yield info(
            "host-ports",
            subject,
            f"their host ports are served by portmap on both CNIs: {names}",
            "They are closed while the pods are restarted.",
        )


def _count(names: list[str], what: str) -> str:
    return f"{len(names)} {what if len(names) != 1 else what.removesuffix('s')}"


RULES = (pods, jobs, budgets, single_replicas, storage, host_ports)
