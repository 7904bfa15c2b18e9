"""That the lab punishes what KKP punishes: steps of a migration in a wrong order visibly break a cluster.

docs/platform.md has the facts behind each. Every test drives a small cluster of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lab.faults import PlatformFault
from lab.objects import is_pod_ready, key_of, name_of
from lab.platform.nodes.placement import NETWORK_UNAVAILABLE
from lab.resources import (
    CILIUM_ENDPOINTS,
    CILIUM_IDENTITIES,
    CILIUM_NODES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    NODES,
    PODS,
    SECRETS,
)
from tests.lab.whole_cluster import WholeCluster, whole_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lab.objects import Object

pytestmark = pytest.mark.timeout(120)

FLANNELS_PORT = 8472
NO_POD_CIDR = "pod cidr not assigned"
PORT_TAKEN = "address already in use"
NO_CILIUM = "unable to connect to Cilium agent"


@pytest.fixture
async def canal(tmp_path: Path) -> AsyncIterator[WholeCluster]:
    """A cluster as the lab makes it."""
    async with whole_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def cilium(canal: WholeCluster) -> WholeCluster:
    """A cluster that was migrated to Cilium in the right order."""
    await canal.migrate_to_cilium()
    return canal


async def back_on_canal(cluster: WholeCluster) -> None:
    """Have Canal deployed again beside a Cilium that still runs."""
    await cluster.choose_canal()
    await cluster.rolled_out("canal")


async def without_cilium(cluster: WholeCluster) -> None:
    """Have Canal again, and Cilium uninstalled."""
    await back_on_canal(cluster)
    assert await cluster.delete_installation() is None
    await cluster.until(lambda: not cluster.pods("cilium"), "Cilium's agents go")


# On the way back to Canal


async def test_cilium_deleted_before_the_cluster_is_patched_is_made_again(cilium: WholeCluster) -> None:
    first = (cilium.installation() or {})["metadata"]["uid"]
    await cilium.delete_installation()

    made_again = await cilium.until(cilium.installation, "KKP makes the ApplicationInstallation again", seconds=60)

    assert made_again["metadata"]["uid"] != first
    await cilium.installed()


async def test_cilium_deleted_after_the_cluster_is_patched_stays_away(cilium: WholeCluster) -> None:
    await without_cilium(cilium)
    await cilium.platform_seconds(600)

    assert cilium.installation() is None


async def test_pods_restarted_before_ciliums_removal_are_on_cilium_again(cilium: WholeCluster) -> None:
    await back_on_canal(cilium)

    await cilium.restart_pods()

    assert cilium.cnis() == {"cilium"}


async def test_pods_restarted_after_ciliums_removal_do_not_start_on_old_nodes(cilium: WholeCluster) -> None:
    await without_cilium(cilium)
    assert "05-cilium.conflist" in cilium.files()

    await cilium.restart_pods(wait=False)

    await cilium.until(lambda: cilium.lab.outage(cilium.name)["not_served_now"], "workloads are not served")
    events = await failed_sandboxes(cilium)
    assert any(NO_CILIUM in event["message"] for event in events)
    assert not [pod for pod in cilium.pods("cart", key="app") if is_pod_ready(pod)]


async def failed_sandboxes(cluster: WholeCluster) -> list[Object]:
    await cluster.platform_seconds(60)
    events = await cluster.events("FailedCreatePodSandBox")
    assert events
    return events


async def test_new_nodes_heal_what_ciliums_file_has_broken(cilium: WholeCluster) -> None:
    await without_cilium(cilium)
    await cilium.restart_pods(wait=False)

    await cilium.rotate_nodes()

    await cilium.until(lambda: all(is_pod_ready(pod) for pod in cilium.pod_network()), "all pods are ready")
    assert cilium.cnis() == {"canal"}
    assert cilium.files() == {"10-canal.conflist"}


async def test_a_reboot_alone_does_not_heal_it_but_with_the_file_removed_it_does(cilium: WholeCluster) -> None:
    await without_cilium(cilium)
    await cilium.restart_pods(wait=False)
    nodes = [name_of(node) for node in cilium.mirror.all(NODES)]
    await reboot_all(cilium, nodes)
    await failed_sandboxes(cilium)
    assert cilium.cnis() == set()

    for node in nodes:
        cilium.lab.remove_cni_configuration(cilium.name, node, "05-cilium.conflist")

    await cilium.until(
        lambda: cilium.cnis() == {"canal"} and all(is_pod_ready(pod) for pod in cilium.pod_network()), "pods on Canal"
    )


async def reboot_all(cluster: WholeCluster, nodes: list[str]) -> None:
    def boots() -> set[str]:
        return {node["status"]["nodeInfo"]["bootID"] for node in cluster.mirror.all(NODES)}

    before = boots()
    for node in nodes:
        cluster.lab.reboot(cluster.name, node)
    await cluster.until(lambda: not before & boots(), "all nodes have rebooted")


async def test_flannel_does_not_get_a_port_that_ciliums_device_has(tmp_path: Path) -> None:
    async with whole_cluster(tmp_path) as cluster:
        await cluster.migrate_to_cilium()  # beside flannel.1, on another port
        await cluster.rotate_nodes()  # no trace of flannel is left
        await cluster.until(lambda: cluster.is_rolled_out("cilium"), "Cilium on new nodes")
        await tunnel_port(cluster, FLANNELS_PORT)

        await cluster.choose_canal()

        await cluster.crashes("canal", PORT_TAKEN)
        await cluster.delete_installation()
        await cluster.until(lambda: not cluster.pods("cilium"), "Cilium's agents go")
        await cluster.platform_seconds(600)
        assert not [pod for pod in cluster.pods("canal") if is_pod_ready(pod)]  # the device is still there


async def tunnel_port(cluster: WholeCluster, port: int) -> None:
    """Have Cilium's agents use a port, by hand."""
    await cluster.client.patch(
        CONFIG_MAPS, "cilium-config", {"data": {"tunnel-port": str(port)}}, namespace="kube-system"
    )
    await cluster.restart("cilium")


async def test_nodes_of_ciliums_time_have_no_range_for_canal_until_the_control_plane_has_rolled(
    cilium: WholeCluster,
) -> None:
    await cilium.rotate_nodes()
    assert not [node for node in cilium.mirror.all(NODES) if node["spec"].get("podCIDR")]
    cilium.lab.faults.add(PlatformFault(trouble="slow-control-plane"))

    await cilium.choose_canal()

    await cilium.crashes("canal", NO_POD_CIDR)
    cilium.lab.faults.clear()
    await cilium.rolled_out("canal")


async def test_what_an_uninstall_leaves(cilium: WholeCluster) -> None:
    await without_cilium(cilium)

    definitions = {name_of(item) for item in (await cilium.client.list(CUSTOM_RESOURCE_DEFINITIONS))[0]}
    secrets = {name_of(item) for item in (await cilium.client.list(SECRETS, namespace="kube-system"))[0]}
    assert {"ciliumnetworkpolicies.cilium.io", "ciliumendpoints.cilium.io"} <= definitions
    assert {"cilium-ca", "hubble-server-certs", "hubble-relay-client-certs"} <= secrets
    assert not [name for name in secrets if name.startswith("sh.helm.release")]
    assert len((await cilium.client.list(CILIUM_NODES))[0]) == 2
    assert (await cilium.client.list(CILIUM_IDENTITIES))[0]
    assert (await cilium.client.list(CILIUM_ENDPOINTS))[0]
    assert {found["reason"] for found in cilium.conditions("NetworkUnavailable")} == {"CiliumIsUp"}


async def test_a_taint_of_an_agent_that_never_got_ready_outlives_cilium(cilium: WholeCluster) -> None:
    node = name_of(cilium.mirror.all(NODES)[0])
    cilium.lab.faults.add(PlatformFault(trouble="agent-crash-loop", subject=node))
    (agent,) = [pod for pod in cilium.pods("cilium") if pod["spec"]["nodeName"] == node]
    await cilium.client.delete(PODS, name_of(agent), namespace="kube-system")
    await cilium.until(lambda: "node.cilium.io/agent-not-ready" in taints(cilium, node), "the operator taints the node")

    await without_cilium_but_its_taints(cilium)

    assert "node.cilium.io/agent-not-ready" in taints(cilium, node)
    assert NETWORK_UNAVAILABLE not in taints(cilium, node)


async def without_cilium_but_its_taints(cluster: WholeCluster) -> None:
    await cluster.choose_canal()
    await cluster.delete_installation()
    await cluster.until(lambda: not cluster.pods("cilium"), "Cilium's agents go")
    await cluster.platform_seconds(60)


def taints(cluster: WholeCluster, node: str) -> set[str]:
    found = cluster.mirror.get(NODES, node) or {}
    return {taint["key"] for taint in found["spec"].get("taints") or ()}


async def test_agents_that_read_cni_uninstall_take_their_file_with_them(cilium: WholeCluster) -> None:
    await cilium.set_cilium_value("cni.uninstall", True)
    await cilium.until(lambda: config(cilium).get("cni-uninstall") == "true", "the configuration has it")
    await cilium.restart("cilium")

    await without_cilium(cilium)

    assert cilium.files() == {"10-canal.conflist"}
    await cilium.restart_pods()
    assert cilium.cnis() == {"canal"}


async def test_agents_that_have_not_read_cni_uninstall_leave_their_file(cilium: WholeCluster) -> None:
    await cilium.set_cilium_value("cni.uninstall", True)
    await cilium.until(lambda: config(cilium).get("cni-uninstall") == "true", "the configuration has it")

    await without_cilium(cilium)

    assert "05-cilium.conflist" in cilium.files()


def config(cluster: WholeCluster) -> dict[str, str]:
    return dict((cluster.mirror.get(CONFIG_MAPS, "cilium-config", namespace="kube-system") or {}).get("data") or {})


# On the way to Cilium


async def test_nodes_rotated_before_canals_removal_get_a_canal_that_crashes(canal: WholeCluster) -> None:
    await canal.choose_cilium(tunnelPort=8473)
    await canal.installed()
    await canal.rolled_out("cilium")

    await canal.rotate_nodes()

    await canal.crashes("canal", NO_POD_CIDR)
    assert not [node for node in canal.mirror.all(NODES) if node["spec"].get("podCIDR")]


async def test_cilium_on_flannels_port_never_gets_ready(canal: WholeCluster) -> None:
    await canal.choose_cilium()

    await canal.crashes("cilium", PORT_TAKEN)
    assert not [pod for pod in canal.pods("cilium") if is_pod_ready(pod)]


async def test_a_stale_release_keeps_cilium_out(cilium: WholeCluster) -> None:
    await cilium.delete_cilium_by_hand()
    await cilium.choose_canal()
    await cilium.rolled_out("canal")

    await cilium.choose_cilium(tunnelPort=8473)
    await cilium.platform_seconds(600)

    assert cilium.ready_condition()["status"] == "True"
    assert cilium.mirror.get(DAEMON_SETS, "cilium", namespace="kube-system") is None


# Proxy modes


async def test_new_pods_of_services_are_missed_between_kube_proxy_and_its_replacement(tmp_path: Path) -> None:
    async with whole_cluster(tmp_path, nodes=4, agent_start=900.0) as cluster:
        await cluster.migrate_to_cilium()
        await cluster.patch_cluster({"clusterNetwork": {"proxyMode": "ebpf"}})
        await cluster.until(lambda: not cluster.pods("kube-proxy"), "kube-proxy is gone")
        replacing = asyncio.create_task(replace_pods(cluster, "cart"))

        def misses(client: str) -> bool:
            """Tell whether a client reaches each backend, and none of them through the Service."""
            backends = [key_of(pod) for pod in cluster.pods("cart", key="app") if is_pod_ready(pod)]
            reaches_all = all(cluster.network.reaches(client, backend) for backend in backends)
            return bool(backends) and reaches_all and not cluster.network.serves(client, "shop/cart")

        clients = [key_of(pod) for pod in cluster.pods("frontend", key="app")]
        await cluster.until(lambda: any(map(misses, clients)), "new pods are missed")
        await replacing

        def are_served() -> bool:
            return all(cluster.network.serves(client, "shop/cart") for client in clients)

        await cluster.until(are_served, "Cilium replaces kube-proxy")


async def replace_pods(cluster: WholeCluster, app: str) -> None:
    """Delete the pods of an app and wait for others to be ready."""
    old = {pod["metadata"]["uid"]: pod for pod in cluster.pods(app, key="app")}
    for pod in old.values():
        await cluster.client.delete(PODS, name_of(pod), namespace=pod["metadata"]["namespace"])

    def are_replaced() -> bool:
        new = cluster.pods(app, key="app")
        return not old.keys() & {pod["metadata"]["uid"] for pod in new} and bool(new) and all(map(is_pod_ready, new))

    await cluster.until(are_replaced, f"the pods of {app} are replaced")


async def test_agents_go_on_replacing_kube_proxy_until_they_are_restarted(canal: WholeCluster) -> None:
    await canal.migrate_to_cilium(proxy_mode="ebpf")
    await canal.until(lambda: "ebpf" in rules(canal), "Cilium replaces kube-proxy")
    await canal.patch_cluster({"clusterNetwork": {"proxyMode": "iptables"}})
    await canal.rolled_out("kube-proxy")
    await canal.until(lambda: config(canal)["kube-proxy-replacement"] == "false", "the configuration has it")
    await canal.platform_seconds(600)
    assert "ebpf" in rules(canal)

    await canal.restart("cilium")

    assert "ebpf" not in rules(canal)


def rules(cluster: WholeCluster) -> set[str]:
    return {mode for node in cluster.mirror.all(NODES) for mode in cluster.network.node(name_of(node)).service_rules}


async def test_old_rules_stay_in_the_kernel_until_the_node_is_rebooted(canal: WholeCluster) -> None:
    await canal.patch_cluster({"clusterNetwork": {"proxyMode": "ipvs"}})
    await canal.until(lambda: "ipvs" in rules(canal), "the new rules")
    await canal.rolled_out("kube-proxy")
    assert rules(canal) == {"iptables", "ipvs"}

    await reboot_all(canal, [name_of(node) for node in canal.mirror.all(NODES)])

    await canal.until(lambda: rules(canal) == {"ipvs"}, "the rules of the new mode alone")
    await canal.until(lambda: all(is_pod_ready(pod) for pod in canal.pod_network()), "all pods are ready")
