"""Every change between kube-proxy modes that there is, on both CNIs, and the refusal of those that make no sense."""

from __future__ import annotations

import itertools

import pytest

from clusters.kinds import CONFIG_MAPS, DAEMON_SETS, NODES, PODS
from migration.errors import PreflightFailed
from migration.models import ProxyMode
from migration.proxy_mode import configured_mode, replaces_kube_proxy

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CLUSTERS = 6
TABLES, IPVS, NFT, EBPF = ProxyMode.IPTABLES, ProxyMode.IPVS, ProxyMode.NFTABLES, ProxyMode.EBPF
ON_CILIUM = (IPVS, TABLES, NFT, TABLES, EBPF, IPVS, NFT, IPVS, EBPF, NFT, EBPF, TABLES)
"""A walk from iptables over each of the 12 changes between four modes, once."""
ON_CANAL = (IPVS, TABLES, NFT, IPVS, NFT, TABLES)
"""The same for the 6 between three modes."""


def changes(walk):
    return set(itertools.pairwise((TABLES, *walk)))


def test_the_walks_are_complete():
    assert changes(ON_CILIUM) == set(itertools.permutations(ProxyMode, 2))
    assert changes(ON_CANAL) == set(itertools.permutations((TABLES, IPVS, NFT), 2))


async def programs(api, name):
    """Return the uids of the pods of kube-proxy or of Cilium's agents."""
    pods = await api.list(PODS, namespace="kube-system", labels=f"k8s-app={name}")
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


async def assert_in_effect(api, mode, *, on_cilium, before, left):
    """Fail unless whoever keeps the Services' rules was started after it was told the mode."""
    config = await api.find(CONFIG_MAPS, "kube-proxy", namespace="kube-system")
    agents = await programs(api, "cilium")
    if mode is EBPF:
        assert config is None
        assert await api.find(DAEMON_SETS, "kube-proxy", namespace="kube-system") is None
    else:
        proxies = await programs(api, "kube-proxy")
        assert configured_mode(config["data"]["config.conf"]) == mode
        assert proxies
        assert not proxies & before["kube-proxy"]
    if on_cilium:
        found = await api.get(CONFIG_MAPS, "cilium-config", namespace="kube-system")
        assert replaces_kube_proxy(found["data"]["kube-proxy-replacement"]) is (mode is EBPF)
    if EBPF in (mode, left):
        assert agents
        assert not agents & before["cilium"]


async def walk_through(cluster, walk, *, on_cilium):
    left = TABLES
    for mode in walk:
        async with cluster.apis() as (_, api):
            before = {name: await programs(api, name) for name in ("kube-proxy", "cilium")}
        report = await cluster.change_mode(mode, rotate_nodes=False)
        assert (report.outcome, report.proxy_mode) == ("migrated", mode)
        async with cluster.apis() as (seed, api):
            assert (await seed.cluster(cluster.name)).proxy_mode == mode
            await assert_in_effect(api, mode, on_cilium=on_cilium, before=before, left=left)
        left = mode


async def test_all_twelve_changes_on_cilium(cluster):
    await cluster.migrate(rotate_nodes=False)

    await walk_through(cluster, ON_CILIUM, on_cilium=True)


async def test_all_six_changes_on_canal_and_no_ebpf(cluster):
    await walk_through(cluster, ON_CANAL, on_cilium=False)

    async with cluster.apis() as (seed, _):
        before = (await seed.cluster(cluster.name)).resource_version
    with pytest.raises(PreflightFailed, match="ebpf"):
        await cluster.change_mode(EBPF)
    async with cluster.apis() as (seed, _):
        assert (await seed.cluster(cluster.name)).resource_version == before


async def test_the_mode_that_a_cluster_has_is_nothing_to_do(cluster):
    report = await cluster.change_mode(TABLES)

    assert report.outcome == "nothing to do"


async def test_nodes_are_replaced_for_the_old_rules_are_in_their_kernels(cluster):
    async with cluster.apis() as (_, api):
        before = {node["metadata"]["uid"] for node in await api.list(NODES)}

    await cluster.change_mode(IPVS)

    async with cluster.apis() as (_, api):
        assert not before & {node["metadata"]["uid"] for node in await api.list(NODES)}


async def test_a_change_of_mode_is_taken_back(cluster):
    await cluster.change_mode(NFT, rotate_nodes=False)

    report = await cluster.revert(rotate_nodes=False)

    assert (report.outcome, report.proxy_mode) == ("taken back", TABLES)


async def test_a_cluster_on_ebpf_gets_kube_proxy_back_with_canal(cluster):
    await cluster.migrate(proxy_mode=EBPF, rotate_nodes=False)

    report = await cluster.to_canal(rotate_nodes=False, accept=("nodes-keep-cilium",))

    assert (str(report.current_cni), report.proxy_mode) == ("canal v3.30", TABLES)
    async with cluster.apis() as (_, api):
        await assert_in_effect(api, TABLES, on_cilium=False, before={"kube-proxy": set()}, left=TABLES)
