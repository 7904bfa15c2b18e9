"""A holder that lost the cluster's lock sends no further change, wherever in a step it is."""

import itertools

import pytest

from clusters import lock as lock_module
from clusters.kinds import CLUSTERS, CONFIG_MAPS
from clusters.lock import try_lock
from clusters.seed import open_cluster
from migration.errors import LockLost, Transient
from migration.journal import NAMESPACE
from tests.clusters.test_lock import let_expire, remove_lease, renewed
from tests.seed_api import seed_api

LEASE_PATH = f"/namespaces/{NAMESPACE}/leases"


def tell(_line):
    pass


@pytest.fixture
async def held(api, shared):
    """A cluster whose lock `run-1` has."""
    await remove_lease(api)
    assert await try_lock(api, "run-1") is None
    yield shared.ref
    await remove_lease(api)


def config_map(name):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def taken_over(api, monkeypatch):
    monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
    await let_expire(api)
    assert await try_lock(api, "run-2") is None


async def test_changes_go_through_while_the_lock_is_held(held, api):
    async with open_cluster(held, tell, holder="run-1") as opened:
        created = await opened.api.create(CONFIG_MAPS, config_map("fence-open"), namespace="default")

        await opened.api.delete(CONFIG_MAPS, "fence-open", namespace="default", uid=created["metadata"]["uid"])


async def test_whoever_lost_the_lock_changes_nothing_more_in_the_user_cluster(held, api, monkeypatch):
    async with open_cluster(held, tell, holder="run-1") as opened:
        await taken_over(api, monkeypatch)

        with pytest.raises(LockLost, match="run run-2 holds the lock"):
            await opened.api.create(CONFIG_MAPS, config_map("fence-shut"), namespace="default")
        assert await opened.api.find(CONFIG_MAPS, "fence-shut", namespace="default") is None


async def test_whoever_lost_the_lock_changes_nothing_more_on_the_seed(held, api, monkeypatch):
    async with open_cluster(held, tell, holder="run-1") as opened:
        before = await seed_api(opened.seed).get(CLUSTERS, held.name)
        await taken_over(api, monkeypatch)

        with pytest.raises(LockLost):
            await opened.seed.label(held.name, present=True)
        assert (await seed_api(opened.seed).get(CLUSTERS, held.name))["metadata"].get("labels") == before[
            "metadata"
        ].get("labels")


async def test_a_cluster_is_not_opened_for_whoever_lost_its_lock(held, api, monkeypatch):
    await taken_over(api, monkeypatch)

    with pytest.raises(LockLost):
        async with open_cluster(held, tell, holder="run-1"):
            pytest.fail("it was opened")


async def test_nothing_is_changed_while_nobody_knows_who_has_the_lock(held, api, shared, monkeypatch):
    async with open_cluster(held, tell, holder="run-1") as opened:
        monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
        shared.fault("500", method="GET", path=LEASE_PATH, times=None)

        with pytest.raises(Transient):
            await opened.api.create(CONFIG_MAPS, config_map("fence-blind"), namespace="default")

        shared.clear_faults()
        assert await opened.api.find(CONFIG_MAPS, "fence-blind", namespace="default") is None


async def test_a_fence_prolongs_the_lock_in_passing(held, api, monkeypatch):
    monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
    monkeypatch.setattr(lock_module, "RENEW_SECONDS", -1)
    async with open_cluster(held, tell, holder="run-1") as opened:
        before = await renewed(api)
        created = await opened.api.create(CONFIG_MAPS, config_map("fence-renews"), namespace="default")
        await opened.api.delete(CONFIG_MAPS, "fence-renews", namespace="default", uid=created["metadata"]["uid"])

        assert await renewed(api) > before


async def test_nothing_is_changed_once_the_lock_can_not_be_prolonged(held, api, shared, monkeypatch):
    async with open_cluster(held, tell, holder="run-1") as opened:
        monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
        monkeypatch.setattr(lock_module, "RENEW_SECONDS", -1)
        shared.fault("500", method="PUT", path=LEASE_PATH, times=None)

        with pytest.raises(Transient, match="could not be renewed"):
            await opened.api.create(CONFIG_MAPS, config_map("fence-stuck"), namespace="default")
        assert await api.find(CONFIG_MAPS, "fence-stuck", namespace="default") is None


async def test_an_answer_that_took_too_long_is_asked_for_again(held, api, shared, monkeypatch):
    """Meanwhile the lease has come near its end: the change would go out when somebody else may have taken it."""
    monkeypatch.setattr("clusters.api.REQUEST_SECONDS", 1.5)
    async with open_cluster(held, tell, holder="run-1") as opened:
        before = await renewed(api)
        monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 0.0)
        monkeypatch.setattr(lock_module, "RENEW_SECONDS", 1.0)
        monkeypatch.setattr(lock_module, "SAFE_SECONDS", 1.0)
        shared.fault("timeout", method="GET", path=LEASE_PATH)

        await opened.api.create(CONFIG_MAPS, config_map("fence-slow"), namespace="default")

        assert await renewed(api) > before
        made = await api.get(CONFIG_MAPS, "fence-slow", namespace="default")
        await api.delete(CONFIG_MAPS, "fence-slow", namespace="default", uid=made["metadata"]["uid"])


async def test_a_machine_that_is_suspended_again_and_again_changes_nothing(held, api, monkeypatch):
    clock = itertools.count(lock_module._now(), lock_module.DURATION_SECONDS)
    async with open_cluster(held, tell, holder="run-1") as opened:
        monkeypatch.setattr(lock_module, "_now", lambda: next(clock))

        with pytest.raises(Transient, match="answers too slowly"):
            await opened.api.create(CONFIG_MAPS, config_map("fence-asleep"), namespace="default")
        assert await api.find(CONFIG_MAPS, "fence-asleep", namespace="default") is None


async def test_a_confirmation_does_not_outlast_the_lease(held, api, monkeypatch):
    """What was seen a moment ago is worth nothing if the lease was prolonged too long ago."""
    async with open_cluster(held, tell, holder="run-1") as opened:
        before = await renewed(api)
        monkeypatch.setattr(lock_module, "CONFIRM_SECONDS", 3600.0)
        monkeypatch.setattr(lock_module, "RENEW_SECONDS", -1)
        monkeypatch.setattr(lock_module, "SAFE_SECONDS", 0.0)

        with pytest.raises(Transient):
            await opened.api.create(CONFIG_MAPS, config_map("fence-late"), namespace="default")
        assert await renewed(api) > before
