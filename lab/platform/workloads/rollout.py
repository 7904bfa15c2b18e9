"""The arithmetic of a Deployment's rollout: which ReplicaSet gets how many replicas next, and what its status says.

Pure: objects in, numbers out. Kubernetes: pkg/controller/deployment/{rolling,recreate,progress}.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.objects import Object, annotations_of
from lab.platform.workloads.amounts import surge_and_unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
TEMPLATE_HASH = "pod-template-hash"


@dataclass(frozen=True)
class Strategy:
    """How a Deployment wants to be rolled out, with the API's defaults filled in."""

    replicas: int
    surge: int
    unavailable: int
    recreate: bool


def strategy_of(deployment: Object) -> Strategy:
    """Return the strategy of a Deployment in numbers."""
    spec = deployment["spec"]
    replicas = spec.get("replicas", 1)
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Strategy(replicas, 0, replicas, recreate=True)
    rolling = strategy.get("rollingUpdate") or {}
    surge, unavailable = surge_and_unavailable(
        rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%"), replicas
    )
    return Strategy(replicas, surge, min(unavailable, replicas), recreate=False)


def replicas_of(replica_set: Object) -> int:
    """Return how many replicas a ReplicaSet is asked for."""
    return int(replica_set["spec"].get("replicas", 1))


def observed(replica_set: Object, field: str) -> int:
    """Return a count of the ReplicaSet's status, 0 when absent."""
    return int((replica_set.get("status") or {}).get(field, 0))


def revision_of(item: Object) -> int:
    """Return the rollout revision that an object is annotated with, 0 when it has none."""
    return int(annotations_of(item).get(REVISION, "0"))


def by_age(replica_sets: Sequence[Object]) -> list[Object]:
    """Return the ReplicaSets, oldest first."""
    return sorted(replica_sets, key=lambda item: (str(item["metadata"]["creationTimestamp"]), revision_of(item)))


def next_new_size(current: int, others: int, strategy: Strategy) -> int:
    """Return the size that the newest ReplicaSet may have now, beside `others` replicas of older ones."""
    if current >= strategy.replicas:
        return strategy.replicas
    room = strategy.replicas + strategy.surge - current - others
    return current + max(0, min(room, strategy.replicas - current))


def next_old_sizes(new: Object, old: Sequence[Object], strategy: Strategy) -> dict[str, int]:
    """Return the sizes by name of the older ReplicaSets that may shrink now: unhealthy replicas first."""
    total = replicas_of(new) + sum(map(replicas_of, old))
    minimum = strategy.replicas - strategy.unavailable
    budget = total - minimum - (replicas_of(new) - observed(new, "availableReplicas"))
    if budget <= 0:
        return {}
    sizes = {item["metadata"]["name"]: replicas_of(item) for item in old}
    ordered = [item for item in by_age(old) if replicas_of(item)]
    for item in ordered:
        unhealthy = min(budget, max(0, replicas_of(item) - observed(item, "availableReplicas")))
        sizes[item["metadata"]["name"]] -= unhealthy
        budget -= unhealthy
    available = sum(observed(item, "availableReplicas") for item in (new, *old))
    spare = min(budget, available - minimum)
    for item in ordered:
        given_up = max(0, min(spare, sizes[item["metadata"]["name"]]))
        sizes[item["metadata"]["name"]] -= given_up
        spare -= given_up
    return {item["metadata"]["name"]: sizes[item["metadata"]["name"]] for item in ordered}


def counts_of(deployment: Object, new: Object | None, all_sets: Sequence[Object]) -> dict[str, int]:
    """Return the numbers of a Deployment's status; zeros are left out, as the API does."""
    total = sum(observed(item, "replicas") for item in all_sets)
    available = sum(observed(item, "availableReplicas") for item in all_sets)
    counts = {
        "replicas": total,
        "updatedReplicas": observed(new, "replicas") if new else 0,
        "readyReplicas": sum(observed(item, "readyReplicas") for item in all_sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, max(total, sum(map(replicas_of, all_sets))) - available),
    }
    status = {field: count for field, count in counts.items() if count}
    status["observedGeneration"] = deployment["metadata"].get("generation", 1)
    return status


def is_complete(deployment: Object, counts: dict[str, Any]) -> bool:
    """Tell whether all replicas are of the newest template and available, and no older one is left."""
    wanted = deployment["spec"].get("replicas", 1)
    fields = ("replicas", "updatedReplicas", "availableReplicas")
    return all(counts.get(field, 0) == wanted for field in fields)
