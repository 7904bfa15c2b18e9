"""Emptying the node of a Machine before its instance goes: cordon and evict, as machine-controller does.

Refuses to wait: it says whether there is something left to wait for. Rules: machine-controller, August 2026,
pkg/node/eviction/eviction.go and pkg/controller/machine/controller.go shouldEvict (docs/platform.md 7.3).
"""

from __future__ import annotations

from lab.objects import (
    Object,
    annotations_of,
    controller_of,
    is_being_deleted,
    is_pod_finished,
    name_of,
    namespace_of,
)
from lab.platform.nodes.placement import is_node_ready
from lab.platform.runtime import Site, ignoring
from lab.resources import DAEMON_SETS, MACHINES, NODES

SKIP_EVICTION = "kubermatic.io/skip-eviction"
MIRROR_POD = "kubernetes.io/config.mirror"


class Draining:
    """Drains nodes of one cluster."""

    def __init__(self, site: Site) -> None:
        self._client = site.client
        self._mirror = site.mirror

    async def evict(self, machine: Object) -> bool:
        """Cordon the Machine's node and evict its pods; returns whether pods were left to evict or to wait for."""
        node = self.node_of(machine)
        if node is None or not self._is_possible(node):
            return False
        if not node["spec"].get("unschedulable"):
            await self._client.patch(NODES, name_of(node), {"spec": {"unschedulable": True}})
        pods = [pod for pod in self._mirror.pods_on(name_of(node)) if _is_evictable(pod)]
        for pod in pods:
            if not is_being_deleted(pod):
                with ignoring(404, 429):  # a PodDisruptionBudget may hold it back until the next try
                    await self._client.evict(name_of(pod), namespace=namespace_of(pod))
        return bool(pods)

    def node_of(self, machine: Object) -> Object | None:
        """Return the Machine's Node, if it has joined and is still there."""
        reference = (machine.get("status") or {}).get("nodeRef") or {}
        return self._mirror.get(NODES, reference.get("name", ""))

    def _is_possible(self, node: Object) -> bool:
        """Tell whether evicted pods have somewhere to go and the node can still end them."""
        if SKIP_EVICTION in annotations_of(node) or not is_node_ready(node):
            return False
        if any("nodeRef" not in (machine.get("status") or {}) for machine in self._mirror.all(MACHINES)):
            return True  # a Machine without a node has probably just been created
        others = (other for other in self._mirror.all(NODES) if name_of(other) != name_of(node))
        return any(not other["spec"].get("unschedulable") for other in others)


def _is_evictable(pod: Object) -> bool:
    owner = controller_of(pod)
    if owner is not None and owner["kind"] == DAEMON_SETS.kind:
        return False
    return MIRROR_POD not in annotations_of(pod) and not is_pod_finished(pod)
