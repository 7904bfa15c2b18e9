"""Registers nodes and reports their state, as each node's kubelet does. Refuses heartbeats and leases."""

from __future__ import annotations

from lab.clock import Clock
from lab.objects import Object, name_of
from lab.platform.nodes.node_status import SHUTTING_DOWN, address_of, missing_labels, network_trouble, node_status
from lab.platform.nodes.power import NodePower
from lab.platform.podruntime import PodNetwork
from lab.platform.runtime import Change, Controller, Site
from lab.resources import NODES


class NodeAgent(Controller):
    """Every Node has the labels and the status of a running kubelet; Ready follows the node's network."""

    name = "node-agent"
    follows = (NODES,)

    def __init__(self, site: Site, clock: Clock, network: PodNetwork, power: NodePower) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self._network = network
        self._power = power
        self._address: dict[str, str] = {}
        self._taken: set[str] = set()
        self._next = 0

    def wire(self) -> None:
        """Follow nodes, and what happens to their networks."""
        self.mirror.subscribe(NODES, self._on_node)
        self._network.on_node_change(lambda node: self.enqueue(f"/{node}"))
        self._power.on_change(lambda node: self.enqueue(f"/{node}"))

    async def reconcile(self, key: str) -> float | None:
        """Write what the Node lacks."""
        name = key.removeprefix("/")
        node = self.mirror.get(NODES, name)
        if node is None:
            self._taken.discard(self._address.pop(name, ""))
            return None
        if labels := missing_labels(node):
            await self.client.patch(NODES, name, {"metadata": {"labels": labels}})
        trouble = SHUTTING_DOWN if self._power.is_down(name) else network_trouble(self._network.not_ready_reason(name))
        boot_id = self._power.boot_id(name)
        due = node_status(node, address=self._address_for(node), not_ready_because=trouble, boot_id=boot_id)
        reported = node.get("status") or {}
        if any(reported.get(field) != value for field, value in due.items()):
            await self.client.patch(NODES, name, {"status": due}, subresource="status")
        return None

    def _address_for(self, node: Object) -> str:
        """Return the node's address in 192.168.0.0/16: the one it has, or else one that no other node has."""
        name = name_of(node)
        if name not in self._address:
            address = address_of(node)
            while address is None or (address in self._taken and address_of(node) is None):
                self._next = self._next % 65_000 + 1
                address = f"192.168.{self._next // 250}.{self._next % 250 + 1}"
            self._address[name] = address
            self._taken.add(address)
        return self._address[name]

    def _on_node(self, change: Change) -> None:
        if change.type != "DELETED" and (address := address_of(change.object)) is not None:
            self._address.setdefault(name_of(change.object), address)
            self._taken.add(address)
        self.enqueue(f"/{name_of(change.object)}")
