"""The programs in the pods of Canal, Cilium's agent and kube-proxy: what they read, what they leave on their node.

An agent acts on the configuration that it read when it started (docs/platform.md 5.4). Refuses to touch pods or
sandboxes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.clock import Clock
from lab.errors import ApiError
from lab.faults import Faults
from lab.network.bell import Bell
from lab.network.cilium_resources import REQUIRED_BY_AGENTS
from lab.network.nodes import NodeNetworks
from lab.network.reachability import INTERFACES, VXLAN_PORT, Cni, port_holder
from lab.network.sandboxes import Sandboxes, node_address
from lab.objects import Object, name_of, owner_reference, uid_of
from lab.platform.podruntime import ProgramCrashed
from lab.platform.runtime import Site
from lab.resources import CILIUM_NODES, CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NODES
from lab.settings import Delays

SYSTEM_NAMESPACE = "kube-system"
REPLACES_KUBE_PROXY = ("true", "strict")
"""Words for it in cilium-config: Cilium's from 1.14 on, and that of KKP's addon before (docs/platform.md 11.2)."""
WAIT_SECONDS = 300.0
"""How long an agent waits for CRDs and for its pod CIDR: Cilium's --crd-wait-timeout of 5 minutes."""
_LEAST_REAL_SECONDS = 5.0
"""However fast the lab's time passes, this machine gets as long to do the work."""


@dataclass(frozen=True)
class NodePrograms:
    """What every program of a node works with."""

    cluster: str
    site: Site
    clock: Clock
    delays: Delays
    faults: Faults
    nodes: NodeNetworks
    sandboxes: Sandboxes
    bell: Bell

    async def config(self, name: str) -> Mapping[str, str]:
        """Return the data of a ConfigMap of kube-system; raises ProgramCrashed when it is not there."""
        try:
            found = await self.site.client.get(CONFIG_MAPS, name, namespace=SYSTEM_NAMESPACE)
        except ApiError as error:
            raise ProgramCrashed(f"unable to read ConfigMap {SYSTEM_NAMESPACE}/{name}: {error}") from error
        return found.get("data") or {}

    def crash_if_troubled(self, node: str) -> None:
        """Raise ProgramCrashed while the fault `agent-crash-loop` is on for the node."""
        fault = self.faults.for_platform("agent-crash-loop", cluster=self.cluster, subject=node)
        if fault is not None:
            raise ProgramCrashed(fault.message or f"agent on node {node} crashed")

    async def until(self, is_true: Callable[[], bool]) -> bool:
        """Wait for something in the mirror, as long as agents do; False when it did not come true."""
        limit = max(self.clock.real_seconds(WAIT_SECONDS), _LEAST_REAL_SECONDS)
        return await self.bell.until(is_true, real_seconds=limit)


class CanalAgent:
    """calico-node and kube-flannel of one DaemonSet pod (docs/platform.md 6.1)."""

    def __init__(self, context: NodePrograms) -> None:
        self._context = context

    async def start(self, pod: Object) -> None:
        """Leave 10-canal.conflist and flannel.1 on the node; the file lies there before the agent works."""
        context, node = self._context, str(pod["spec"]["nodeName"])
        context.nodes.write_conflist(node, Cni.CANAL)
        await context.clock.sleep(context.delays.canal_agent_start)
        context.crash_if_troubled(node)
        found = context.site.mirror.get(NODES, node)
        if found is None or not found["spec"].get("podCIDR"):
            trouble = f'failed to acquire lease: node "{node}" pod cidr not assigned'
            raise ProgramCrashed(f"Error registering network: {trouble}")
        if port_holder(context.nodes.of(node), cni=Cni.CANAL, port=VXLAN_PORT):
            # tkestack/tke#1279
            raise ProgramCrashed(
                "Error registering network: failed to configure interface flannel.1: failed to set interface flannel.1 "
                "to UP state: address already in use"
            )
        context.nodes.agent_up(node, Cni.CANAL, pod_uid=uid_of(pod), port=VXLAN_PORT)

    async def stop(self, pod: Object) -> None:
        """Leave file, interface and sandboxes behind; no new sandbox can be made."""
        self._context.nodes.agent_down(str(pod["spec"]["nodeName"]), Cni.CANAL, pod_uid=uid_of(pod))


class CiliumAgent:
    """cilium-agent of one DaemonSet pod (docs/platform.md 6.3). `on_up` gets the node's name when the agent works."""

    def __init__(self, context: NodePrograms, *, on_up: Callable[[str], None]) -> None:
        self._context = context
        self._on_up = on_up
        self._uninstalling: set[str] = set()

    async def start(self, pod: Object) -> None:
        """Have a CiliumNode with a pod CIDR, cilium_vxlan, 05-cilium.conflist and the Service rules asked for."""
        context, node, uid = self._context, str(pod["spec"]["nodeName"]), uid_of(pod)
        config = await context.config("cilium-config")
        await context.clock.sleep(context.delays.agent_start)
        context.crash_if_troubled(node)
        await self._wait_for_definitions()
        port = int(config.get("tunnel-port") or VXLAN_PORT)
        _check_port(context.nodes, node, port)
        context.sandboxes.set_range(node, Cni.CILIUM, await self._pod_cidr(node))
        replaces = config.get("kube-proxy-replacement") in REPLACES_KUBE_PROXY
        context.nodes.replace_kube_proxy(node, kept=True if replaces else None)
        context.nodes.agent_up(node, Cni.CILIUM, pod_uid=uid, port=port)
        context.nodes.write_conflist(node, Cni.CILIUM)
        self._uninstalling.discard(uid)
        if config.get("cni-uninstall") == "true":
            self._uninstalling.add(uid)
        self._on_up(node)

    async def stop(self, pod: Object) -> None:
        """Leave file, interface and rules behind, unless `cni-uninstall` takes the file away (docs/platform.md 5.2)."""
        nodes, node, uid = self._context.nodes, str(pod["spec"]["nodeName"]), uid_of(pod)
        if nodes.agent_down(node, Cni.CILIUM, pod_uid=uid):
            nodes.replace_kube_proxy(node, kept=False)
        if uid in self._uninstalling:
            self._uninstalling.discard(uid)
            nodes.remove_conflist(node, Cni.CILIUM)

    async def _wait_for_definitions(self) -> None:
        mirror = self._context.site.mirror

        def are_there() -> bool:
            return all(mirror.get(CUSTOM_RESOURCE_DEFINITIONS, name) for name in REQUIRED_BY_AGENTS)

        if not await self._context.until(are_there):
            raise ProgramCrashed(
                "Unable to find all Cilium CRDs necessary within 5m0s timeout. "
                "Please ensure that Cilium Operator is running"
            )

    async def _pod_cidr(self, node: str) -> str:
        await self._announce(node)
        mirror = self._context.site.mirror

        def is_assigned() -> bool:
            return bool(pod_cidrs(mirror.get(CILIUM_NODES, node)))

        if not await self._context.until(is_assigned):
            raise ProgramCrashed(f"timed out waiting for the Cilium operator to give CiliumNode {node} a pod CIDR")
        return pod_cidrs(mirror.get(CILIUM_NODES, node))[0]

    async def _announce(self, node: str) -> None:
        client = self._context.site.client
        found = self._context.site.mirror.get(NODES, node)
        if found is None:
            raise ProgramCrashed(f'unable to initialize Kubernetes node: nodes "{node}" not found')
        wanted = _cilium_node(found)
        try:
            await client.create(CILIUM_NODES, wanted)
        except ApiError as error:
            if error.code != 409:
                raise ProgramCrashed(f"unable to create CiliumNode {node}: {error}") from error
            owners = {"ownerReferences": wanted["metadata"]["ownerReferences"]}
            addresses = {"addresses": wanted["spec"]["addresses"]}
            await client.patch(CILIUM_NODES, node, {"metadata": owners, "spec": addresses})


class KubeProxy:
    """kube-proxy of one DaemonSet pod (docs/platform.md 5.5 and 6.2)."""

    def __init__(self, context: NodePrograms) -> None:
        self._context = context

    async def start(self, pod: Object) -> None:
        """Keep Service rules of the mode that its ConfigMap has now."""
        config = await self._context.config("kube-proxy")
        mode = proxy_mode(config.get("config.conf", ""))
        self._context.nodes.proxy_up(str(pod["spec"]["nodeName"]), mode, pod_uid=uid_of(pod))

    async def stop(self, pod: Object) -> None:
        """Leave the rules in the kernel, kept by nobody."""
        self._context.nodes.proxy_down(str(pod["spec"]["nodeName"]), pod_uid=uid_of(pod))


def proxy_mode(config: str) -> str:
    """Return the mode in a KubeProxyConfiguration, kube-proxy's own default when it names none."""
    found = re.search(r"^\s*mode:\s*\"?(\w+)", config, re.MULTILINE)
    return found.group(1) if found else "iptables"


def pod_cidrs(cilium_node: Object | None) -> list[str]:
    """Return the pod CIDRs that Cilium's operator has assigned, none without a CiliumNode."""
    spec = (cilium_node or {}).get("spec") or {}
    return (spec.get("ipam") or {}).get("podCIDRs") or []


def _check_port(nodes: NodeNetworks, node: str, port: int) -> None:
    """Raise ProgramCrashed when another CNI's tunnel has the port: cilium/cilium#8990 (docs/platform.md 5.1)."""
    if port_holder(nodes.of(node), cni=Cni.CILIUM, port=port):
        device = INTERFACES[Cni.CILIUM]
        raise ProgramCrashed(
            "failed to start: daemon creation failed: error while initializing daemon: failed while reinitializing "
            f"datapath: failed to setup vxlan tunnel device: setting up vxlan device: creating vxlan device {device}: "
            f"setting up device {device}: address already in use"
        )


def _cilium_node(node: Object) -> Object:
    owner = owner_reference(node)
    return {
        "apiVersion": CILIUM_NODES.api_version,
        "kind": CILIUM_NODES.kind,
        "metadata": {
            "name": name_of(node),
            "labels": dict(node["metadata"].get("labels") or {}),
            "ownerReferences": [{key: owner[key] for key in ("apiVersion", "kind", "name", "uid")}],
        },
        "spec": {"addresses": [{"type": "InternalIP", "ip": node_address(node)}], "ipam": {}},
        "status": {},
    }
