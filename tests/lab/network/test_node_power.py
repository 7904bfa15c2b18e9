"""What a node's network keeps over a reboot, and what happens to a CNI whose file is taken away."""

from __future__ import annotations

import pytest

from lab.network.reachability import Cni
from lab.platform.podruntime import SandboxFailed
from lab.resources import CILIUM_ENDPOINTS, CILIUM_IDENTITIES
from tests.lab.network.conftest import Scene


@pytest.fixture
async def both(scene: Scene) -> Scene:
    """A node on which Canal, Cilium and kube-proxy run."""
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.set_cilium_config()
    await scene.operator("n1")
    await scene.agent("cilium", "n1")
    return scene


async def test_files_outlive_a_reboot_and_nothing_else_does(both: Scene) -> None:
    await both.run_pod("n1", name="a")

    both.network.reboot_node("n1")

    node = both.network.node("n1")
    assert node.conflists == {"05-cilium.conflist", "10-canal.conflist"}
    assert (node.tunnels, node.programs, node.service_rules) == ({}, {}, {})
    assert both.network.sandbox("kube-system/a") is None
    assert both.network.not_ready_reason("n1") is None


async def test_after_a_reboot_the_first_file_decides_and_its_agent_has_to_run(both: Scene) -> None:
    both.network.reboot_node("n1")
    pod = await both.add_pod("n1")

    with pytest.raises(SandboxFailed, match="Cilium agent"):
        both.network.attach(pod)
    assert both.network.remove_cni_configuration("n1", "05-cilium.conflist")
    with pytest.raises(SandboxFailed, match="calico"):
        both.network.attach(pod)
    await both.agent("canal", "n1")

    assert both.network.attach(pod).startswith("172.25.1.")


async def test_a_reboot_frees_the_port_of_a_tunnel(both: Scene) -> None:
    await both.set_cilium_config(tunnel_port="8472")
    both.network.reboot_node("n1")

    await both.agent("cilium", "n1")

    assert set(both.network.node("n1").tunnels) == {Cni.CILIUM}


async def test_an_operator_on_a_node_that_reboots_is_at_work_no_more(both: Scene) -> None:
    both.network.reboot_node("n1")

    assert not both.network._operator._running


async def test_a_file_that_is_not_there_is_not_removed(both: Scene) -> None:
    assert not both.network.remove_cni_configuration("n1", "99-other.conflist")


async def test_the_last_file_makes_the_node_not_ready(both: Scene) -> None:
    told: list[str] = []
    both.network.on_node_change(told.append)
    for file in ("05-cilium.conflist", "10-canal.conflist"):
        both.network.remove_cni_configuration("n1", file)

    assert told == ["n1", "n1"]
    assert both.network.not_ready_reason("n1") == "cni plugin not initialized"


async def test_a_pods_endpoint_is_written_once_for_its_new_sandbox(both: Scene) -> None:
    pod = await both.run_pod("n1", name="a")
    await both.until(lambda: both.mirror.all(CILIUM_ENDPOINTS))
    before = both.mirror.all(CILIUM_ENDPOINTS)[0]["metadata"]["uid"]
    both.network.reboot_node("n1")
    await both.operator("n1")
    await both.agent("cilium", "n1")

    both.network.attach(pod)

    def written() -> list[str]:
        return [found["metadata"]["uid"] for found in both.mirror.all(CILIUM_ENDPOINTS)]

    await both.until(lambda: written() not in ([], [before]))
    after = written()
    await both.run_pod("n1", name="b")
    await both.until(lambda: len(written()) == 2)
    assert after[0] in written()


async def test_pods_of_the_same_labels_share_an_identity(both: Scene) -> None:
    for name, app in (("a", "cart"), ("b", "cart"), ("c", "store")):
        await both.run_pod("n1", name=name, namespace="shop", labels={"app": app, "pod-template-hash": name})
    await both.until(lambda: len(both.mirror.all(CILIUM_IDENTITIES)) == 2)

    labels = [found["security-labels"] for found in both.mirror.all(CILIUM_IDENTITIES)]
    assert {"k8s:app": "cart", "k8s:io.kubernetes.pod.namespace": "shop"} in labels


async def test_an_identity_that_was_deleted_is_there_again_for_the_next_pod(both: Scene) -> None:
    await both.run_pod("n1", name="a", namespace="shop", labels={"app": "cart"})
    await both.until(lambda: both.mirror.all(CILIUM_IDENTITIES))
    number = both.mirror.all(CILIUM_IDENTITIES)[0]["metadata"]["name"]
    await both.client.delete(CILIUM_IDENTITIES, number)
    await both.until(lambda: not both.mirror.all(CILIUM_IDENTITIES))

    await both.run_pod("n1", name="b", namespace="shop", labels={"app": "cart"})

    await both.until(lambda: [found["metadata"]["name"] for found in both.mirror.all(CILIUM_IDENTITIES)] == [number])
