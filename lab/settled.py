"""Whether a user cluster has come to rest: what it still waits for, in words. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.objects import Object, is_pod_finished, is_pod_ready, key_of, name_of
from lab.resources import (
    CLUSTERS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    MACHINE_DEPLOYMENTS,
    NODES,
    PODS,
    STATEFUL_SETS,
    Resource,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.platform.runtime import Mirror

FOLLOWED = (NODES, PODS, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, JOBS, MACHINE_DEPLOYMENTS)

SYSTEM_WORKLOADS: tuple[tuple[Resource, str], ...] = (
    # What KKP puts in every user cluster with either CNI (KKP addons/ and user-cluster-controller-manager/resources).
    (DAEMON_SETS, "kube-proxy"),
    (DEPLOYMENTS, "coredns"),
    (DEPLOYMENTS, "konnectivity-agent"),
)


def waiting_for(cluster: str, *, seed: Mirror, user: Mirror) -> list[str]:
    """Return what is not as it is to be, first things first; empty once the cluster is settled."""
    return list(_parts(cluster, seed=seed, user=user)) or list(_pods(user))


def is_settled(cluster: str, *, seed: Mirror, user: Mirror) -> bool:
    """Tell whether nothing is waited for: no dearer than the first thing that is."""
    first = next(_parts(cluster, seed=seed, user=user), "") or next(_pods(user), "")
    return not first


def _parts(cluster: str, *, seed: Mirror, user: Mirror) -> Iterator[str]:
    found = seed.get(CLUSTERS, cluster)
    yield from _health(found)
    yield from _nodes(user)
    yield from _cni(found, user)
    yield from _workloads(user)


def _cni(cluster: Object | None, user: Mirror) -> Iterator[str]:
    name = (((cluster or {}).get("spec") or {}).get("cniPlugin") or {}).get("type", "canal")
    if user.get(DAEMON_SETS, name, namespace="kube-system") is None:
        yield f"DaemonSet kube-system/{name} to be created"


def _health(cluster: Object | None) -> Iterator[str]:
    health = ((cluster or {}).get("status") or {}).get("extendedHealth") or {}
    if not health:
        yield "the control plane to report its health"
    for part, value in health.items():
        if value not in ("", "HealthStatusUp"):
            yield f"control plane part {part}, which is {value}"


def _nodes(user: Mirror) -> Iterator[str]:
    desired = sum(item["spec"].get("replicas", 1) for item in user.all(MACHINE_DEPLOYMENTS))
    ready = sum(_is_node_ready(node) for node in user.all(NODES))
    if ready != desired:
        yield f"{desired} nodes to be ready; {ready} are"


def _is_node_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    tainted = any(taint["effect"] != "PreferNoSchedule" for taint in node["spec"].get("taints") or ())
    return not tainted and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _workloads(user: Mirror) -> Iterator[str]:
    for resource, name in SYSTEM_WORKLOADS:
        if user.get(resource, name, namespace="kube-system") is None:
            yield f"{resource.kind} kube-system/{name} to be created"
    for resource in (DAEMON_SETS, DEPLOYMENTS, STATEFUL_SETS):
        for workload in user.all(resource):
            yield from _workload(resource, workload)


def _workload(resource: Resource, workload: Object) -> Iterator[str]:
    status = workload.get("status") or {}
    if resource is DAEMON_SETS:
        desired, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    else:
        desired, ready = workload["spec"].get("replicas", 1), status.get("readyReplicas", 0)
    observed = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 1)
    if not observed or ready != desired:
        yield f"{resource.kind} {key_of(workload)}: {ready} of {desired} pods are ready"


def has_begun(job: Object | None) -> bool:
    """Tell whether a Job has a pod, or had one that ended."""
    status = (job or {}).get("status") or {}
    return any(status.get(field) for field in ("active", "succeeded", "failed"))


def _pods(user: Mirror) -> Iterator[str]:
    for pod in user.all(PODS):
        if not is_pod_finished(pod) and not is_pod_ready(pod):
            yield f"pod {key_of(pod)} to be ready"


def nodes_and_pods(user: Mirror) -> dict[str, int]:
    """Return how many nodes and pods there are."""
    return {"nodes": len({name_of(node) for node in user.all(NODES)}), "pods": len(user.all(PODS))}
