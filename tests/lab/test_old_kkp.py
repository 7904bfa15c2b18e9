"""A whole lab of KKP 2.20: what its addons do to nodes and pods."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from lab.objects import Object, key_of, name_of, uid_of
from lab.resources import CILIUM_ENDPOINTS, CLUSTERS, CONFIG_MAPS, DAEMON_SETS, PODS
from lab.settings import Delays, LabSettings, UserClusterSize
from lab.world import Lab
from tests.lab.kkp.legacy import UNLOCKED
from tests.lab.manual_steps import (
    RESTART_PODS,
    pods_without_cilium_endpoint,
    wait_for_cilium,
    wait_for_workloads,
)
from tests.real_kkp import real_kkp
from tests.running_lab import Kubectl, run_lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from lab.user_cluster import UserCluster


@contextlib.asynccontextmanager
async def old_lab(folder: Path) -> AsyncIterator[tuple[Lab, UserCluster]]:
    size = UserClusterSize(nodes=2, pods=12)
    delays = Delays(legacy_addon_delay=5.0)
    async with Lab(LabSettings(size=size, kkp="2.20", speed=200.0, delays=delays, directory=str(folder))) as lab:
        await lab.ready()
        yield lab, lab.user_clusters[0]


async def until(what: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(30):
        while not await what():
            await asyncio.sleep(0.02)


async def patch_cluster(lab: Lab, cluster: UserCluster, patch: Object) -> None:
    await lab._seed.client.patch(CLUSTERS, cluster.name, patch)


async def ready_pods(cluster: UserCluster, app: str) -> list[Object]:
    found, _ = await cluster.site.client.list(PODS, label_selector=f"k8s-app={app}")
    status = [{item["type"]: item["status"] for item in pod["status"].get("conditions") or ()} for pod in found]
    return [pod for pod, conditions in zip(found, status, strict=True) if conditions.get("Ready") == "True"]


async def on_the_pod_network(cluster: UserCluster) -> list[Object]:
    found, _ = await cluster.site.client.list(PODS)
    return [pod for pod in found if not pod["spec"].get("hostNetwork") and pod["status"]["phase"] == "Running"]


async def switch_whole(lab: Lab, cluster: UserCluster) -> None:
    wanted = {"spec": {"cniPlugin": {"type": "cilium", "version": "v1.11"}}}
    await patch_cluster(lab, cluster, UNLOCKED | wanted)

    async def runs() -> bool:
        return len(await ready_pods(cluster, "cilium")) == 2

    await until(runs)


async def test_restarted_pods_get_cilium_endpoints_while_both_agents_run(tmp_path: Path):
    async with old_lab(tmp_path / "lab") as (lab, cluster):
        await switch_whole(lab, cluster)
        assert len(await ready_pods(cluster, "canal")) == 2
        client = cluster.site.client
        old = {uid_of(pod) for pod in await on_the_pod_network(cluster)}
        for pod in await on_the_pod_network(cluster):
            await client.delete(PODS, name_of(pod), namespace=pod["metadata"]["namespace"])

        async def are_cilium_s() -> bool:
            pods = await on_the_pod_network(cluster)
            endpoints, _ = await client.list(CILIUM_ENDPOINTS)
            known = {key_of(endpoint) for endpoint in endpoints}
            return bool(pods) and all(uid_of(pod) not in old and key_of(pod) in known for pod in pods)

        await until(are_cilium_s)


async def test_nodes_keep_kube_proxy_s_old_mode_until_it_is_restarted(tmp_path: Path):
    async with old_lab(tmp_path / "lab") as (lab, cluster):
        await patch_cluster(lab, cluster, UNLOCKED | {"spec": {"clusterNetwork": {"proxyMode": "iptables"}}})
        client = cluster.site.client

        async def is_configured() -> bool:
            found = await client.get(CONFIG_MAPS, "kube-proxy", namespace="kube-system")
            return "\nmode: iptables\n" in found["data"]["config.conf"]

        await until(is_configured)
        pods = await ready_pods(cluster, "kube-proxy")
        assert [kept_modes(cluster, pod) for pod in pods] == [{"ipvs"}, {"ipvs"}]

        for pod in pods:
            await client.delete(PODS, name_of(pod), namespace="kube-system")

        async def is_kept() -> bool:
            return all(kept_modes(cluster, pod) == {"iptables"} for pod in pods)

        await until(is_kept)


async def test_agents_take_over_from_kube_proxy_by_themselves_on_ebpf(tmp_path: Path):
    async with old_lab(tmp_path / "lab") as (lab, cluster):
        await switch_whole(lab, cluster)
        pods = await ready_pods(cluster, "cilium")
        before = {uid_of(pod) for pod in pods}
        await patch_cluster(lab, cluster, {"spec": {"clusterNetwork": {"proxyMode": "ebpf"}}})

        async def have_taken_over() -> bool:
            restarted = {uid_of(pod) for pod in await ready_pods(cluster, "cilium")}
            return not restarted & before and all(kept_modes(cluster, pod) == {"ebpf"} for pod in pods)

        await until(have_taken_over)


async def test_removing_cilium_gives_the_nodes_back_to_canal(tmp_path: Path):
    async with old_lab(tmp_path / "lab") as (lab, cluster):
        await switch_whole(lab, cluster)
        nodes = [pod["spec"]["nodeName"] for pod in await ready_pods(cluster, "cilium")]
        await patch_cluster(lab, cluster, {"spec": {"cniPlugin": {"type": "canal", "version": "v3.21"}}})
        await cluster.site.client.delete(DAEMON_SETS, "cilium", namespace="kube-system")

        async def are_canal_s() -> bool:
            return all(cluster.network.node(node).conflists == {"10-canal.conflist"} for node in nodes)

        await until(are_canal_s)


def kept_modes(cluster: UserCluster, pod: Object) -> set[str]:
    rules = cluster.network.node(pod["spec"]["nodeName"]).service_rules
    return {mode for mode, left in rules.items() if left is None}


def test_a_proxy_mode_that_the_release_does_not_know_is_refused(tmp_path: Path):
    status, _, complaint = run_lab(
        "up", "--directory", str(tmp_path / "lab"), "--kkp", "2.20", "--proxy-mode", "nftables"
    )

    assert (status, complaint) == (2, "lab: KKP 2.20 knows no --proxy-mode nftables\n")


@pytest.mark.control_plane
@pytest.mark.kubectl
@pytest.mark.timeout(300)
def test_the_release_is_played_on_real_api_servers_too(tmp_path: Path, kubectl_binary: Path):
    size = ("--nodes", "2", "--pods", "12", "--speed", "50")
    with real_kkp(tmp_path, *size, "--kkp", "2.20", workloads_by="lab") as kkp:
        seed = Kubectl(kubectl_binary, kkp.lab.seed_kubeconfig, tmp_path)
        user = Kubectl(kubectl_binary, kkp.lab.cluster_kubeconfig(), tmp_path)
        assert seed.run("get", "applicationdefinitions").returncode == 1
        nftables = UNLOCKED | {"spec": {"clusterNetwork": {"proxyMode": "nftables"}}}
        refused = seed.run("patch", "cluster", kkp.cluster, "--type=merge", "-p", json.dumps(nftables))
        assert 'supported values: "ipvs", "iptables", "ebpf"' in refused.stderr

        change = {"cniPlugin": {"type": "cilium", "version": "v1.11"}, "clusterNetwork": {"proxyMode": "ebpf"}}
        seed("patch", "cluster", kkp.cluster, "--type=merge", "-p", json.dumps(UNLOCKED | {"spec": change}))
        wait_for_cilium(user)
        user.shell(RESTART_PODS)
        wait_for_workloads(user)

        assert pods_without_cilium_endpoint(user) == set()
        assert user("get", "daemonset", "kube-proxy", "-n", "kube-system", "--ignore-not-found") == ""
