"""A failure leaves a way forward: the report says where the cluster stands, and going on or back works from there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from clusters.journal import read_journal
from clusters.kinds import NODES
from clusters.steps.addon_inventory import ADDON_KINDS, addon_label
from clusters.steps.observing import observe_baseline
from flows.canal_to_cilium import canal_to_cilium
from migration.errors import DeadlineExceeded, MigrationReverted, PlatformFailed
from migration.models import Deadlines, OnFailure, ProxyMode
from migration.patches import UNSAFE_CNI_MIGRATION
from migration.verification import regressions
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import change_values, is_configured
from tests.flows.belongings import belongings

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # A tenth of a minute is no whole number of them.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]
CLUSTERS = 8
# Six seconds: the lab is two hundred times as fast.
SOON = Deadlines().model_copy(update={"cni": 0.1})
SOON_ROTATED = Deadlines().model_copy(update={"rotation": 0.1})


def helm_fails(cluster):
    cluster.lab.remote.add_fault(
        "platform", "helm-failure", cluster=cluster.name, subject="cilium", times=None, message="no such image"
    )


async def closed_nodes(cluster):
    async with cluster.apis() as (_, api):
        return [node["metadata"]["name"] for node in await api.list(NODES) if node["spec"].get("unschedulable")]


async def failure_report(cluster):
    """Return the Markdown of the newest report on a failure."""
    key = ArtifactFilterKey(any_=[f"migration-failure-{cluster.name}"])
    async with get_client() as client:
        artifacts = await client.read_artifacts(artifact_filter=ArtifactFilter(key=key))
    return str(max(artifacts, key=lambda found: str(found.created)).data)


async def assert_as_before(cluster, before, baseline):
    async with cluster.apis() as (seed, api):
        found = await seed.cluster(cluster.name)
        assert (str(found.cni), found.proxy_mode) == ("canal v3.30", "iptables")
        assert UNSAFE_CNI_MIGRATION not in found.labels
        assert await belongings(api) == before
        assert regressions(baseline, await observe_baseline(api)) == ()
        assert (await read_journal(api)).open_migration() is None


@pytest.fixture
async def before(cluster):
    async with cluster.apis() as (_, api):
        return await belongings(api), await observe_baseline(api)


async def test_the_report_on_a_failure_says_where_the_cluster_stands_and_a_revert_goes_back(cluster, before):
    helm_fails(cluster)
    with pytest.raises(PlatformFailed, match="no such image"):
        await cluster.migrate()

    report = await failure_report(cluster)
    assert "the Cluster's spec says cilium 1.19.4" in report
    assert "Canal serves 2 of 2 nodes" in report
    assert "start the flow again with the same parameters" in report
    assert "run the flow revert-migration, which brings canal v3.30" in report

    # A run that doesn't come to it says that an earlier one has left the cluster so, and what the ways forward are.
    refused: Any = await canal_to_cilium(
        seed=cluster.connection, cluster=cluster.name, accept=("no-such-code",), return_state=True
    )
    assert "no-such-code" in refused.message
    assert "State: the Cluster's spec says cilium 1.19.4" in refused.message
    assert "; an earlier run left it so, this one changed nothing. To resume: " in refused.message
    assert "run the flow revert-migration, which brings canal v3.30" in refused.message

    cluster.lab.remote.clear_faults()
    reverted = await cluster.revert()

    assert reverted.outcome == "taken back"
    await assert_as_before(cluster, *before)


async def test_a_run_that_is_to_go_back_on_failure_does(cluster, before):
    helm_fails(cluster)

    with pytest.raises(MigrationReverted, match=r"was not migrated: .*no such image.*everything is as before"):
        await cluster.migrate(on_failure=OnFailure.REVERT)

    await assert_as_before(cluster, *before)
    async with cluster.apis() as (_, api):
        first, second = (await read_journal(api)).migrations
        assert (first.reverted_by, second.reverts) == (second.id, first.id)


async def test_a_revert_that_can_t_configure_cilium_leaves_no_node_closed(cluster, before):
    """Its agents never came up for good: the nodes that may hold their file are closed, and must be replaced."""
    cluster.lab.remote.add_fault("platform", "agent-crash-loop", cluster=cluster.name, subject="*", times=None)

    with pytest.raises(MigrationReverted):
        await cluster.migrate(rotate_nodes=False, on_failure=OnFailure.REVERT, deadlines=SOON)

    await assert_as_before(cluster, *before)
    assert await closed_nodes(cluster) == []


async def test_a_failure_before_anything_was_switched_is_taken_back_by_its_label_alone(cluster, before):
    async with cluster.apis() as (_, api):
        nodes = {node["metadata"]["uid"] for node in await api.list(NODES)}
    switch = {"method": "PATCH", "path": f"/clusters/{cluster.name}$", "server": cluster.kkp_server, "times": 1}
    cluster.lab.remote.add_fault("request", "403", **switch)

    with pytest.raises(MigrationReverted):
        await cluster.migrate(on_failure=OnFailure.REVERT, rotate_nodes=False)

    await assert_as_before(cluster, *before)
    async with cluster.apis() as (_, api):
        assert {node["metadata"]["uid"] for node in await api.list(NODES)} == nodes


async def test_on_the_way_to_canal_a_run_goes_back_to_cilium_with_its_former_values(cluster):
    await cluster.migrate(proxy_mode=ProxyMode.EBPF, tunnel_port=8999)
    async with cluster.apis() as (_, api):
        before = await belongings(api)
    cluster.lab.remote.add_fault(
        "platform", "slow-control-plane", cluster=cluster.name, subject=cluster.name, times=None
    )
    with pytest.raises(DeadlineExceeded, match=r"Canal.*controller-manager to give a podCIDR"):
        await cluster.to_canal(deadlines=SOON, rotate_nodes=False, accept=("nodes-keep-cilium",))
    cluster.lab.remote.clear_faults()

    report = await cluster.revert(rotate_nodes=False)

    assert (str(report.current_cni), report.proxy_mode) == ("cilium 1.19.4", "ebpf")
    async with cluster.apis() as (_, api):
        assert await belongings(api) == before
        assert [item for kind, _ in ADDON_KINDS for item in await api.list(kind, labels=addon_label("canal"))] == []
    assert json.dumps(report.model_dump(mode="json"))


async def test_nodes_that_were_closed_on_the_way_to_canal_are_open_again_back_on_cilium(cluster):
    """Of a cluster that was created on ebpf, for there Cilium can't take its file along: pods go to new nodes alone."""
    await cluster.migrate(proxy_mode=ProxyMode.EBPF, rotate_nodes=False)
    async with cluster.apis() as (_, api):
        await change_values(api, cni={"exclusive": False}, tunnelPort=0)
        await becomes(lambda: is_configured(api, "cni-chaining-mode", None))
    cluster.lab.remote.add_fault("platform", "node-never-joins", cluster=cluster.name, subject="*", times=None)
    with pytest.raises(DeadlineExceeded, match="the rotation of MachineDeployment"):
        await cluster.to_canal(deadlines=SOON_ROTATED, proxy_mode=ProxyMode.IPTABLES)
    assert await closed_nodes(cluster)
    cluster.lab.remote.clear_faults()

    report = await cluster.revert(rotate_nodes=False)

    assert (str(report.current_cni), report.proxy_mode) == ("cilium 1.19.4", "ebpf")
    assert await closed_nodes(cluster) == []
