"""Which CNI gives a pod its network, and what the kubelet is told when none does."""

from __future__ import annotations

import pytest

from lab.network.reachability import Cni
from lab.objects import key_of, uid_of
from lab.platform.podruntime import SandboxFailed


async def test_a_node_without_a_conflist_is_not_ready_and_takes_no_pod(scene):
    await scene.add_node("n1", pod_cidr="172.25.1.0/24")
    pod = await scene.add_pod("n1")

    assert scene.network.not_ready_reason("n1") == "cni plugin not initialized"
    with pytest.raises(SandboxFailed, match="cni plugin not initialized"):
        scene.network.attach(pod)


async def test_canal_gives_addresses_of_the_nodes_pod_cidr(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.canal_node("n2", "172.25.2.0/24")

    addresses = [scene.network.attach(await scene.add_pod(node)) for node in ("n1", "n1", "n2")]

    assert addresses == ["172.25.1.2", "172.25.1.3", "172.25.2.2"]


async def test_attaching_again_changes_nothing(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    pod = await scene.add_pod("n1")

    assert scene.network.attach(pod) == scene.network.attach(pod)


async def test_detaching_again_is_fine(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    pod = await scene.run_pod("n1")

    scene.network.detach(pod)
    scene.network.detach(pod)

    assert scene.network.sandbox(key_of(pod)) is None


async def test_a_pod_on_the_hosts_network_has_the_nodes_address(scene):
    node = await scene.add_node("n1")

    address = scene.network.attach(await scene.add_pod("n1", hostNetwork=True))

    assert address == node["status"]["addresses"][0]["address"]


async def test_once_canals_agent_is_gone_its_conflist_leads_nowhere(scene):
    agent = await scene.canal_node("n1", "172.25.1.0/24")
    await scene.remove_pod(agent)

    with pytest.raises(SandboxFailed, match="connection is unauthorized"):
        scene.network.attach(await scene.add_pod("n1"))
    assert scene.network.not_ready_reason("n1") is None


async def test_cilium_comes_first_wherever_its_conflist_lies(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.set_cilium_config()
    await scene.operator("n1")
    old = await scene.run_pod("n1")

    await scene.agent("cilium", "n1")
    new = await scene.run_pod("n1")

    places = [scene.network.sandbox(key_of(pod)).place.cni for pod in (old, new)]
    assert places == [Cni.CANAL, Cni.CILIUM]


async def test_a_conflist_left_by_cilium_fails_every_new_pod(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.set_cilium_config()
    await scene.operator("n1")
    agent = await scene.agent("cilium", "n1")

    await scene.remove_pod(agent)

    with pytest.raises(SandboxFailed, match="Is the agent running"):
        scene.network.attach(await scene.add_pod("n1"))


async def test_cni_uninstall_takes_the_conflist_away(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.set_cilium_config(cni_uninstall="true")
    await scene.operator("n1")
    agent = await scene.agent("cilium", "n1")

    await scene.remove_pod(agent)

    assert scene.network.attach(await scene.add_pod("n1")).startswith("172.25.1.")


async def test_a_replaced_node_has_nothing_of_the_old_one(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    pod = await scene.run_pod("n1")

    scene.network.forget_node("n1")

    assert scene.network.sandbox(key_of(pod)) is None
    assert scene.network.not_ready_reason("n1") is not None


async def test_each_cni_gives_out_addresses_without_asking_the_other(scene):
    await scene.canal_node("n1", "172.25.0.0/24")
    await scene.set_cilium_config()
    await scene.operator("n1")
    old = await scene.run_pod("n1")
    await scene.agent("cilium", "n1")

    new = await scene.run_pod("n1")

    assert scene.network.sandbox(key_of(old)).address == scene.network.sandbox(key_of(new)).address


async def test_conflist_changes_are_told(scene):
    told: list[str] = []
    scene.network.on_node_change(told.append)

    await scene.canal_node("n1", "172.25.1.0/24")
    scene.network.forget_node("n1")

    assert told == ["n1", "n1"]


async def test_a_full_node_says_so(scene):
    await scene.canal_node("n1", "172.25.1.0/30")
    await scene.run_pod("n1")
    extra = await scene.add_pod("n1")

    with pytest.raises(SandboxFailed, match="no IP addresses available"):
        scene.network.attach(extra)
    assert uid_of(extra) not in {s.uid for s in scene.network._sandboxes.on_node("n1")}
