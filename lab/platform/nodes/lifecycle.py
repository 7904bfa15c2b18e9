"""What kube-controller-manager does about nodes: taints from their state, and the removal of pods that lost theirs.

Refuses to evict by NoExecute taints: the lab's nodes do not go silent, they go.
"""

from __future__ import annotations

from lab.clock import Clock
from lab.objects import Object, is_being_deleted, key_of, name_of, namespace_of, split_key, timestamp, uid_of
from lab.platform.nodes.placement import CONDITION_TAINTS, condition_taints
from lab.platform.runtime import Change, Controller, Site, ignoring
from lab.resources import NODES, PODS
from lab.settings import Delays

QUARANTINE_SECONDS = 40.0
"""How long a pod may name a node that nobody has seen, as quarantineTime of Kubernetes' podgc."""


class NodeLifecycle(Controller):
    """A Node carries exactly the condition taints that its state calls for, as not-ready."""

    name = "node-lifecycle"
    follows = (NODES,)

    def __init__(self, site: Site, clock: Clock, delays: Delays) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self._delays = delays

    def wire(self) -> None:
        """Follow nodes."""
        self.mirror.subscribe(NODES, self._on_node)

    async def reconcile(self, key: str) -> float | None:
        """Add and remove taints; a conflict with another writer of taints is tried again on what it wrote."""
        node = self.mirror.get(NODES, key.removeprefix("/"))
        if node is None or not _is_wrongly_tainted(node):
            return None
        change = {
            "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
            "spec": {"taints": _due_taints(node) or None},
        }
        await self.client.patch(NODES, name_of(node), change)
        return None

    def _on_node(self, change: Change) -> None:
        if change.type != "DELETED" and _is_wrongly_tainted(change.object):
            self.enqueue_after(key_of(change.object), self._delays.node_not_ready_taint)


def _condition_taints_of(node: Object) -> set[str]:
    return {taint["key"] for taint in node["spec"].get("taints") or ()} & CONDITION_TAINTS


def _is_wrongly_tainted(node: Object) -> bool:
    return _condition_taints_of(node) != set(condition_taints(node))


def _due_taints(node: Object) -> list[Object]:
    due = condition_taints(node)
    held = node["spec"].get("taints") or ()
    kept = [taint for taint in held if taint["key"] not in CONDITION_TAINTS or taint["key"] in due]
    new = set(due) - _condition_taints_of(node)
    return kept + [{"key": key, "effect": "NoSchedule", "timeAdded": timestamp()} for key in due if key in new]


class PodGarbage(Controller):
    """No pod stays bound to a node that is gone, and no pod that was never bound stays while it is being deleted."""

    name = "pod-garbage-collector"
    follows = (NODES, PODS)

    def __init__(self, site: Site, clock: Clock) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)

    def wire(self) -> None:
        """Follow nodes that go, and pods that nobody else would end."""
        self.mirror.subscribe(PODS, self._on_pod)
        self.mirror.subscribe(NODES, self._on_node)

    async def reconcile(self, key: str) -> float | None:
        """Remove the pod at once if no kubelet can."""
        namespace, name = split_key(key)
        pod = self.mirror.get(PODS, name, namespace=namespace)
        if pod is None or not self._is_lost(pod):
            return None
        with ignoring(404, 409):
            await self.client.delete(PODS, name, namespace=namespace, uid=uid_of(pod), grace_period_seconds=0)
        return None

    def _is_lost(self, pod: Object) -> bool:
        node = pod["spec"].get("nodeName")
        return is_being_deleted(pod) if not node else self.mirror.get(NODES, node) is None

    def _on_pod(self, change: Change) -> None:
        pod = change.object
        if change.type == "DELETED" or not self._is_lost(pod):
            return
        if pod["spec"].get("nodeName"):
            self.enqueue_after(f"{namespace_of(pod)}/{name_of(pod)}", QUARANTINE_SECONDS)
        else:
            self.enqueue(key_of(pod))

    def _on_node(self, change: Change) -> None:
        if change.type == "DELETED":
            for pod in self.mirror.pods_on(name_of(change.object)):
                self.enqueue(key_of(pod))
