"""ReplicaSets: as many active pods as asked for. Refuses to know about Deployments.

Kubernetes: pkg/controller/replicaset/replica_set.go; a pod that is being deleted does not count, so its replacement is
created at once.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from lab.errors import ApiError
from lab.objects import Object, annotations_of, is_being_deleted, is_pod_ready, labels_of, timestamp
from lab.platform.workloads.podhealth import is_active, seconds_until_available
from lab.platform.workloads.podtemplate import new_pod
from lab.platform.workloads.reconciling import PodController
from lab.resources import PODS, REPLICA_SETS, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def first_to_delete(pods: Sequence[Object], count: int) -> list[Object]:
    """Return the pods to give up first when there are too many (kube `ActivePodsWithRanks`)."""
    per_node = Counter(pod["spec"].get("nodeName", "") for pod in pods)
    newest_first = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)

    def rank(pod: Object) -> tuple[Any, ...]:
        node = pod["spec"].get("nodeName", "")
        phase = (pod.get("status") or {}).get("phase", "Pending")
        cost = int(annotations_of(pod).get(DELETION_COST, "0"))
        return bool(node), _PHASE_RANK.get(phase, 0), is_pod_ready(pod), cost, -per_node[node]

    return sorted(newest_first, key=rank)[:count]


class ReplicaSetController(PodController):
    """Keeps `spec.replicas` active pods for every ReplicaSet, and its status."""

    name = "replicaset"
    follows = (REPLICA_SETS, PODS)
    resource: ClassVar[Resource] = REPLICA_SETS

    async def reconcile(self, key: str) -> float | None:
        """Create or delete the difference, then write what is observed."""
        found = self.find(key)
        if found is None or not self.is_settled(key):
            return None
        active = [pod for pod in await self.claim(found, PODS, self.orphans) if is_active(pod)]
        refusal: ApiError | None = None
        if not is_being_deleted(found):
            try:
                await self._scale(found, active)
            except ApiError as error:
                refusal = error
        again = await self._write_status(found, active, refusal)
        if refusal is not None:
            raise refusal
        return again

    async def _scale(self, found: Object, active: list[Object]) -> None:
        missing = found["spec"].get("replicas", 1) - len(active)
        if missing > 0:
            template = found["spec"]["template"]
            await self.create_all(found, PODS, [new_pod(found, template) for _ in range(missing)])
        elif missing < 0:
            await self.delete_all(found, PODS, first_to_delete(active, -missing))

    async def _write_status(self, found: Object, active: list[Object], refusal: ApiError | None) -> float | None:
        min_ready = found["spec"].get("minReadySeconds", 0)
        waits = [seconds_until_available(pod, min_ready, self.clock) for pod in active]
        template_labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        counts = {
            "fullyLabeledReplicas": sum(template_labels.items() <= labels_of(pod).items() for pod in active),
            "readyReplicas": sum(wait is not None for wait in waits),
            "availableReplicas": sum(wait == 0.0 for wait in waits),
        }
        status: Object = {"replicas": len(active), **{field: count for field, count in counts.items() if count}}
        status["observedGeneration"] = found["metadata"].get("generation", 1)
        if refusal is not None:
            status["conditions"] = [_failure(found, refusal)]
        await self.write_status(REPLICA_SETS, found, status)
        return min((wait for wait in waits if wait), default=None)


def _failure(found: Object, refusal: ApiError) -> Object:
    for held in (found.get("status") or {}).get("conditions") or ():
        if held["type"] == "ReplicaFailure" and held["message"] == refusal.message:
            return dict(held)
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": refusal.message,
        "lastTransitionTime": timestamp(),
    }
