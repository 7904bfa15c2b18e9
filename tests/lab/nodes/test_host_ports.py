"""Ports on nodes: no two pods of one node have the same, and who finds none waits."""

from __future__ import annotations

from typing import Any

import pytest

from lab.platform.nodes.host_ports import HostPorts
from lab.resources import PODS
from tests.lab.small_cluster import SmallCluster


def pod(*ports: dict[str, Any], uid: str = "u", host_network: bool = False) -> dict[str, Any]:
    containers = [{"name": "main", "ports": list(ports)}]
    return {"metadata": {"uid": uid}, "spec": {"hostNetwork": host_network, "containers": containers}}


HTTP = {"containerPort": 8080, "hostPort": 80}


@pytest.mark.parametrize(
    ("taken", "wanted", "is_free"),
    [
        (pod(HTTP), pod(HTTP), False),
        (pod(HTTP), pod({"containerPort": 80}), True),
        (pod(HTTP), pod({**HTTP, "protocol": "UDP"}), True),
        (pod(HTTP), pod({**HTTP, "hostIP": "192.168.0.1"}), False),
        (pod({**HTTP, "hostIP": "192.168.0.2"}), pod({**HTTP, "hostIP": "192.168.0.1"}), True),
        (pod({"containerPort": 80}, host_network=True), pod(HTTP), False),
        (pod({"containerPort": 80}), pod(HTTP), True),
    ],
)
def test_two_pods_of_one_node(taken: dict[str, Any], wanted: dict[str, Any], is_free: bool) -> None:
    ports = HostPorts()
    ports.take(taken, "a")

    assert ports.free_for(wanted, ["a", "b"]) == (["a", "b"] if is_free else ["b"])
    ports.give_back("u", "a")
    assert ports.free_for(wanted, ["a", "b"]) == ["a", "b"]


async def test_a_pod_without_a_free_port_waits_until_there_is_one(cluster: SmallCluster) -> None:
    containers = [{"name": "main", "image": "x", "ports": [HTTP]}]
    await cluster.add_node("a")
    await cluster.add_pod("first", containers=containers)
    await cluster.until(lambda: cluster.is_ready("first"))

    await cluster.add_pod("second", containers=containers)
    told = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    await cluster.until(
        lambda: cluster.condition(PODS, "second", "PodScheduled", namespace="default").get("message") == told
    )
    await cluster.client.delete(PODS, "first", namespace="default")

    await cluster.until(lambda: cluster.is_ready("second"))


async def test_what_the_cni_notes_on_a_pod_comes_with_its_status(cluster: SmallCluster) -> None:
    cluster.network.notes["cni.example.test/podIP"] = "172.25.0.2/32"
    await cluster.add_node("a")
    await cluster.add_pod("p")
    await cluster.until(lambda: cluster.is_ready("p"))

    assert (cluster.pod("p") or {})["metadata"]["annotations"] == cluster.network.notes
    assert cluster.client.writes["patch pods"] == 0
