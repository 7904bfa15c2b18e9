"""Preparing Cilium's removal: its tunnel out of flannel's way, and agents that take their CNI configuration along."""

import asyncio
from datetime import timedelta

import pytest

from clusters.journal import change_migration, read_migration
from clusters.kinds import APPLICATION_INSTALLATIONS, CLUSTERS
from clusters.steps.cilium_removal import prepare_cilium_removal
from migration.errors import Conflict, DeadlineExceeded
from migration.journal import CNI_UNINSTALL
from migration.models import ProxyMode, StepStatus
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import (
    LONG,
    SYSTEM,
    begin_to_canal,
    change_values,
    generation_of,
    is_configured,
    put_on_cilium,
    uids_of,
    values_of,
)
from tests.seed_api import seed_api

INSTALLATION = {"method": "PATCH", "path": "/applicationinstallations/cilium$"}
AGENTS = {"method": "PATCH", "path": "/daemonsets/cilium$"}
JOURNAL = {"method": "PUT", "path": "/configmaps/cni-migration$"}


def prepare(opened, migration, *, deadline=LONG):
    return prepare_cilium_removal(opened, migration.id, deadline=deadline)


async def mark(opened, migration):
    return (await read_migration(opened.api, migration.id)).marks.get(CNI_UNINSTALL)


@pytest.fixture
async def leaving(cluster, opened):
    """A cluster on Cilium whose tunnel is on flannel's port, about to go to Canal."""
    await put_on_cilium(opened, tunnel_port=8472)
    return await begin_to_canal(cluster, opened)


async def assert_prepared(opened, migration):
    assert await is_configured(opened.api, "tunnel-port", "8473")
    assert await is_configured(opened.api, "cni-uninstall", "true")
    assert await mark(opened, migration) == "true"


async def test_the_tunnel_moves_away_from_flannel_and_new_agents_run_with_it(opened, leaving):
    before, agents = await values_of(opened.api), await uids_of(opened.api, "cilium")

    result = await prepare(opened, leaving)

    assert (result.status, result.summary) == (StepStatus.CHANGED, "tunnel-port 8473, cni-uninstall true")
    await assert_prepared(opened, leaving)
    assert not agents & await uids_of(opened.api, "cilium")
    after = await values_of(opened.api)
    assert after.pop("cni") == {**before.pop("cni"), "uninstall": True}
    assert after.pop("tunnelPort") == 8473
    assert before.pop("tunnelPort") == 8472
    assert after == before


async def test_a_tunnel_port_of_its_own_stays(cluster, opened):
    await put_on_cilium(opened, tunnel_port=8999)
    migration = await begin_to_canal(cluster, opened)

    await prepare(opened, migration)

    assert await is_configured(opened.api, "tunnel-port", "8999")


async def test_a_repeat_finds_it_done_and_restarts_no_agent(opened, leaving):
    await prepare(opened, leaving)
    agents, values = await uids_of(opened.api, "cilium"), await values_of(opened.api)

    assert (await prepare(opened, leaving)).status is StepStatus.ALREADY
    assert (await uids_of(opened.api, "cilium"), await values_of(opened.api)) == (agents, values)


KILLS = [
    ("timeout", INSTALLATION),
    ("timeout-after", INSTALLATION),
    ("timeout", AGENTS),
    ("timeout-after", AGENTS),
    ("timeout", {**JOURNAL, "times": 1}),
    ("timeout-after", {**JOURNAL, "times": 1}),
]


@pytest.mark.parametrize(("trouble", "where"), KILLS)
async def test_a_run_that_was_killed_is_taken_up_where_it_was(cluster, opened, leaving, trouble, where):
    before = await generation_of(opened.api, "cilium")
    await kill_at(cluster, prepare(opened, leaving), trouble, **where)

    await prepare(opened, leaving)

    await assert_prepared(opened, leaving)
    assert await generation_of(opened.api, "cilium") == before + 1


async def test_an_upgrade_that_is_still_under_way_is_waited_for_by_the_next_run(cluster, opened, leaving):
    remote = cluster.lab.remote
    speed = remote.state()["speed"]
    remote.set_speed(1)
    try:
        await kill_at(cluster, prepare(opened, leaving), "timeout-after", **INSTALLATION)
        assert await is_at_work(opened)
        running = asyncio.create_task(prepare(opened, leaving))
        await becomes(lambda: cluster.was_told("waiting for"), during=running)
    finally:
        remote.set_speed(speed)
    await running

    await assert_prepared(opened, leaving)


async def is_at_work(opened):
    """Tell whether KKP has seen the change of the values, and has not ended its upgrade."""
    found = await opened.api.get(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM)
    ready = found["status"]["conditions"]["Ready"]
    return ready["status"] != "True" or ready["observedGeneration"] < found["metadata"]["generation"]


async def test_an_upgrade_that_failed_is_not_taken_for_a_cilium_that_nobody_keeps(cluster, opened, leaving):
    cluster.platform_fault("helm-failure", subject="cilium", message="no such image")
    with pytest.raises(DeadlineExceeded, match="Cilium to be configured for its removal"):
        await prepare(opened, leaving, deadline=timedelta(seconds=1))

    with pytest.raises(DeadlineExceeded):
        await prepare(opened, leaving, deadline=timedelta(seconds=1))

    assert await mark(opened, leaving) is None


async def test_on_a_cluster_that_was_always_on_ebpf_only_the_port_moves(cluster, opened):
    await put_on_cilium(opened, mode=ProxyMode.EBPF)
    await change_values(opened.api, tunnelPort=0)
    await becomes(lambda: is_configured(opened.api, "tunnel-port", None))
    await becomes(lambda: is_settled(opened))
    migration = await begin_to_canal(cluster, opened)
    before = await values_of(opened.api)

    result = await prepare(opened, migration)

    assert result.summary == "tunnel-port 8473"
    assert await values_of(opened.api) == {**before, "tunnelPort": 8473}
    assert await mark(opened, migration) == "false"


async def is_settled(opened):
    return not await is_at_work(opened)


@pytest.mark.parametrize("trouble", ["500", "503", "429", "reset"])
async def test_trouble_with_the_api_server_is_outlived(cluster, opened, leaving, trouble):
    cluster.fault(trouble, **INSTALLATION, times=2)
    cluster.fault(trouble, **AGENTS, times=1)

    await prepare(opened, leaving)

    await assert_prepared(opened, leaving)


async def test_a_change_of_somebody_else_is_a_conflict_and_no_loss(cluster, opened, leaving):
    cluster.fault("409", **INSTALLATION)
    with pytest.raises(Conflict):
        await prepare(opened, leaving)
    await change_values(opened.api, debug={"enabled": True})
    await becomes(lambda: is_settled(opened))

    await prepare(opened, leaving)

    assert (await values_of(opened.api))["debug"] == {"enabled": True}
    await assert_prepared(opened, leaving)


async def test_a_cilium_that_never_came_up_is_not_waited_for(cluster, opened):
    cluster.platform_fault("helm-failure", subject="cilium", message="no such image")
    await opened.seed.label(cluster.name, present=True)
    network = {"cniPlugin": {"type": "cilium", "version": "1.19.4"}}
    await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": network})
    await becomes(lambda: opened.api.find(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM))
    migration = await begin_to_canal(cluster, opened)

    result = await prepare(opened, migration)

    assert result.status is StepStatus.SKIPPED
    assert await mark(opened, migration) == "false"


async def test_a_cilium_that_is_no_application_has_nothing_to_be_configured(cluster, opened, migration):
    result = await prepare(opened, migration)

    assert (result.status, await mark(opened, migration)) == (StepStatus.ALREADY, "true")


async def test_what_was_noted_first_stays(opened, leaving):
    noted = {CNI_UNINSTALL: "false"}
    await change_migration(opened.api, leaving.id, lambda found: found.model_copy(update={"marks": noted}))

    assert (await prepare(opened, leaving)).status is StepStatus.ALREADY
    assert await mark(opened, leaving) == "false"
