"""Waiting for Canal, which KKP brings up beside Cilium: what people are told meanwhile, and what counts as arrived."""

import asyncio
from datetime import timedelta

import pytest

from clusters.kinds import CLUSTERS, DAEMON_SETS, NODES
from clusters.steps.canal_arrival import wait_for_canal
from clusters.steps.cilium_removal import prepare_cilium_removal
from clusters.steps.switching import switch_cni
from migration.errors import DeadlineExceeded
from migration.models import StepStatus
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import CANAL_VERSION, LONG, SYSTEM, begin_to_canal, put_on_cilium
from tests.seed_api import seed_api

BRIEFLY = timedelta(seconds=1.5)


def wait(opened, *, version=CANAL_VERSION, deadline=LONG):
    return wait_for_canal(opened, version=version, deadline=deadline)


@pytest.fixture
async def leaving(cluster, opened):
    """A migration that is ready to be switched to Canal."""
    await put_on_cilium(opened)
    migration = await begin_to_canal(cluster, opened)
    await prepare_cilium_removal(opened, migration.id, deadline=LONG)
    return migration


async def test_canal_has_arrived_when_every_node_has_its_agent(opened, leaving):
    await switch_cni(opened, leaving)

    result = await wait(opened)

    assert (result.status, result.summary) == (StepStatus.CONFIRMED, "Canal v3.30 runs on 2 nodes")
    assert all(node["spec"]["podCIDR"] for node in await opened.api.list(NODES))
    assert (await wait(opened)).status is StepStatus.CONFIRMED


async def test_before_the_switch_there_is_nothing_to_wait_for_but_the_addon(opened, leaving):
    with pytest.raises(DeadlineExceeded, match=r"KKP to apply the addon canal.*Cilium still carries the pods"):
        await wait(opened, deadline=timedelta(seconds=0.3))


async def test_a_node_without_a_range_is_named_with_the_gate_that_is_shut(cluster, opened, leaving):
    cluster.platform_fault("slow-control-plane", subject=cluster.name)
    await switch_cni(opened, leaving)
    await becomes(lambda: is_rolling(opened))
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "newcomer"}, "spec": {}}
    newcomer = await opened.api.create(NODES, body)

    sentence = r"controller-manager to give a podCIDR to newcomer \(controller=HealthStatusProvisioning\)"
    with pytest.raises(DeadlineExceeded, match=sentence):
        await wait(opened, deadline=timedelta(seconds=4))

    cluster.lab.remote.clear_faults()
    await opened.api.delete(NODES, "newcomer", uid=newcomer["metadata"]["uid"])
    assert (await wait(opened)).status is StepStatus.CONFIRMED


async def is_rolling(opened):
    """Tell whether the controller-manager is on its way to the one that hands out ranges."""
    return "controller=HealthStatusProvisioning" in (await opened.seed.cluster(opened.ref.name)).unhealthy()


async def test_another_version_that_still_runs_is_named(opened, leaving):
    await switch_cni(opened, leaving)
    await wait(opened)

    with pytest.raises(DeadlineExceeded, match=r"KKP to set Canal to v3\.31 \(calico-node runs v3\.30\.\d+\)"):
        await wait(opened, version="v3.31", deadline=timedelta(seconds=0.3))


async def test_an_agent_that_crashes_is_named_with_its_words(cluster, opened, leaving):
    cluster.platform_fault("agent-crash-loop", subject="*", message="no such device")
    await switch_cni(opened, leaving)

    running = asyncio.create_task(wait(opened))
    await becomes(lambda: opened.api.find(DAEMON_SETS, "canal", namespace=SYSTEM), during=running)
    with pytest.raises(DeadlineExceeded, match=r"the canal DaemonSet: 0 of 2 agents ready; not starting: .*no such"):
        await wait(opened, deadline=timedelta(seconds=3))
    cluster.lab.remote.clear_faults()
    await running


async def test_a_paused_cluster_gets_no_canal(cluster, opened, leaving):
    await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": {"pause": True}})
    await switch_cni(opened, leaving)

    with pytest.raises(DeadlineExceeded, match="KKP to apply the addon canal"):
        await wait(opened, deadline=timedelta(seconds=0.5))

    await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": {"pause": False}})
    await wait(opened)


@pytest.mark.parametrize("trouble", ["410", "500", "close-watch", "reset"])
async def test_a_watch_that_breaks_is_taken_up(cluster, opened, leaving, trouble):
    cluster.fault(trouble, method="GET", path="/(nodes|daemonsets|pods)$", times=3)
    await switch_cni(opened, leaving)

    assert (await wait(opened)).status is StepStatus.CONFIRMED
