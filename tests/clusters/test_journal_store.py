import asyncio

import pytest

from clusters.journal import TRIES, change_journal, change_migration, read_journal, read_migration
from clusters.kinds import CONFIG_MAPS
from migration.errors import Conflict, OperatorActionNeeded, ServerFault, Unauthorized
from migration.journal import NAME, NAMESPACE, Journal
from tests.unit.making import make_migration

PATH = f"/namespaces/{NAMESPACE}/configmaps"


@pytest.fixture
async def store(api):
    """The API of a cluster without a journal."""
    await remove_journal(api)
    yield api
    await remove_journal(api)


async def remove_journal(api):
    if found := await api.find(CONFIG_MAPS, NAME, namespace=NAMESPACE):
        await api.delete(CONFIG_MAPS, NAME, namespace=NAMESPACE, uid=found["metadata"]["uid"])


def add(migration):
    return lambda found: found.with_migration(migration)


async def test_a_cluster_without_a_journal_has_an_empty_one(store):
    assert await read_journal(store) == Journal()


async def test_a_change_is_kept(store):
    await change_journal(store, add(make_migration()))
    changed = await change_migration(store, "m1", lambda found: found.model_copy(update={"tunnel_port": 9000}))

    assert changed.tunnel_port == 9000
    assert await read_migration(store, "m1") == changed


async def test_a_change_that_changes_nothing_writes_nothing(store):
    await change_journal(store, add(make_migration()))
    before = await store.get(CONFIG_MAPS, NAME, namespace=NAMESPACE)

    await change_journal(store, add(make_migration()))

    assert await store.get(CONFIG_MAPS, NAME, namespace=NAMESPACE) == before


async def test_changes_at_once_are_all_kept(store):
    await change_journal(store, add(make_migration()))

    def owe(number):
        return lambda found: found.model_copy(update={"bare_pods": {**found.bare_pods, f"ns/p{number}": "uid"}})

    await asyncio.gather(*(change_migration(store, "m1", owe(number)) for number in range(5)))

    assert len((await read_migration(store, "m1")).bare_pods) == 5


async def test_the_first_changes_at_once_are_all_kept(store):
    await asyncio.gather(*(change_journal(store, add(make_migration(f"m{number}"))) for number in range(4)))

    assert {migration.id for migration in (await read_journal(store)).migrations} == {"m0", "m1", "m2", "m3"}


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_lost_answer_leaves_one_change(store, shared, method, monkeypatch):
    monkeypatch.setattr("clusters.api.REQUEST_SECONDS", 0.3)
    if method == "PUT":
        await change_journal(store, add(make_migration("m0")))
    shared.fault("timeout-after", method=method, path=PATH)
    applied = []

    def begin(found):
        applied.append(found)
        return found if found.find("m1") else found.with_migration(make_migration())

    await change_journal(store, begin)

    assert len(applied) == 2
    assert [found.id for found in (await read_journal(store)).migrations].count("m1") == 1
    assert shared.lab.remote.faults() == []


@pytest.mark.parametrize("trouble", ["500", "503", "429", "409", "reset"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_step_is_not_repeated_because_its_outcome_was_hard_to_write(
    store, shared, method, trouble, monkeypatch
):
    monkeypatch.setattr("clusters.journal.PAUSE_SECONDS", 0.01)
    if method == "PUT":
        await change_journal(store, add(make_migration("m0")))
    shared.fault(trouble, method=method, path=PATH, times=3)

    await change_journal(store, add(make_migration()))

    assert (await read_migration(store, "m1")).id == "m1"


async def test_trouble_that_lasts_is_told_as_it_is(store, shared, monkeypatch):
    monkeypatch.setattr("clusters.journal.PAUSE_SECONDS", 0.01)
    shared.fault("503", method="POST", path=PATH, times=TRIES)

    with pytest.raises(ServerFault):
        await change_journal(store, add(make_migration()))

    shared.fault("409", method="POST", path=PATH, times=TRIES)
    with pytest.raises(Conflict):
        await change_journal(store, add(make_migration()))
    assert shared.lab.remote.faults() == []


async def test_refused_credentials_end_it_at_once(store, shared):
    shared.fault("401", method="POST", path=PATH)

    with pytest.raises(Unauthorized):
        await change_journal(store, add(make_migration()))


async def test_a_migration_that_somebody_removed_stops_the_run(store):
    await change_journal(store, add(make_migration("m0")))

    with pytest.raises(OperatorActionNeeded, match=r"migration m1 is no longer in ConfigMap kube-system/cni-migration"):
        await change_migration(store, "m1", lambda found: found)
    with pytest.raises(OperatorActionNeeded):
        await read_migration(store, "m1")


async def test_a_journal_that_cannot_be_read_is_not_overwritten(store):
    await change_journal(store, add(make_migration()))
    await store.patch(CONFIG_MAPS, NAME, {"data": {"m1.json": "{"}}, namespace=NAMESPACE)

    with pytest.raises(OperatorActionNeeded, match="can't be read"):
        await change_journal(store, add(make_migration("m2")))

    assert (await store.get(CONFIG_MAPS, NAME, namespace=NAMESPACE))["data"]["m1.json"] == "{"
