"""Gives every node its range of pod addresses, as kube-controller-manager does with --allocate-node-cidrs.

Refuses to take a range back from a node that lives: switching the allocation off leaves what was given.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from lab.clock import Clock
from lab.objects import name_of
from lab.platform.runtime import Change, Controller, Site
from lab.resources import NODES

POD_NETWORK = "172.25.0.0/16"
NODE_MASK_SIZE = 24
"""KKP's defaults of clusterNetwork.pods and nodeCidrMaskSizeIPv4 (KKP 2.31, pkg/defaulting)."""

LOOK_AGAIN_SECONDS = 5.0
"""Platform seconds between looks at nodes without a range while the allocation is off or exhausted."""


class PodCidrAllocator(Controller):
    """Every node has a spec.podCIDR of its own, while `enabled` says so.

    KKP runs controller-manager without the allocation while the CNI is Cilium (KKP 2.31,
    pkg/resources/controllermanager): nodes that join then get none until it is on again.
    """

    name = "pod-cidr-allocator"
    follows = (NODES,)

    def __init__(self, site: Site, clock: Clock, *, enabled: Callable[[], bool]) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self._enabled = enabled
        self._ranges = [str(found) for found in ip_network(POD_NETWORK).subnets(new_prefix=NODE_MASK_SIZE)]
        self._holder: dict[str, str] = {}
        self._next = 0

    def wire(self) -> None:
        """Follow nodes."""
        self.mirror.subscribe(NODES, self._on_node)

    async def reconcile(self, key: str) -> float | None:
        """Give the node a range if it has none."""
        node = self.mirror.get(NODES, key.removeprefix("/"))
        if node is None or node["spec"].get("podCIDR"):
            return None
        chosen = self._choose(name_of(node)) if self._enabled() else None
        if chosen is None:
            return LOOK_AGAIN_SECONDS
        await self.client.patch(NODES, name_of(node), {"spec": {"podCIDR": chosen, "podCIDRs": [chosen]}})
        return None

    def _choose(self, node: str) -> str | None:
        """Return the range reserved for the node already, or the next free one, going round."""
        for held, holder in self._holder.items():
            if holder == node:
                return held
        for offset in range(len(self._ranges)):
            index = (self._next + offset) % len(self._ranges)
            if self._ranges[index] not in self._holder:
                self._next = index + 1
                self._holder[self._ranges[index]] = node
                return self._ranges[index]
        return None

    def _on_node(self, change: Change) -> None:
        name, held = name_of(change.object), change.object["spec"].get("podCIDR")
        if change.type == "DELETED":
            for given in [given for given, holder in self._holder.items() if holder == name]:
                del self._holder[given]
        elif held:
            self._holder[held] = name
        else:
            self.enqueue(f"/{name}")
