"""Cilium's operator: registers the CRDs, gives every CiliumNode its pod CIDR, and marks nodes on which Cilium works.

It acts only while a pod of its Deployment runs (docs/platform.md 6.3). Refuses to touch pods and sandboxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from lab.clock import Clock
from lab.network.agents import NodePrograms, pod_cidrs
from lab.network.bell import Bell
from lab.network.cilium_resources import cilium_definitions
from lab.network.ipam import RangeExhausted, first_free_range
from lab.network.nodes import NodeNetworks
from lab.network.reachability import Cni
from lab.objects import Object, is_being_deleted, labels_of, name_of, split_key, timestamp, uid_of
from lab.platform.runtime import Change, Controller, Site, ignoring
from lab.resources import CILIUM_ENDPOINTS, CILIUM_NODES, CUSTOM_RESOURCE_DEFINITIONS, NODES, PODS, Resource

AGENT_NOT_READY = "node.cilium.io/agent-not-ready"
CONFLICT = 409
ENDPOINT_GC_SECONDS = 300.0
"""--cilium-endpoint-gc-interval, 5 minutes by default (https://docs.cilium.io, operator command line)."""
POOL_RETRY_SECONDS = 10.0

_NODE, _CILIUM_NODE, _COLLECT = "node", "ciliumnode", "collect/endpoints"


class CiliumOperator(Controller):
    """What the running operator does to nodes, CiliumNodes and forgotten CiliumEndpoints."""

    name: ClassVar[str] = "cilium-operator"
    follows: ClassVar[tuple[Resource, ...]] = (NODES, PODS, CUSTOM_RESOURCE_DEFINITIONS, CILIUM_NODES, CILIUM_ENDPOINTS)

    def __init__(self, *, site: Site, clock: Clock, nodes: NodeNetworks, bell: Bell) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self._nodes = nodes
        self._bell = bell
        self._running: dict[str, Mapping[str, str]] = {}
        """Configuration that the operator's pods read when they started, by the pod's uid."""
        self._assigned: dict[str, str] = {}

    def wire(self) -> None:
        """Follow definitions, nodes, CiliumNodes and the agents' pods."""
        self.mirror.subscribe(CUSTOM_RESOURCE_DEFINITIONS, lambda _change: self._bell.ring())
        self.mirror.subscribe(CILIUM_NODES, self._on_cilium_node)
        self.mirror.subscribe(NODES, self._on_node)
        self.mirror.subscribe(PODS, self._on_pod)

    def started(self, pod: Object, config: Mapping[str, str]) -> None:
        """Have the operator at work with the configuration that its pod read."""
        self._running[uid_of(pod)] = config
        for node in self.mirror.all(NODES):
            self.enqueue(f"{_NODE}/{name_of(node)}")
        for node in self.mirror.all(CILIUM_NODES):
            self.enqueue(f"{_CILIUM_NODE}/{name_of(node)}")
        self.enqueue_after(_COLLECT, ENDPOINT_GC_SECONDS)

    def stopped(self, pod: Object) -> None:
        """Have the operator's pod count no more."""
        self._running.pop(uid_of(pod), None)

    def lost(self, node: str) -> None:
        """Have the operator's pods on a node that went down count no more."""
        for pod in self.mirror.pods_on(node):
            self.stopped(pod)

    def agent_up(self, node: str) -> None:
        """Have the node marked as one on which Cilium works."""
        self.enqueue(f"{_NODE}/{node}")

    async def reconcile(self, key: str) -> float | None:
        """Do what the key says, if an operator runs."""
        if not self._running:
            return None
        if key == _COLLECT:
            return await self._collect_endpoints()
        kind, name = split_key(key)
        config = next(iter(self._running.values()))
        if kind == _NODE:
            await self._mark(name, config)
            return None
        return await self._assign(name, config)

    async def _mark(self, name: str, config: Mapping[str, str]) -> None:
        node = self.mirror.get(NODES, name)
        if node is None:
            return
        is_up = Cni.CILIUM in self._nodes.of(name).programs
        await self._set_taint(node, is_up=is_up, config=config)
        if is_up and config.get("set-cilium-is-up-condition", "true") == "true":
            await self._set_condition(name)

    async def _set_taint(self, node: Object, *, is_up: bool, config: Mapping[str, str]) -> None:
        taints = node["spec"].get("taints") or []
        others = [taint for taint in taints if taint["key"] != AGENT_NOT_READY]
        if is_up:
            wanted = others if config.get("remove-cilium-node-taints", "true") == "true" else taints
        elif config.get("set-cilium-node-taints") == "true" and self._has_agent_pod(name_of(node)):
            not_ready = {"key": AGENT_NOT_READY, "effect": "NoSchedule"}
            wanted = taints if len(others) < len(taints) else [*taints, not_ready]
        else:
            wanted = taints
        if wanted != taints:
            version = {"resourceVersion": node["metadata"]["resourceVersion"]}
            await self.client.patch(NODES, name_of(node), {"metadata": version, "spec": {"taints": wanted or None}})

    async def _set_condition(self, name: str) -> None:
        node = await self.client.get(NODES, name)
        conditions = (node.get("status") or {}).get("conditions") or []
        if any(c["type"] == "NetworkUnavailable" and c.get("reason") == "CiliumIsUp" for c in conditions):
            return
        now = timestamp()
        is_up = {
            "type": "NetworkUnavailable",
            "status": "False",
            "reason": "CiliumIsUp",
            "message": "Cilium is running on this node",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        kept = [condition for condition in conditions if condition["type"] != "NetworkUnavailable"]
        version = {"resourceVersion": node["metadata"]["resourceVersion"]}
        patch = {"metadata": version, "status": {"conditions": [*kept, is_up]}}
        await self.client.patch(NODES, name, patch, subresource="status")

    async def _assign(self, name: str, config: Mapping[str, str]) -> float | None:
        found = self.mirror.get(CILIUM_NODES, name)
        if found is None:
            return None
        if self.mirror.get(NODES, name) is None:
            with ignoring(404, CONFLICT):
                await self.client.delete(CILIUM_NODES, name, uid=uid_of(found))
            return None
        if pod_cidrs(found) or name in self._assigned:
            return None
        return await self._give_range(name, config)

    async def _give_range(self, name: str, config: Mapping[str, str]) -> float | None:
        used = {cidr for node in self.mirror.all(CILIUM_NODES) for cidr in pod_cidrs(node)}
        used.update(self._assigned.values())
        pool = config.get("cluster-pool-ipv4-cidr", "172.25.0.0/16").split()[0]
        try:
            cidr = first_free_range(pool, prefix_length=int(config.get("cluster-pool-ipv4-mask-size", 24)), used=used)
        except RangeExhausted as error:
            trouble = {"ipam": {"operator-status": {"error": str(error)}}}
            await self.client.patch(CILIUM_NODES, name, {"status": trouble}, subresource="status")
            return POOL_RETRY_SECONDS
        await self.client.patch(CILIUM_NODES, name, {"spec": {"ipam": {"podCIDRs": [cidr]}}})
        self._assigned[name] = cidr
        return None

    async def _collect_endpoints(self) -> float:
        for endpoint in self.mirror.all(CILIUM_ENDPOINTS):
            namespace, name = endpoint["metadata"]["namespace"], name_of(endpoint)
            if self.mirror.get(PODS, name, namespace=namespace) is None:
                with ignoring(404, CONFLICT):
                    await self.client.delete(CILIUM_ENDPOINTS, name, namespace=namespace, uid=uid_of(endpoint))
        return ENDPOINT_GC_SECONDS

    def _has_agent_pod(self, node: str) -> bool:
        return any(_is_agent_pod(pod) and not is_being_deleted(pod) for pod in self.mirror.pods_on(node))

    def _on_cilium_node(self, change: Change) -> None:
        name = name_of(change.object)
        if change.type == "DELETED" or pod_cidrs(change.object):
            self._assigned.pop(name, None)
        if change.type != "DELETED":
            self.enqueue(f"{_CILIUM_NODE}/{name}")
        self._bell.ring()

    def _on_node(self, change: Change) -> None:
        name = name_of(change.object)
        if change.type == "DELETED":
            self.enqueue(f"{_CILIUM_NODE}/{name}")
        elif change.before is None or change.before["spec"].get("taints") != change.object["spec"].get("taints"):
            self.enqueue(f"{_NODE}/{name}")

    def _on_pod(self, change: Change) -> None:
        if self._running and _is_agent_pod(change.object) and (node := change.object["spec"].get("nodeName")):
            self.enqueue(f"{_NODE}/{node}")


class CiliumOperatorProgram:
    """cilium-operator of one pod."""

    def __init__(self, context: NodePrograms, operator: CiliumOperator) -> None:
        self._context = context
        self._operator = operator

    async def start(self, pod: Object) -> None:
        """Register the CRDs that are missing, then be at work."""
        config = await self._context.config("cilium-config")
        await self._context.clock.sleep(self._context.delays.cilium_operator_start)
        for definition in cilium_definitions():
            with ignoring(CONFLICT):
                await self._context.site.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition)
        self._operator.started(pod, config)

    async def stop(self, pod: Object) -> None:
        """Be no longer at work. The CRDs and all custom resources stay (docs/platform.md 4.6)."""
        self._operator.stopped(pod)


def _is_agent_pod(pod: Object) -> bool:
    return labels_of(pod).get("k8s-app") == "cilium"
