"""Seeing a new kube-proxy mode through: rolled by KKP where it does, restarted once where it doesn't."""

import asyncio
import contextlib
from datetime import timedelta

import pytest

from clusters import narrowing
from clusters.journal import change_migration, read_migration
from clusters.kinds import CLUSTERS, CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS
from clusters.steps import proxy_mode
from clusters.steps.marks import CHECKSUM, OPERATOR, PROXY_MODE, mark_workloads, record_marks
from clusters.steps.proxy_mode import wait_for_proxy_mode
from clusters.steps.switching import allow_cni_migration, switch_proxy_mode
from migration.errors import DeadlineExceeded
from migration.models import ProxyMode, Runbook, StepStatus
from migration.proxy_mode import configured_mode
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import (
    LONG,
    SYSTEM,
    begin,
    begin_to_canal,
    generation_of,
    is_configured,
    put_on_cilium,
    uids_of,
)
from tests.seed_api import seed_api

PROXY = {"method": "PATCH", "path": "/daemonsets/kube-proxy$"}


async def begin_change(cluster, opened, mode):
    migration = await begin(cluster, opened, Runbook.CHANGE_PROXY_MODE, desired_proxy_mode=mode)
    await allow_cni_migration(opened)
    return migration


async def see_through(opened, migration, *, deadline=LONG):
    return await wait_for_proxy_mode(opened, await read_migration(opened.api, migration.id), deadline=deadline)


async def restarted_by_us(api, name="kube-proxy"):
    template = (await api.get(DAEMON_SETS, name, namespace=SYSTEM))["spec"]["template"]
    return "cni-migration/restarted-for" in (template["metadata"].get("annotations") or {})


async def test_kkp_rolls_kube_proxy_by_itself_and_nobody_does_it_twice(cluster, opened):
    migration = await begin_change(cluster, opened, ProxyMode.IPVS)
    before, proxies = await generation_of(opened.api, "kube-proxy"), await uids_of(opened.api, "kube-proxy")

    await switch_proxy_mode(opened, migration)
    result = await see_through(opened, migration)

    assert (result.status, result.summary) == (
        StepStatus.CONFIRMED,
        "kube-proxy mode ipvs is in effect on every node",
    )
    assert await generation_of(opened.api, "kube-proxy") == before + 1
    assert not await restarted_by_us(opened.api)
    assert not proxies & await uids_of(opened.api, "kube-proxy")
    await see_through(opened, migration)
    assert await generation_of(opened.api, "kube-proxy") == before + 1


class TestOnAKkpThatDoesNotRoll:
    """A KKP before 2.30: paused, its hand in kube-proxy's configuration played here, for the lab's rolls."""

    @pytest.fixture
    async def changing(self, cluster, opened, monkeypatch):
        monkeypatch.setattr(proxy_mode, "ROLL_PATIENCE_SECONDS", 0.3)
        migration = await begin_change(cluster, opened, ProxyMode.IPVS)
        await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": {"pause": True}})
        await becomes(lambda: runs_without_checksum(opened.api))
        await switch_proxy_mode(opened, migration)
        await configure(opened.api, "ipvs")
        return migration

    async def test_kube_proxy_is_restarted_once(self, opened, changing):
        before, proxies = await generation_of(opened.api, "kube-proxy"), await uids_of(opened.api, "kube-proxy")

        await see_through(opened, changing)
        await see_through(opened, changing)

        assert await generation_of(opened.api, "kube-proxy") == before + 1
        assert await restarted_by_us(opened.api)
        assert not proxies & await uids_of(opened.api, "kube-proxy")

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_a_run_that_was_killed_at_the_restart_is_followed_by_one_restart(
        self, cluster, opened, changing, trouble
    ):
        before = await generation_of(opened.api, "kube-proxy")
        await kill_at(cluster, see_through(opened, changing), trouble, **PROXY)

        await see_through(opened, changing)

        assert await generation_of(opened.api, "kube-proxy") == before + 1

    @pytest.mark.parametrize("trouble", ["500", "429", "reset"])
    async def test_trouble_makes_no_second_restart(self, cluster, opened, changing, trouble):
        before = await generation_of(opened.api, "kube-proxy")
        cluster.fault(trouble, **PROXY, times=2)

        await see_through(opened, changing)

        assert await generation_of(opened.api, "kube-proxy") == before + 1

    async def test_a_later_migration_restarts_it_again(self, cluster, opened, changing):
        await see_through(opened, changing)
        done = {"finished_at": changing.started_at}
        await change_migration(opened.api, changing.id, lambda found: found.model_copy(update=done))
        before = await generation_of(opened.api, "kube-proxy")

        later = await begin_change(cluster, opened, ProxyMode.NFTABLES)
        await switch_proxy_mode(opened, later)
        await configure(opened.api, "nftables")
        await see_through(opened, later)

        assert await generation_of(opened.api, "kube-proxy") == before + 1


async def configure(api, mode):
    config = (await api.get(CONFIG_MAPS, "kube-proxy", namespace=SYSTEM))["data"]["config.conf"]
    changed = config.replace(f"mode: {configured_mode(config)}", f"mode: {mode}")
    assert changed != config
    await api.patch(CONFIG_MAPS, "kube-proxy", {"data": {"config.conf": changed}}, namespace=SYSTEM)


async def runs_without_checksum(api):
    """Take KKP's checksum away, as often as it had begun to write it, and tell whether kube-proxy is rolled out."""
    found = await api.get(DAEMON_SETS, "kube-proxy", namespace=SYSTEM)
    if CHECKSUM in (found["spec"]["template"]["metadata"].get("annotations") or {}):
        patch = {"spec": {"template": {"metadata": {"annotations": {CHECKSUM: None}}}}}
        await api.patch(DAEMON_SETS, "kube-proxy", patch, namespace=SYSTEM)
        return False
    return narrowing.rollout(found).is_rolled_out


async def test_a_kkp_that_has_the_checksum_but_does_not_roll_is_helped_after_a_while(cluster, opened, monkeypatch):
    monkeypatch.setattr(proxy_mode, "ROLL_PATIENCE_SECONDS", 0.3)
    migration = await begin_change(cluster, opened, ProxyMode.IPVS)
    await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": {"pause": True}})
    await switch_proxy_mode(opened, migration)
    before = await generation_of(opened.api, "kube-proxy")
    running = asyncio.create_task(see_through(opened, migration))
    await becomes(lambda: cluster.was_told("KKP to set kube-proxy's mode to ipvs (its ConfigMap says iptables)"))
    await configure(opened.api, "ipvs")

    await running

    assert await generation_of(opened.api, "kube-proxy") == before + 1
    assert await restarted_by_us(opened.api)


async def test_a_mode_that_nobody_configures_ends_in_a_deadline_that_says_so(cluster, opened):
    migration = await begin_change(cluster, opened, ProxyMode.IPVS)
    await seed_api(opened.seed).patch(CLUSTERS, cluster.name, {"spec": {"pause": True}})
    await switch_proxy_mode(opened, migration)

    with pytest.raises(DeadlineExceeded, match=r"its ConfigMap says iptables\).*it goes on from here"):
        await see_through(opened, migration, deadline=timedelta(seconds=0.3))


async def test_a_mode_that_stays_needs_nothing(cluster, opened, migration):
    result = await see_through(opened, migration)

    assert (result.status, result.summary) == (StepStatus.ALREADY, "kube-proxy mode iptables stays")


async def test_cilium_takes_over_before_anybody_asks_whether_kube_proxy_is_gone(cluster, opened):
    await put_on_cilium(opened)
    migration = await begin_change(cluster, opened, ProxyMode.EBPF)
    agents = await uids_of(opened.api, "cilium")

    await switch_proxy_mode(opened, migration)
    await see_through(opened, migration)

    assert await is_configured(opened.api, "kube-proxy-replacement", "true")
    assert not agents & await uids_of(opened.api, "cilium")
    assert await opened.api.find(DAEMON_SETS, "kube-proxy", namespace=SYSTEM) is None
    assert await opened.api.find(CONFIG_MAPS, "kube-proxy", namespace=SYSTEM) is None


class TestLeavingEbpf:
    @pytest.fixture
    async def leaving(self, cluster, opened):
        await put_on_cilium(opened, mode=ProxyMode.EBPF)
        return await begin_change(cluster, opened, ProxyMode.IPTABLES)

    async def test_agents_and_operator_are_started_anew_exactly_once(self, opened, leaving):
        before = await self.generations(opened)
        agents = await uids_of(opened.api, "cilium")

        await switch_proxy_mode(opened, leaving)
        await see_through(opened, leaving)

        assert await self.generations(opened) == [generation + 1 for generation in before]
        assert not agents & await uids_of(opened.api, "cilium")
        assert await uids_of(opened.api, "kube-proxy")
        await see_through(opened, leaving)
        assert await self.generations(opened) == [generation + 1 for generation in before]

    @pytest.mark.parametrize("path", ["/daemonsets/cilium$", "/deployments/cilium-operator$"])
    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_a_run_that_was_killed_there_restarts_none_twice(self, cluster, opened, leaving, trouble, path):
        """Nobody but the product patches them: for Helm the configuration alone changes."""
        before = await self.generations(opened)
        await switch_proxy_mode(opened, leaving)
        running = asyncio.create_task(
            kill_at(cluster, see_through(opened, leaving), trouble, method="PATCH", path=path)
        )
        with contextlib.suppress(AssertionError):
            await running
        cluster.clear_faults()

        await see_through(opened, leaving)

        assert await self.generations(opened) == [generation + 1 for generation in before]

    async def generations(self, opened):
        return [
            await generation_of(opened.api, "cilium"),
            await generation_of(opened.api, OPERATOR, kind=DEPLOYMENTS),
        ]


async def test_a_cluster_on_ebpf_gets_kube_proxy_before_it_loses_cilium(cluster, opened):
    await put_on_cilium(opened, mode=ProxyMode.EBPF)

    migration = await begin_to_canal(cluster, opened)

    assert migration.desired.proxy_mode == ProxyMode.IPTABLES


class TestMarks:
    async def test_what_was_noted_first_counts(self, cluster, opened, migration):
        await record_marks(opened, migration.id, {"a": "first"})

        await record_marks(opened, migration.id, {"a": "second", "b": "new"})

        assert (await read_migration(opened.api, migration.id)).marks == {"a": "first", "b": "new"}

    async def test_workloads_are_marked_once_per_change(self, cluster, opened, migration):
        await mark_workloads(opened, migration.id, before=PROXY_MODE)
        first = (await read_migration(opened.api, migration.id)).marks
        assert first["proxy-mode/cilium"] == "absent"
        patch = {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}
        await opened.api.patch(DAEMON_SETS, "kube-proxy", patch, namespace=SYSTEM)

        await mark_workloads(opened, migration.id, before=PROXY_MODE)

        assert (await read_migration(opened.api, migration.id)).marks == first

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after", "409"])
    async def test_marks_outlive_a_run_that_was_killed_as_it_wrote_them(self, cluster, opened, migration, trouble):
        where = {"method": "PUT", "path": "/configmaps/cni-migration$"}
        await kill_at(cluster, mark_workloads(opened, migration.id, before=PROXY_MODE), trouble, **where)

        await mark_workloads(opened, migration.id, before=PROXY_MODE)

        marks = (await read_migration(opened.api, migration.id)).marks
        assert set(marks) == {"proxy-mode/kube-proxy", "proxy-mode/cilium", "proxy-mode/cilium-operator"}
