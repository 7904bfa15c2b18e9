"""Changes by the REST API: once, confirmed by a look, fenced by the lock, through the lab's trouble."""

from __future__ import annotations

import asyncio
import json

import pytest

from clusters import lock as lock_module
from clusters.kinds import CLUSTERS, LEASES
from clusters.kkp_api import client, shape
from clusters.kkp_api.seed import KkpSeed
from clusters.lock import try_lock
from clusters.seed import open_cluster, open_seed
from clusters.watching import watching
from migration.errors import (
    Conflict,
    LockLost,
    Permanent,
    Rejected,
    ServerFault,
    Throttled,
)
from migration.models import ClusterRef, Network
from migration.patches import INITIAL_VALUES, UNSAFE_CNI_MIGRATION, label_patch
from tests.clusters.conftest import SOON
from tests.seed_api import seed_api
from tests.unit.making import CANAL, CILIUM

VALUES = {"tunnelPort": 8473, "operator": {"replicas": 1}}


def switch(seed, cluster, desired=CILIUM, mode="iptables"):
    return seed.switch_network(
        cluster.name,
        expected=Network(cni=CANAL, proxy_mode="iptables"),
        desired=Network(cni=desired, proxy_mode=mode),
        helm_values=VALUES,
    )


def patches(cluster):
    """How many patches the REST API has answered."""
    counted = cluster.lab.remote.requests().get("kkp", {})
    return sum(count for what, count in counted.items() if what.startswith("patch"))


class Turns(asyncio.Semaphore):
    """Slots, and whether somebody wants one."""

    def __init__(self, value):
        super().__init__(value)
        self.wanted = asyncio.Event()

    async def acquire(self):
        self.wanted.set()
        return await super().acquire()


class TestChanging:
    async def stored(self, cluster):
        async with open_seed("lab") as other:
            return await seed_api(other).get(CLUSTERS, cluster.name)

    async def test_the_label_is_set_and_taken_off_once(self, seed, cluster):
        labels = (await self.stored(cluster))["metadata"]["labels"]

        changes = [await seed.label(cluster.name, present=present) for present in (True, True, False, False)]

        assert changes == [True, False, True, False]
        assert (await self.stored(cluster))["metadata"]["labels"] == labels

    async def test_network_and_values_go_in_one_patch(self, seed, cluster):
        await seed.label(cluster.name, present=True)
        async with open_seed("lab") as other:
            await seed_api(other).patch(CLUSTERS, cluster.name, {"spec": {"pause": True}})
        before = patches(cluster)

        assert await switch(seed, cluster)
        assert not await switch(seed, cluster)

        found = await self.stored(cluster)
        assert json.loads(found["metadata"]["annotations"][INITIAL_VALUES]) == VALUES
        assert found["spec"]["cniPlugin"] == {"type": "cilium", "version": CILIUM.version}
        assert patches(cluster) == before + 1

    async def test_a_refusal_has_kkp_s_own_words(self, seed, cluster):
        with pytest.raises(Rejected, match=r"invalid cluster: .*unsafe-cni-migration"):
            await switch(seed, cluster)

    async def test_what_somebody_else_changed_is_left_alone(self, seed, cluster):
        with pytest.raises(Permanent, match="somebody else works on it"):
            await seed.switch_network(
                cluster.name,
                expected=Network(cni=CANAL, proxy_mode="ipvs"),
                desired=Network(cni=CILIUM, proxy_mode="ipvs"),
            )

    @pytest.mark.parametrize("what", ["500", "503", "429", "409", "reset"])
    async def test_trouble_that_passes_is_outlived(self, seed, cluster, trouble, what):
        trouble(what, times=2, method="PATCH")
        if what != "409":
            trouble(what, times=2, method="GET")

        assert await seed.label(cluster.name, present=True)
        assert UNSAFE_CNI_MIGRATION in (await self.stored(cluster))["metadata"]["labels"]

    async def test_a_seed_that_goes_before_a_change_is_outlived(self, seed, cluster, trouble):
        trouble("404", times=1, method="PATCH")

        assert await seed.label(cluster.name, present=True)
        assert UNSAFE_CNI_MIGRATION in (await self.stored(cluster))["metadata"]["labels"]

    async def test_a_change_whose_answer_was_lost_is_found_to_be_made(self, seed, cluster, trouble, monkeypatch):
        monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
        await seed.cluster(cluster.name)
        trouble("timeout-after", times=1, method="PATCH")
        before = patches(cluster)

        assert await seed.label(cluster.name, present=True)

        assert UNSAFE_CNI_MIGRATION in (await self.stored(cluster))["metadata"]["labels"]
        assert patches(cluster) == before + 1

    async def test_a_change_that_was_not_made_in_time_is_made_then(self, seed, cluster, trouble, monkeypatch):
        monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
        trouble("timeout", times=1, method="PATCH")

        assert await seed.label(cluster.name, present=True)

    @pytest.mark.parametrize(("what", "error"), [("409", Conflict), ("503", ServerFault), ("429", Throttled)])
    async def test_trouble_that_lasts_ends_in_an_error_that_may_be_tried_again(
        self, seed, cluster, trouble, what, error
    ):
        trouble(what, method="PATCH", times=None)

        with pytest.raises(error, match="KKP API lab-api"):
            await seed.label(cluster.name, present=True)
        assert UNSAFE_CNI_MIGRATION not in (await self.stored(cluster))["metadata"]["labels"]

    async def test_what_the_api_passes_over_in_silence_is_an_error(self, seed, cluster):
        with pytest.raises(Rejected, match=r"passed over spec\.pause: this KKP doesn't change that"):
            await seed._patch(cluster.name, {"spec": {"pause": True}})

    def test_a_patch_is_compared_field_by_field(self):
        patch = {"labels": {"a": "true", "b": None}, "spec": {"cniPlugin": {"type": "cilium"}, "pause": True}}

        assert shape.not_taken(patch, {"labels": {"a": "true"}, "spec": {"cniPlugin": {"type": "canal"}}}) == (
            "spec.cniPlugin.type",
            "spec.pause",
        )
        assert shape.not_taken({"labels": {"b": None}}, {"labels": {"b": "x"}}) == ("labels.b",)

    async def test_whoever_lost_the_lock_changes_nothing_more(self, cluster, opened, monkeypatch):
        assert await try_lock(opened.api, "run-1") is None
        ref = ClusterRef(seed="lab-api", name=cluster.name)
        async with open_cluster(ref, cluster.told.append, holder="run-1") as fenced:
            assert await fenced.seed.label(cluster.name, present=True)
            monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
            lease = await opened.api.get(LEASES, "cni-migration", namespace="kube-system")
            lease["spec"]["holderIdentity"] = "run-2"
            await opened.api.replace(LEASES, lease, namespace="kube-system")
            before = patches(cluster)

            with pytest.raises(LockLost):
                await fenced.seed.label(cluster.name, present=False)
            assert patches(cluster) == before

    async def test_nor_does_whoever_lost_it_while_waiting_for_its_turn(self, cluster, opened, monkeypatch):
        assert await try_lock(opened.api, "run-1") is None
        ref = ClusterRef(seed="lab-api", name=cluster.name)
        async with open_cluster(ref, cluster.told.append, holder="run-1") as fenced:
            assert await fenced.seed.label(cluster.name, present=True)
            before = patches(cluster)
            assert isinstance(fenced.seed, KkpSeed)
            turns = Turns(0)
            monkeypatch.setattr(fenced.seed._api, "_slots", turns)
            changing = asyncio.create_task(fenced.seed._patch(cluster.name, label_patch(present=False)))
            await turns.wanted.wait()
            monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
            lease = await opened.api.get(LEASES, "cni-migration", namespace="kube-system")
            lease["spec"]["holderIdentity"] = "run-2"
            await opened.api.replace(LEASES, lease, namespace="kube-system")
            turns.release()

            with pytest.raises(LockLost):
                await changing
            assert patches(cluster) == before


class TestWaiting:
    async def test_a_view_sees_a_change_without_being_told(self, seed, cluster):
        live = seed.live_cluster(cluster.name)
        async with watching(live) as view:
            await view.listed()
            async with open_seed("lab") as other:
                await other.label(cluster.name, present=True)

            def judge():
                facts = live.get(cluster.name)
                return None if facts and UNSAFE_CNI_MIGRATION in facts.labels else "the label"

            await view.until(judge, what="the label", deadline=SOON, tell=cluster.told.append)

    async def test_trouble_does_not_end_it(self, seed, cluster, trouble):
        live = seed.live_cluster(cluster.name)
        async with watching(live) as view:
            await view.listed()
            trouble("503", times=8)
            await view.until(
                lambda: None if live.fault else "a fault", what="a fault", deadline=SOON, tell=cluster.told.append
            )
            await view.until(
                lambda: "an answer" if live.fault else None, what="an answer", deadline=SOON, tell=cluster.told.append
            )
