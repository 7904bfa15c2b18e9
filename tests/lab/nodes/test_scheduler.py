"""Which node a pod gets, and what it is told when none takes it."""

from __future__ import annotations

from collections import Counter

from lab.objects import Object
from lab.resources import NODES, PODS
from tests.lab.small_cluster import SmallCluster


def nodes_of(cluster: SmallCluster) -> Counter[str]:
    return Counter(pod["spec"].get("nodeName", "") for pod in cluster.mirror.all(PODS))


async def ready_nodes(cluster: SmallCluster, *names: str) -> None:
    for name in names:
        await cluster.add_node(name)
    await cluster.until(
        lambda: all(cluster.condition(NODES, name, "Ready").get("status") == "True" for name in names), "nodes ready"
    )


def unschedulable(cluster: SmallCluster, name: str) -> Object | None:
    condition = cluster.condition(PODS, name, "PodScheduled", namespace="default")
    return condition if condition.get("status") == "False" else None


async def test_pods_are_spread_evenly(cluster: SmallCluster) -> None:
    await ready_nodes(cluster, "a", "b", "c")
    for number in range(30):
        await cluster.add_pod(f"p{number}")
    await cluster.until(lambda: nodes_of(cluster) == {"a": 10, "b": 10, "c": 10}, "even spread")


async def test_pods_of_one_owner_keep_apart_even_where_the_load_is_higher(cluster: SmallCluster) -> None:
    await ready_nodes(cluster, "a", "b")
    for number in range(4):
        await cluster.add_pod(f"fixed{number}", nodeName="a")
    await cluster.until(lambda: nodes_of(cluster) == {"a": 4}, "load on one node")

    for number in range(2):
        await cluster.add_pod(f"sibling{number}", owner="web")

    await cluster.until(lambda: nodes_of(cluster) == {"a": 5, "b": 1}, "one sibling on each")


async def test_pods_that_chose_their_node_themselves_count_as_load(cluster: SmallCluster) -> None:
    await ready_nodes(cluster, "a", "b")
    for number in range(4):
        await cluster.add_pod(f"fixed{number}", nodeName="a")
    for number in range(4):
        await cluster.add_pod(f"free{number}")
    await cluster.until(lambda: nodes_of(cluster) == {"a": 4, "b": 4}, "balance")


async def test_pod_without_node_is_told_once_and_tried_again_when_a_node_comes(cluster: SmallCluster) -> None:
    await cluster.add_pod("p")
    condition = await cluster.until(lambda: unschedulable(cluster, "p"), "refusal")
    assert condition["reason"] == "Unschedulable"
    assert condition["message"] == "no nodes available to schedule pods"
    await ready_nodes(cluster, "a")
    await cluster.until(lambda: cluster.is_ready("p"), "pod ready")


async def test_refusal_counts_nodes_by_reason(cluster: SmallCluster) -> None:
    await ready_nodes(cluster, "a", "b")
    await cluster.client.patch(NODES, "b", {"spec": {"unschedulable": True}})
    await cluster.until(lambda: (cluster.mirror.get(NODES, "b") or {})["spec"].get("unschedulable"))
    await cluster.add_pod("p", nodeSelector={"disk": "ssd"}, tolerations=[])
    condition = await cluster.until(lambda: unschedulable(cluster, "p"), "refusal")
    assert condition["message"] == "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."


async def test_same_refusal_is_written_once(cluster: SmallCluster) -> None:
    await cluster.add_pod("p", nodeSelector={"disk": "ssd"})
    await cluster.until(lambda: unschedulable(cluster, "p"))
    await ready_nodes(cluster, "a")
    await cluster.until(lambda: "0/1" in (unschedulable(cluster, "p") or {}).get("message", ""))
    before = cluster.client.writes["patch pods status"]
    await cluster.client.patch(NODES, "a", {"metadata": {"labels": {"shelf": "top"}}})
    await cluster.settle()
    assert cluster.client.writes["patch pods status"] == before


async def test_cordoned_node_is_used_again_after_uncordon(cluster: SmallCluster) -> None:
    await ready_nodes(cluster, "a")
    await cluster.client.patch(NODES, "a", {"spec": {"unschedulable": True}})
    await cluster.until(lambda: (cluster.mirror.get(NODES, "a") or {})["spec"].get("unschedulable"))
    await cluster.add_pod("p")
    await cluster.until(lambda: unschedulable(cluster, "p"))
    await cluster.client.patch(NODES, "a", {"spec": {"unschedulable": None}})
    await cluster.until(lambda: cluster.is_ready("p"))


async def test_pod_waits_for_room(cluster: SmallCluster) -> None:
    metadata = {"name": "a", "annotations": {"v1.kubelet-config.machine-controller.kubermatic.io/MaxPods": "1"}}
    await cluster.client.create(NODES, {"kind": "Node", "metadata": metadata, "spec": {}})
    await cluster.add_pod("first")
    await cluster.until(lambda: cluster.is_ready("first"))
    await cluster.add_pod("second")
    refusal = await cluster.until(lambda: unschedulable(cluster, "second"))
    assert refusal["message"] == "0/1 nodes are available: 1 Too many pods."
    await cluster.client.delete(PODS, "first", namespace="default")
    await cluster.until(lambda: cluster.is_ready("second"))
