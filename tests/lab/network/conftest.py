"""A user cluster whose nodes and kubelets are played by hand, with the real API server and pod network."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from lab.apiserver.server import ApiServer
from lab.clock import Clock
from lab.errors import ApiError
from lab.faults import Faults
from lab.network import ClusterNetwork
from lab.objects import Object, name_of, namespace_of
from lab.platform.client import Client
from lab.platform.podruntime import Program
from lab.platform.runtime import Mirror, Site, run_together
from lab.resources import CONFIG_MAPS, NAMESPACES, NODES, PODS, Resource
from lab.settings import Delays

DEADLINE_SECONDS = 10.0
SPEED = 10_000.0
CILIUM_CONFIG = {
    "cluster-pool-ipv4-cidr": "172.25.0.0/16",
    "cluster-pool-ipv4-mask-size": "24",
    "kube-proxy-replacement": "false",
    "set-cilium-node-taints": "true",
    "tunnel-port": "8473",
}


@dataclass
class Scene:
    """A cluster without kubelets: the test says what happens on the nodes."""

    client: Client
    mirror: Mirror
    network: ClusterNetwork
    faults: Faults
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def until(self, is_true: Callable[[], Any], *, what: str = "it") -> None:
        """Wait until it is true; fails after the deadline."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not is_true():
                await asyncio.sleep(0.005)

    async def found(self, resource: Resource, name: str, *, namespace: str = "") -> Object | None:
        """Return an object of the API server, None when there is none."""
        try:
            return await self.client.get(resource, name, namespace=namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def add_node(self, name: str, *, pod_cidr: str | None = None) -> Object:
        """Have a Node, known to the network."""
        number = next(self._numbers)
        spec = {"podCIDR": pod_cidr} if pod_cidr else {}
        await self.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})
        addresses = [{"type": "InternalIP", "address": f"192.168.0.{number}"}]
        await self.client.patch(NODES, name, {"status": {"addresses": addresses}}, subresource="status")
        await self.until(lambda: (self.mirror.get(NODES, name) or {}).get("status", {}).get("addresses"))
        return await self.client.get(NODES, name)

    async def set_config(self, name: str, **data: str) -> None:
        """Have a ConfigMap of kube-system with this data, underscores in names read as dashes."""
        await self._set_config(name, {key.replace("_", "-"): value for key, value in data.items()})

    async def set_cilium_config(self, **data: str) -> None:
        """Have cilium-config as the chart renders it, but for the data given."""
        await self._set_config("cilium-config", CILIUM_CONFIG | {k.replace("_", "-"): v for k, v in data.items()})

    async def set_proxy_mode(self, mode: str) -> None:
        """Have kube-proxy's ConfigMap name a mode."""
        await self._set_config(
            "kube-proxy", {"config.conf": f"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nmode: {mode}\n"}
        )

    async def _set_config(self, name: str, data: dict[str, str]) -> None:
        if await self.found(CONFIG_MAPS, name, namespace="kube-system"):
            await self.client.delete(CONFIG_MAPS, name, namespace="kube-system")
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "kube-system"},
            "data": data,
        }
        await self.client.create(CONFIG_MAPS, body)

    async def add_pod(
        self,
        node: str,
        *,
        name: str = "",
        namespace: str = "kube-system",
        labels: dict[str, str] | None = None,
        owner: Object | None = None,
        **spec: Any,
    ) -> Object:
        """Have a pod bound to a node, and nothing of it running."""
        body: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name or f"pod-{next(self._numbers)}",
                "namespace": namespace,
                "labels": labels or {},
                **({"ownerReferences": [owner]} if owner else {}),
            },
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "x"}], **spec},
        }
        created = await self.client.create(PODS, body)
        await self.until(lambda: self.mirror.get(PODS, name_of(created), namespace=namespace))
        return created

    async def agent(self, app: str, node: str) -> Object:
        """Have a pod of this app on the node with its program started, ready."""
        pod = await self.add_pod(node, labels={"k8s-app": app}, hostNetwork=True)
        await self.program(pod).start(pod)
        await self.make_ready(pod)
        return pod

    async def operator(self, node: str) -> Object:
        """Have Cilium's operator at work."""
        pod = await self.add_pod(node, labels={"io.cilium/app": "operator"}, hostNetwork=True)
        await self.program(pod).start(pod)
        return pod

    def program(self, pod: Object) -> Program:
        """Return what the pod runs."""
        program = self.network.programs.find(pod)
        assert program is not None
        return program

    async def run_pod(self, node: str, **pod: Any) -> Object:
        """Have a pod of the pod network running and ready."""
        created = await self.add_pod(node, **pod)
        self.network.attach(created)
        await self.make_ready(created)
        return created

    async def make_ready(self, pod: Object) -> None:
        """Have the pod Ready, and mirrored so."""
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await self.client.patch(
            PODS, name_of(pod), {"status": status}, namespace=namespace_of(pod), subresource="status"
        )
        await self.until(
            lambda: (self.mirror.get(PODS, name_of(pod), namespace=namespace_of(pod)) or {})["status"].get("conditions")
        )

    async def remove_pod(self, pod: Object) -> None:
        """Have nothing left of a pod."""
        program = self.network.programs.find(pod)
        if program is not None:
            await program.stop(pod)
        self.network.detach(pod)
        await self.client.delete(PODS, name_of(pod), namespace=namespace_of(pod), grace_period_seconds=0)
        await self.until(lambda: self.mirror.get(PODS, name_of(pod), namespace=namespace_of(pod)) is None)

    async def canal_node(self, name: str, pod_cidr: str) -> Object:
        """Have a node on which Canal and kube-proxy work; returns Canal's pod."""
        await self.add_node(name, pod_cidr=pod_cidr)
        if not await self.found(CONFIG_MAPS, "kube-proxy", namespace="kube-system"):
            await self.set_proxy_mode("ipvs")
        await self.agent("kube-proxy", name)
        return await self.agent("canal", name)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    server = ApiServer("abcdefghij", tokens={}, faults=Faults())
    mirror, faults = Mirror(server.client), Faults()
    site = Site("abcdefghij", server.client, mirror)
    network = ClusterNetwork("abcdefghij", site, Clock(SPEED), Delays(), faults)
    running = asyncio.create_task(run_together(network.controllers))
    for name in ("shop", "data"):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}}
        await server.client.create(NAMESPACES, body)
    await asyncio.gather(*(mirror.follow(*controller.follows) for controller in network.controllers))
    yield Scene(client=server.client, mirror=mirror, network=network, faults=faults)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await mirror.close()
