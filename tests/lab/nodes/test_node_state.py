"""What a Node says of itself, and what happens when it comes and goes."""

from __future__ import annotations

from lab.platform.nodes import node_controllers
from lab.resources import NODES, PODS
from tests.lab.small_cluster import PlainProgram, SmallCluster

NOT_READY = "node.kubernetes.io/not-ready"


def taints_of(cluster: SmallCluster, name: str) -> set[str]:
    spec = (cluster.mirror.get(NODES, name) or {}).get("spec") or {}
    return {taint["key"] for taint in spec.get("taints") or ()}


def ready(cluster: SmallCluster, name: str) -> str:
    return str(cluster.condition(NODES, name, "Ready").get("status", ""))


async def test_new_node_registers_as_a_kubelet_does(cluster: SmallCluster) -> None:
    await cluster.add_node("a")
    await cluster.until(lambda: ready(cluster, "a") == "True")
    node = cluster.mirror.get(NODES, "a")
    assert node is not None
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "a"
    assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
    status = node["status"]
    assert {address["type"] for address in status["addresses"]} == {"InternalIP", "Hostname"}
    assert status["addresses"][0]["address"].startswith("192.168.")
    assert status["allocatable"]["pods"] == "110"
    assert set(status["nodeInfo"]) >= {
        "kernelVersion",
        "osImage",
        "containerRuntimeVersion",
        "kubeletVersion",
        "architecture",
    }


async def test_nodes_have_different_addresses(cluster: SmallCluster) -> None:
    names = [f"n{number}" for number in range(20)]
    for name in names:
        await cluster.add_node(name)
    await cluster.until(lambda: all(ready(cluster, name) == "True" for name in names))
    addresses = {node["status"]["addresses"][0]["address"] for node in cluster.mirror.all(NODES)}
    assert len(addresses) == len(names)


async def test_node_without_cni_is_not_ready_and_tainted_until_it_has_one(cluster: SmallCluster) -> None:
    cluster.network.missing["a"] = "cni plugin not initialized"
    await cluster.add_node("a")
    await cluster.until(lambda: taints_of(cluster, "a") == {NOT_READY})
    condition = cluster.condition(NODES, "a", "Ready")
    assert (condition["status"], condition["reason"]) == ("False", "KubeletNotReady")
    assert condition["message"].endswith("Network plugin returns error: cni plugin not initialized")
    cluster.network.set_missing("a", None)
    await cluster.until(lambda: ready(cluster, "a") == "True" and not taints_of(cluster, "a"))


async def test_cordon_is_tainted_and_other_taints_stay(cluster: SmallCluster) -> None:
    agent = {"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}
    await cluster.add_node("a", taints=[agent])
    await cluster.until(lambda: ready(cluster, "a") == "True")
    await cluster.client.patch(NODES, "a", {"spec": {"unschedulable": True}})
    unschedulable = "node.kubernetes.io/unschedulable"
    await cluster.until(lambda: taints_of(cluster, "a") == {agent["key"], unschedulable})
    await cluster.client.patch(NODES, "a", {"spec": {"unschedulable": None}})
    await cluster.until(lambda: taints_of(cluster, "a") == {agent["key"]})


async def test_agent_that_tolerates_it_runs_on_a_node_that_is_not_ready(cluster: SmallCluster) -> None:
    cluster.network.missing["a"] = "cni plugin not initialized"
    await cluster.add_node("a")
    await cluster.add_pod("agent", hostNetwork=True, tolerations=[{"operator": "Exists"}])
    await cluster.until(lambda: cluster.is_ready("agent"))


async def test_deleted_node_takes_its_pods_and_its_disk_with_it(cluster: SmallCluster) -> None:
    program = cluster.programs.by_label["agent"] = PlainProgram()
    await cluster.add_node("a")
    await cluster.add_pod("p")
    await cluster.add_pod("agent", labels={"program": "agent"})
    await cluster.until(lambda: cluster.is_ready("p") and cluster.is_ready("agent"))
    await cluster.client.delete(NODES, "a")
    await cluster.until(lambda: not cluster.mirror.all(PODS))
    await cluster.until(lambda: cluster.network.forgotten == ["a"])
    assert not cluster.network.attached
    assert program.stops == 1


async def test_pod_bound_before_its_node_is_known_runs_when_it_comes(cluster: SmallCluster) -> None:
    await cluster.add_pod("p", nodeName="late")
    await cluster.add_node("late")
    await cluster.until(lambda: cluster.is_ready("p"))


async def test_every_node_gets_a_range_of_its_own(cluster: SmallCluster) -> None:
    names = [f"n{number}" for number in range(10)]
    for name in names:
        await cluster.add_node(name)
    await cluster.until(
        lambda: all(node["spec"].get("podCIDR") for node in cluster.mirror.all(NODES)) and cluster.mirror.all(NODES)
    )
    await cluster.until(lambda: len(cluster.mirror.all(NODES)) == len(names))
    nodes = cluster.mirror.all(NODES)
    assert len({node["spec"]["podCIDR"] for node in nodes}) == len(names)
    assert all(node["spec"]["podCIDR"].endswith(".0/24") for node in nodes)
    assert all(node["spec"]["podCIDRs"] == [node["spec"]["podCIDR"]] for node in nodes)


async def test_no_range_is_given_while_the_allocation_is_off() -> None:
    small, allowed = SmallCluster(), [False]
    controllers = node_controllers(
        small.site,
        small.clock,
        small.delays,
        network=small.network,
        programs=small.programs,
        faults=small.faults,
        allocate_pod_cidrs=lambda: allowed[0],
    )
    async with small.running(*controllers):
        await small.add_node("a")
        await small.until(lambda: ready(small, "a") == "True")
        await small.settle(0.03)
        assert "podCIDR" not in (small.mirror.get(NODES, "a") or {})["spec"]
        allowed[0] = True
        await small.until(lambda: (small.mirror.get(NODES, "a") or {})["spec"].get("podCIDR"))


async def test_pod_of_a_node_that_nobody_ever_saw_is_removed(cluster: SmallCluster) -> None:
    await cluster.mirror.follow(PODS)
    await cluster.add_pod("p", nodeName="nowhere")
    await cluster.until(lambda: cluster.pod("p") is not None)
    await cluster.until(lambda: cluster.pod("p") is None)
