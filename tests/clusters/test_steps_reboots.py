"""Nodes that nothing replaces: named for people to reboot, and waited for until each has come back from it."""

import asyncio
from datetime import timedelta

import pytest

from clusters.journal import read_migration
from clusters.kinds import MACHINE_DEPLOYMENTS, NODES
from clusters.narrowing import OWNED_BY_LABEL
from clusters.steps.reboots import CILIUM_FILE, await_reboots
from migration.errors import OperatorActionNeeded
from migration.models import ProxyMode, Runbook, StepStatus
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import LONG, begin, begin_to_canal, put_on_cilium

BRIEFLY = timedelta(seconds=0.5)


@pytest.fixture
async def nodes(cluster, opened):
    """The names of nodes that nobody replaces: machine-controller has lost sight of them."""
    await opened.api.patch(MACHINE_DEPLOYMENTS, "workers-1", {"spec": {"paused": True}}, namespace="kube-system")
    names = sorted(node["metadata"]["name"] for node in await opened.api.list(NODES))
    for name in names:
        await opened.api.patch(NODES, name, {"metadata": {"labels": {OWNED_BY_LABEL: None}}})
    return names


@pytest.fixture
async def changing(cluster, opened, nodes):
    return await begin(cluster, opened, Runbook.CHANGE_PROXY_MODE, desired_proxy_mode=ProxyMode.IPVS)


def wait(opened, migration, *, deadline=LONG):
    return await_reboots(opened, migration.id, deadline=deadline)


async def boots(opened):
    return {node["metadata"]["name"]: node["status"]["nodeInfo"]["bootID"] for node in await opened.api.list(NODES)}


def reboot(cluster, node):
    cluster.lab.remote.reboot(cluster.name, node)


async def remembered(opened, migration):
    return dict((await read_migration(opened.api, migration.id)).boot_ids)


async def test_nodes_of_machine_deployments_are_nobodys_business_here(opened, migration):
    result = await wait(opened, migration)

    assert (result.status, result.summary) == (StepStatus.ALREADY, "a MachineDeployment owns every node")


async def test_people_are_told_which_nodes_and_what_to_do(opened, changing, nodes):
    with pytest.raises(OperatorActionNeeded) as error:
        await wait(opened, changing, deadline=timedelta())

    text = str(error.value)
    assert all(node in text for node in nodes)
    assert "drain it, reboot it, and uncordon it" in text
    assert "start the flow again" in text
    assert CILIUM_FILE not in text


async def test_on_the_way_to_canal_the_file_of_cilium_is_named(cluster, opened):
    await put_on_cilium(opened)
    name = (await opened.api.list(NODES))[0]["metadata"]["name"]
    await opened.api.patch(NODES, name, {"metadata": {"labels": {OWNED_BY_LABEL: None}}})
    migration = await begin_to_canal(cluster, opened)

    with pytest.raises(OperatorActionNeeded, match=rf"{name}\): each one, drain it, remove {CILIUM_FILE}"):
        await wait(opened, migration, deadline=BRIEFLY)

    assert set(await remembered(opened, migration)) == {name}


async def test_it_goes_on_when_every_node_has_come_back(cluster, opened, changing, nodes):
    running = asyncio.create_task(wait(opened, changing))
    await becomes(lambda: cluster.was_told("waiting for 2 nodes to be rebooted by hand"), during=running)
    assert cluster.was_told("each one, drain it, reboot it")
    before = await boots(opened)

    for node in nodes:
        reboot(cluster, node)

    result = await running
    assert (result.status, result.summary, result.count) == (
        StepStatus.CONFIRMED,
        "2 nodes were rebooted or are gone",
        2,
    )
    assert not set(before.values()) & set((await boots(opened)).values())


async def test_one_that_is_left_is_named_alone(cluster, opened, changing, nodes):
    running = asyncio.create_task(wait(opened, changing, deadline=timedelta(seconds=4)))
    before = await becomes(lambda: remembered(opened, changing), during=running)
    reboot(cluster, nodes[0])

    with pytest.raises(OperatorActionNeeded, match=rf"owns 1 nodes.*\({nodes[1]}\)"):
        await running

    assert await remembered(opened, changing) == before


async def test_a_repeat_does_not_take_the_later_boot_for_the_earlier(cluster, opened, changing, nodes):
    before = await boots(opened)
    with pytest.raises(OperatorActionNeeded):
        await wait(opened, changing, deadline=BRIEFLY)
    for node in nodes:
        reboot(cluster, node)

    result = await wait(opened, changing)

    assert result.status is StepStatus.CONFIRMED
    assert await remembered(opened, changing) == before


@pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
async def test_a_run_that_was_killed_as_it_remembered_is_taken_up(cluster, opened, changing, nodes, trouble):
    before = await boots(opened)
    where = {"method": "PUT", "path": "/configmaps/cni-migration$"}
    await kill_at(cluster, wait(opened, changing), trouble, **where)

    with pytest.raises(OperatorActionNeeded):
        await wait(opened, changing, deadline=BRIEFLY)

    assert await remembered(opened, changing) == before


async def test_a_node_that_vanished_is_not_waited_for(cluster, opened, changing, nodes):
    running = asyncio.create_task(wait(opened, changing))
    await becomes(lambda: remembered(opened, changing), during=running)
    gone = await opened.api.get(NODES, nodes[0])
    await opened.api.delete(NODES, nodes[0], uid=gone["metadata"]["uid"])
    reboot(cluster, nodes[1])

    assert (await running).status is StepStatus.CONFIRMED


async def test_a_node_that_joined_since_needs_no_reboot(cluster, opened, changing, nodes):
    with pytest.raises(OperatorActionNeeded):
        await wait(opened, changing, deadline=BRIEFLY)
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "newcomer"}, "spec": {}}
    await opened.api.create(NODES, body)
    for node in nodes:
        reboot(cluster, node)

    assert (await wait(opened, changing)).status is StepStatus.CONFIRMED
    assert "newcomer" not in await remembered(opened, changing)


@pytest.mark.parametrize("trouble", ["410", "500", "close-watch", "reset"])
async def test_a_watch_that_breaks_is_taken_up(cluster, opened, changing, nodes, trouble):
    running = asyncio.create_task(wait(opened, changing))
    await becomes(lambda: remembered(opened, changing), during=running)
    cluster.fault(trouble, method="GET", path="/nodes$", times=3)
    cluster.lab.remote.forget_history()
    for node in nodes:
        reboot(cluster, node)

    assert (await running).status is StepStatus.CONFIRMED
