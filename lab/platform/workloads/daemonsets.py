"""DaemonSets: one pod on every node that takes it.

Unlike the real controller, which pins a pod with node affinity and lets the scheduler bind it, this one writes
`spec.nodeName` itself: one write less for every pod. Refuses `maxSurge`, which no DaemonSet of KKP or Cilium sets.
Kubernetes: pkg/controller/daemon.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lab.objects import Object, is_being_deleted, is_pod_finished, key_of, labels_of, name_of
from lab.platform.nodes.placement import condition_taints
from lab.platform.workloads.amounts import resolve
from lab.platform.workloads.placement import daemon_tolerations, placement
from lab.platform.workloads.podhealth import seconds_until_available
from lab.platform.workloads.podtemplate import new_pod, tolerate
from lab.platform.workloads.reconciling import PodController
from lab.platform.workloads.revisions import HASH_LABEL, current_revision, forget_old_revisions
from lab.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS, Resource

if TYPE_CHECKING:
    from lab.platform.runtime import Change

GENERATION_LABEL = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"


@dataclass(frozen=True)
class _View:
    """A DaemonSet with its nodes and pods at one moment."""

    found: Object
    revision: Object
    pods: dict[str, list[Object]]
    start: frozenset[str]
    """Nodes that should run a pod."""
    stay: frozenset[str]
    """Nodes where a pod may go on running."""

    @property
    def hash(self) -> str:
        return labels_of(self.revision)[HASH_LABEL]


class DaemonSetController(PodController):
    """Keeps one pod of every DaemonSet on each of its nodes, and rolls templates out node by node."""

    name = "daemonset"
    follows = (DAEMON_SETS, CONTROLLER_REVISIONS, NODES, PODS)
    resource: ClassVar[Resource] = DAEMON_SETS

    def wire(self) -> None:
        """Follow DaemonSets, their pods and revisions, and nodes as far as placement depends on them."""
        super().wire()
        self.watch_owned(CONTROLLER_REVISIONS, "DaemonSet")
        self.mirror.subscribe(NODES, self._on_node)

    def _on_node(self, change: Change) -> None:
        before = change.before
        is_same = before is not None and _placement_facts(before) == _placement_facts(change.object)
        if is_same and change.type == "MODIFIED":
            return
        for item in self.mirror.all(DAEMON_SETS):
            self.enqueue_soon(key_of(item))

    async def reconcile(self, key: str) -> float | None:
        """Start and stop pods as the nodes ask for, take the next step of a rollout, and write the status."""
        found = self.find(key)
        if found is None or not self.is_settled(key):
            return None
        pods = await self.claim(found, PODS, self.orphans)
        if is_being_deleted(found):
            return None
        view = self._view(found, await current_revision(self, found), pods)
        if not await self._place(view) and _rolls(found):
            await self._replace_outdated(view)
        live = {labels_of(pod).get(HASH_LABEL, "") for pod in pods} | {view.hash}
        await forget_old_revisions(self, found, live)
        return await self._write_status(view)

    def _view(self, found: Object, revision: Object, pods: list[Object]) -> _View:
        spec = found["spec"]["template"]["spec"]
        tolerations = [*(spec.get("tolerations") or ()), *daemon_tolerations(spec)]
        by_node: dict[str, list[Object]] = defaultdict(list)
        for pod in pods:
            by_node[pod["spec"].get("nodeName", "")].append(pod)
        start, stay = set(), set()
        for node in self.mirror.all(NODES):
            may_start, may_stay = placement(node, spec, tolerations)
            if may_start:
                start.add(name_of(node))
            if may_stay:
                stay.add(name_of(node))
        return _View(found, revision, by_node, frozenset(start), frozenset(stay))

    async def _place(self, view: _View) -> bool:
        """Create what is missing and delete what is too much; tells whether anything was.

        A node whose old pod is still terminating waits for it to be gone, as in the real controller.
        """
        missing = [node for node in sorted(view.start) if not view.pods.get(node)]
        unwanted = []
        for node, pods in view.pods.items():
            running = [pod for pod in pods if not is_being_deleted(pod)]
            kept = _oldest([pod for pod in running if not is_pod_finished(pod)]) if node in view.stay else None
            if node in view.stay or self.mirror.get(NODES, node) is not None:
                unwanted += [pod for pod in running if pod is not kept]
        await self.delete_all(view.found, PODS, unwanted)
        await self.create_all(view.found, PODS, [_daemon_pod(view, node) for node in missing])
        return bool(missing or unwanted)

    async def _replace_outdated(self, view: _View) -> None:
        allowed = _max_unavailable(view)
        unavailable = 0
        replaceable: list[Object] = []
        healthy: list[Object] = []
        for node in sorted(view.start):
            running = [pod for pod in view.pods.get(node, ()) if not is_being_deleted(pod)]
            pod = running[0] if running else None
            available = pod is not None and self._wait(view.found, pod) == 0.0
            unavailable += not available
            if pod is not None and labels_of(pod).get(HASH_LABEL) != view.hash:
                (healthy if available else replaceable).append(pod)
        budget = max(0, allowed - unavailable)
        await self.delete_all(view.found, PODS, [*replaceable, *healthy[:budget]])

    def _wait(self, found: Object, pod: Object) -> float | None:
        return seconds_until_available(pod, found["spec"].get("minReadySeconds", 0), self.clock)

    async def _write_status(self, view: _View) -> float | None:
        """Count nodes, not pods: each by its oldest pod."""
        counts: dict[str, int] = defaultdict(int)
        waits = []
        for node, pods in view.pods.items():
            pod = _oldest([pod for pod in pods if not is_pod_finished(pod)])
            if pod is None or self.mirror.get(NODES, node) is None:
                continue
            if node not in view.start:
                counts["numberMisscheduled"] += 1
                continue
            wait = None if is_being_deleted(pod) and len(pods) > 1 else self._wait(view.found, pod)
            waits.append(wait or 0.0)
            counts["currentNumberScheduled"] += 1
            counts["numberReady"] += wait is not None
            counts["numberAvailable"] += wait == 0.0
            counts["updatedNumberScheduled"] += labels_of(pod).get(HASH_LABEL) == view.hash
        counts["desiredNumberScheduled"] = len(view.start)
        counts["numberUnavailable"] = len(view.start) - counts["numberAvailable"]
        always = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
        status = {field: counts[field] for field in (*always, *counts) if field in always or counts[field]}
        status["observedGeneration"] = view.found["metadata"].get("generation", 1)
        await self.write_status(DAEMON_SETS, view.found, status)
        return min((wait for wait in waits if wait), default=None)


def _placement_facts(node: Object) -> tuple[object, ...]:
    """Return all that `placement` reads; a node's state counts even before it shows as a taint."""
    return labels_of(node), node["spec"].get("taints"), condition_taints(node), node["metadata"]["uid"]


def _oldest(pods: list[Object]) -> Object | None:
    return min(pods, key=lambda pod: (is_being_deleted(pod), str(pod["metadata"]["creationTimestamp"])), default=None)


def _rolls(found: Object) -> bool:
    strategy = found["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def _max_unavailable(view: _View) -> int:
    rolling = (view.found["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return max(1, resolve(rolling.get("maxUnavailable", 1), len(view.start), round_up=True))


def _daemon_pod(view: _View, node: str) -> Object:
    found = view.found
    generation = found["metadata"].get("annotations", {}).get(GENERATION_ANNOTATION, str(view.revision["revision"]))
    labels = {HASH_LABEL: view.hash, GENERATION_LABEL: generation}
    pod = new_pod(found, found["spec"]["template"], labels=labels)
    pod["spec"]["nodeName"] = node
    tolerate(pod, daemon_tolerations(pod["spec"]))
    return pod
