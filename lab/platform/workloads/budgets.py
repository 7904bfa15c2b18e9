"""PodDisruptionBudgets: how many pods may be evicted right now. Refuses to evict; the API server counts evictions.

Kubernetes: pkg/controller/disruption/disruption.go.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from lab.objects import (
    Object,
    controller_of,
    is_being_deleted,
    is_pod_ready,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    timestamp,
)
from lab.platform.workloads.amounts import resolve
from lab.platform.workloads.podhealth import parse_time
from lab.platform.workloads.reconciling import WorkloadController
from lab.platform.workloads.selectors import LabelIndex, SelectorIndex, selector_of
from lab.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, STATEFUL_SETS, Resource

if TYPE_CHECKING:
    from lab.clock import Clock
    from lab.platform.client import Client
    from lab.platform.runtime import Change, Mirror

DISRUPTED_SECONDS = 120.0
"""Seconds after which an eviction that led to no deletion is forgotten (DeletionTimeout of the real controller)."""

MOST_ENDED = 2000
"""How many ends of pods are kept in mind before old ones are forgotten."""


class BudgetController(WorkloadController):
    """Keeps the status of every PodDisruptionBudget, which the eviction API decides by."""

    name = "disruption"
    follows = (POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS)
    yields_to_load: ClassVar[bool] = True

    def __init__(self, *, client: Client, mirror: Mirror, clock: Clock) -> None:
        super().__init__(client=client, mirror=mirror, clock=clock)
        self._scales: dict[str, Resource] = {"ReplicaSet": REPLICA_SETS, "StatefulSet": STATEFUL_SETS}
        self._ended: dict[str, datetime] = {}
        """When a pod of a budget was last seen to be deleted; a StatefulSet's next one has the same name."""

    def wire(self) -> None:
        """Follow budgets, the pods they select, and the workloads whose size percentages are taken of."""
        self._budgets = SelectorIndex(self.mirror, POD_DISRUPTION_BUDGETS, selector_of)
        self._pods = LabelIndex(self.mirror, PODS)
        self.watch_owner(POD_DISRUPTION_BUDGETS)
        self.mirror.subscribe(PODS, self._on_pod)
        for resource in (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS):
            self.mirror.subscribe(resource, self._on_workload)

    def _on_pod(self, change: Change) -> None:
        before, pod = change.before, change.object
        self._note_end(change)
        if change.type == "MODIFIED" and before is not None and _facts(before) == _facts(pod):
            return
        for key in self._budgets.selecting(pod):
            self.enqueue_soon(key)
        if before is not None and labels_of(before) != labels_of(pod):
            for key in self._budgets.selecting(before):
                self.enqueue_soon(key)

    def _note_end(self, change: Change) -> None:
        if change.type != "DELETED" or not self._budgets.selecting(change.object):
            return
        now = datetime.now(UTC)
        if len(self._ended) >= MOST_ENDED:
            recent = {key: end for key, end in self._ended.items() if (now - end).total_seconds() < DISRUPTED_SECONDS}
            self._ended = recent
        self._ended[key_of(change.object)] = now

    def _on_workload(self, change: Change) -> None:
        before = change.before
        if before is not None and before["spec"].get("replicas") == change.object["spec"].get("replicas"):
            return
        template = change.object["spec"]["template"].get("metadata") or {}
        pod_like = {"metadata": {"namespace": namespace_of(change.object), "labels": template.get("labels")}}
        for key in self._budgets.selecting(pod_like):
            self.enqueue_soon(key)

    async def reconcile(self, key: str) -> float | None:
        """Count the selected pods and write the status; 409 when an eviction was counted in between."""
        namespace, name = split_key(key)
        found = self.mirror.get(POD_DISRUPTION_BUDGETS, name, namespace=namespace)
        if found is None or is_being_deleted(found):
            return None
        pods = self._pods.matching(namespace, selector_of(found))
        disrupted, again = self._still_disrupted(found, pods)
        expected, desired = self._wanted(found, pods)
        healthy = sum(is_pod_ready(pod) and not is_being_deleted(pod) and name_of(pod) not in disrupted for pod in pods)
        allowed = max(0, healthy - desired) if expected > 0 else 0
        status: Object = {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "disruptionsAllowed": allowed,
            "expectedPods": expected,
            "observedGeneration": found["metadata"].get("generation", 1),
            "conditions": [_condition(found, allowed)],
        }
        if disrupted:
            status["disruptedPods"] = disrupted
        await self.write_status(POD_DISRUPTION_BUDGETS, found, status, locked=True)
        return again

    def _still_disrupted(self, found: Object, pods: list[Object]) -> tuple[dict[str, str], float | None]:
        """Return the evicted pods whose deletion the mirror does not show yet, and when to look again."""
        here = {name_of(pod) for pod in pods if not is_being_deleted(pod)}
        held: dict[str, str] = (found.get("status") or {}).get("disruptedPods") or {}
        waits: dict[str, float] = {}
        for name, since in held.items():
            evicted = parse_time(since)
            ended = self._ended.get(f"{namespace_of(found)}/{name}")
            passed = (datetime.now(UTC) - evicted).total_seconds()
            if name in here and passed < DISRUPTED_SECONDS and (ended is None or ended < evicted):
                waits[name] = DISRUPTED_SECONDS - passed
        again = min(waits.values()) * self.clock.speed if waits else None
        return {name: held[name] for name in waits}, again

    def _wanted(self, found: Object, pods: list[Object]) -> tuple[int, int]:
        """Return how many pods there should be, and how many of them have to be healthy."""
        spec = found["spec"]
        if "maxUnavailable" in spec:
            expected = self._expected(pods)
            return expected, max(0, expected - resolve(spec["maxUnavailable"], expected, round_up=True))
        minimum = spec.get("minAvailable", 1)
        expected = len(pods) if isinstance(minimum, int) else self._expected(pods)
        return expected, resolve(minimum, expected, round_up=True)

    def _expected(self, pods: list[Object]) -> int:
        """Return the sum of the sizes of the workloads that the pods belong to; a pod without one counts itself."""
        sizes: dict[str, int] = {}
        for pod in pods:
            owner = self._scaled_owner(pod)
            if owner is None:
                sizes[key_of(pod)] = 1
            else:
                sizes[owner["metadata"]["uid"]] = int(owner["spec"].get("replicas", 1))
        return sum(sizes.values())

    def _scaled_owner(self, pod: Object) -> Object | None:
        reference = controller_of(pod)
        resource = self._scales.get(reference["kind"]) if reference else None
        if reference is None or resource is None:
            return None
        owner = self.mirror.get(resource, reference["name"], namespace=namespace_of(pod))
        above = controller_of(owner) if owner is not None else None
        if above is not None and above["kind"] == "Deployment":
            return self.mirror.get(DEPLOYMENTS, above["name"], namespace=namespace_of(pod)) or owner
        return owner


def _facts(pod: Object) -> tuple[object, ...]:
    return labels_of(pod), is_pod_ready(pod), is_being_deleted(pod)


def _condition(found: Object, allowed: int) -> Object:
    status = "True" if allowed else "False"
    held = (found.get("status") or {}).get("conditions") or ()
    before = next((c for c in held if c["type"] == "DisruptionAllowed"), None)
    generation = found["metadata"].get("generation", 1)
    return {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before and before["status"] == status else timestamp(),
    }
