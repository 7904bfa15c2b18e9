import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from clusters.kinds import LEASES
from clusters.lock import DURATION_SECONDS, release_lock, renew_lock, still_held, try_lock
from clusters.steps.locking import free_lock
from migration.errors import Conflict, LockLost, Transient, Unauthorized
from migration.journal import NAME, NAMESPACE

PATH = f"/namespaces/{NAMESPACE}/leases"


@pytest.fixture
async def free(api):
    """The API of a cluster without a lock."""
    await remove_lease(api)
    yield api
    await remove_lease(api)


async def remove_lease(api):
    if found := await api.find(LEASES, NAME, namespace=NAMESPACE):
        await api.delete(LEASES, NAME, namespace=NAMESPACE, uid=found["metadata"]["uid"])


async def holder_of(api):
    return (await api.get(LEASES, NAME, namespace=NAMESPACE))["spec"]["holderIdentity"]


async def renewed(api):
    return (await api.get(LEASES, NAME, namespace=NAMESPACE))["spec"]["renewTime"]


async def let_expire(api, *, seconds=DURATION_SECONDS + 1):
    moment = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    await api.patch(LEASES, NAME, {"spec": {"renewTime": moment}}, namespace=NAMESPACE)


async def acquire(api, holder):
    assert await try_lock(api, holder) is None


async def test_of_many_only_one_has_the_lock(free):
    answers = await asyncio.gather(*(try_lock(free, f"run-{n}") for n in range(6)))

    assert answers.count(None) == 1
    assert {answer for answer in answers if answer} == {f"run {await holder_of(free)}"}


async def test_a_held_lock_names_its_holder(free):
    await acquire(free, "run-1")

    assert await try_lock(free, "run-2") == "run run-1"
    assert await holder_of(free) == "run-1"


def test_a_lock_that_stays_held_says_what_to_do():
    told = str(still_held("lab/a", "run run-1", waited=timedelta(hours=1)))

    assert "run run-1 has the lock of lab/a" in told
    assert "expires 60 s" in told


async def test_the_holder_may_ask_again(free):
    await acquire(free, "run-1")
    await acquire(free, "run-1")

    assert (await free.get(LEASES, NAME, namespace=NAMESPACE))["spec"]["leaseTransitions"] == 0


async def test_the_lock_of_a_dead_run_expires(free):
    await acquire(free, "run-1")
    await let_expire(free)

    await acquire(free, "run-2")

    found = await free.get(LEASES, NAME, namespace=NAMESPACE)
    assert (found["spec"]["holderIdentity"], found["spec"]["leaseTransitions"]) == ("run-2", 1)


async def test_a_lock_that_is_about_to_expire_is_still_held(free):
    await acquire(free, "run-1")
    await let_expire(free, seconds=DURATION_SECONDS - 5)

    assert await try_lock(free, "run-2") == "run run-1"


async def test_renewal_prolongs_the_lock(free):
    await acquire(free, "run-1")
    before = (await free.get(LEASES, NAME, namespace=NAMESPACE))["spec"]

    await renew_lock(free, "run-1")

    after = (await free.get(LEASES, NAME, namespace=NAMESPACE))["spec"]
    assert after["renewTime"] > before["renewTime"]
    assert after["acquireTime"] == before["acquireTime"]


async def test_a_late_renewal_is_good_as_long_as_nobody_took_the_lock(free):
    await acquire(free, "run-1")
    await let_expire(free)

    await renew_lock(free, "run-1")

    assert await try_lock(free, "run-2") == "run run-1"


async def test_a_lock_that_was_taken_over_is_lost(free):
    await acquire(free, "run-1")
    await let_expire(free)
    await acquire(free, "run-2")

    with pytest.raises(LockLost, match="run run-2 holds the lock"):
        await renew_lock(free, "run-1")
    assert await holder_of(free) == "run-2"


async def test_a_lock_that_another_run_had_meanwhile_is_lost_though_it_is_free_again(free):
    await acquire(free, "run-1")
    await let_expire(free)
    await acquire(free, "run-2")
    await release_lock(free, "run-2")

    with pytest.raises(LockLost, match="nobody holds the lock"):
        await renew_lock(free, "run-1")
    assert await holder_of(free) == ""


async def test_a_lease_that_somebody_removed_is_lost(free):
    await acquire(free, "run-1")
    await remove_lease(free)

    with pytest.raises(LockLost):
        await renew_lock(free, "run-1")


async def test_nobody_frees_the_lock_of_another(free):
    await acquire(free, "run-1")

    await release_lock(free, "run-2")

    assert await holder_of(free) == "run-1"


async def test_freeing_what_is_not_there_is_no_error(free):
    await release_lock(free, "run-1")


async def test_a_freed_lock_is_free(free):
    await acquire(free, "run-1")
    await release_lock(free, "run-1")

    await acquire(free, "run-2")


async def test_a_lock_is_freed_though_its_renewal_came_in_between(free, shared):
    """A renewal that was broken off may still reach the server: for a minute nobody else could work on the cluster."""
    await acquire(free, "run-1")
    shared.fault("409", method="PATCH", path=PATH, times=3)

    await release_lock(free, "run-1")

    assert await holder_of(free) == ""


async def test_a_lock_is_freed_though_the_seed_does_not_answer_for_a_while(free, shared, monkeypatch):
    """The way into the cluster leads over the seed: one that failed four times left the lock held for a minute."""
    monkeypatch.setattr("clusters.steps.locking.PAUSES_SECONDS", (0.05, 0.05, 0.05))
    await acquire(free, "run-1")
    shared.seed_fault("503", method="GET", times=6)

    await free_lock(shared.ref, "run-1", lambda line: None)

    assert await holder_of(free) == ""


@pytest.mark.parametrize("trouble", ["500", "503", "429", "409", "reset"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_trouble_with_one_answer_costs_no_lock(free, shared, method, trouble):
    if method == "PUT":
        await acquire(free, "run-0")
        await release_lock(free, "run-0")
    shared.fault(trouble, method=method, path=PATH)

    await acquire(free, "run-1")

    assert await holder_of(free) == "run-1"


@pytest.mark.parametrize("trouble", ["500", "429", "409", "reset", "timeout", "timeout-after"])
async def test_trouble_with_one_renewal_loses_no_lock(free, shared, monkeypatch, trouble):
    monkeypatch.setattr("clusters.api.REQUEST_SECONDS", 0.3)
    await acquire(free, "run-1")
    before = await renewed(free)
    shared.fault(trouble, method="PUT", path=PATH)

    await renew_lock(free, "run-1")

    assert await holder_of(free) == "run-1"
    assert await renewed(free) > before


@pytest.mark.parametrize("trouble", ["500", "429", "409", "reset"])
async def test_a_renewal_that_never_gets_through_is_no_success(free, shared, trouble):
    """The lease still named its holder, which took that for a renewal: it went on until after the lease's end."""
    await acquire(free, "run-1")
    before = await renewed(free)
    shared.fault(trouble, method="PUT", path=PATH, times=None)

    with pytest.raises(Transient, match="could not be renewed in 3 tries") as caught:
        await renew_lock(free, "run-1")

    # As for a change: that one would say that its object is another by now.
    assert not isinstance(caught.value, Conflict)
    assert await renewed(free) == before


async def test_a_lock_is_not_held_because_a_lease_that_was_never_prolonged_has_its_holder_s_name(free, shared):
    await acquire(free, "run-1")
    await let_expire(free)
    shared.fault("500", method="PUT", path=PATH, times=None)

    with pytest.raises(Transient):
        await try_lock(free, "run-1")


async def test_a_lost_answer_still_gives_the_lock(free, shared, monkeypatch):
    monkeypatch.setattr("clusters.api.REQUEST_SECONDS", 0.3)
    shared.fault("timeout-after", method="POST", path=PATH)

    await acquire(free, "run-1")

    assert await holder_of(free) == "run-1"


async def test_refused_credentials_end_the_waiting(free, shared):
    shared.fault("401", method="POST", path=PATH)

    with pytest.raises(Unauthorized):
        await try_lock(free, "run-1")


async def test_a_lock_that_nobody_keeps_is_not_waited_for(free, shared):
    """A run would else be put off because `nobody works on this cluster`."""
    shared.fault("409", method="POST", path=PATH, times=2)

    await acquire(free, "run-1")


async def test_a_lock_that_can_not_be_taken_though_nobody_has_it_is_tried_again_later(free, shared):
    shared.fault("409", method="POST", path=PATH, times=9)

    with pytest.raises(Conflict, match="though nobody has it"):
        await try_lock(free, "run-1")
