"""What a roll-out does next; and, over whole roll-outs of any course, what it never does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.fleet.moves import Doing, Rules, next_move, step_aside_until
from migration.fleet.states import GOOD, UNDER_WAY, ClusterState, ClusterStatus
from migration.models import ClusterRef
from tests.unit.fleet.making_fleets import NOW, make_plan, make_status, ref

P, R, W, M, A, F, D = (
    ClusterState.PENDING,
    ClusterState.RUNNING,
    ClusterState.WAITING,
    ClusterState.MIGRATED,
    ClusterState.ALREADY,
    ClusterState.FAILED,
    ClusterState.DECLINED,
)
SOAK = timedelta(minutes=60)


def moved(states, *, at=0, waves=None, **rules):
    """Return the next move of a fleet of 2 canaries and batches of 2, each that is over ended at minute 0."""
    plan = make_plan(len(states), **{"canaries": 2, "batch_size": 2, **(waves or {})})
    refs = [one for wave in plan.waves for one in wave]
    over = (M, F, D)
    statuses = {
        one: make_status(one, state, minutes=0 if state in over else None)
        for one, state in zip(refs, states, strict=True)
    }
    bounds = Rules(**{"concurrent": 2, "soak": SOAK, **rules})
    move = next_move(plan, statuses, bounds, NOW + timedelta(minutes=at))
    return move, [refs.index(one) for one in move.clusters]


@pytest.mark.parametrize(
    ("states", "given", "doing", "clusters"),
    [
        ([P, P, P, P], {}, Doing.START, [0, 1]),
        ([P, P, P, P], {"concurrent": 1}, Doing.START, [0]),
        ([R, P, P, P], {}, Doing.START, [1]),
        ([W, R, P, P], {}, Doing.WAIT, []),
        ([M, R, P, P], {}, Doing.WAIT, []),
        ([M, M, P, P], {}, Doing.SOAK, []),
        ([M, M, P, P], {"at": 60}, Doing.START, [2, 3]),
        ([M, A, P, P], {"at": 60}, Doing.START, [2, 3]),
        ([A, A, P, P], {}, Doing.START, [2, 3]),
        ([M, M, P, A], {}, Doing.SOAK, []),
        ([M, M, P, A], {"asks_after_canaries": True}, Doing.ASK, []),
        ([M, M, R, P], {}, Doing.START, [3]),
        ([M, M, M, M], {}, Doing.END, []),
        ([F, P, P, P], {}, Doing.STOP, [0]),
        ([F, R, P, P], {}, Doing.WAIT, []),
        ([F, P, P, P], {"canary_failure_budget": 1}, Doing.START, [1]),
        ([F, M, P, P], {"canary_failure_budget": 1, "at": 60}, Doing.START, [2, 3]),
        ([F, F, P, P], {"canary_failure_budget": 2, "at": 60}, Doing.STOP, [0, 1]),
        ([D, D, P, P], {"at": 60}, Doing.STOP, []),
        ([D, M, P, P], {"at": 60}, Doing.START, [2, 3]),
        ([M, M, F, P], {}, Doing.STOP, [2]),
        ([M, M, F, R], {}, Doing.WAIT, []),
        ([M, M, F, P], {"failure_budget": 1}, Doing.START, [3]),
        ([M, M, F, M], {"failure_budget": 1}, Doing.END, []),
        ([M, M, P, P], {"asks_after_canaries": True}, Doing.ASK, []),
        ([M, M, P, R], {"asks_after_canaries": True}, Doing.START, [2]),
        ([R, M, M, M, P, P], {"at": 60}, Doing.WAIT, []),
        ([F, F], {"canary_failure_budget": 2}, Doing.END, []),
    ],
)
def test_the_next_move_follows_from_how_the_clusters_stand(states, given, doing, clusters):
    move, started = moved(states, **given)

    assert (move.doing, started) == (doing, clusters)


def test_a_roll_out_that_has_to_stop_holds_back_what_has_not_begun_and_waits_for_the_rest():
    plan = make_plan(4, canaries=0, batch_size=4, concurrent=4)
    failed, running, late, pending = (one for wave in plan.waves for one in wave)
    statuses = {failed: make_status(failed, F, minutes=0), running: make_status(running, R)}
    statuses |= {late: make_status(late, R).model_copy(update={"may_be_held_back": True})}
    statuses |= {pending: make_status(pending, P)}
    rules = Rules(concurrent=4, soak=SOAK)

    move = next_move(plan, statuses, rules, NOW)

    assert (move.doing, move.clusters, move.why) == (
        Doing.HOLD_BACK,
        (late,),
        "1 cluster failed after the canaries, and 0 may",
    )
    left = statuses | {late: make_status(late, P)}
    assert next_move(plan, left, rules, NOW).doing is Doing.WAIT
    assert next_move(plan, left | {running: make_status(running, M, minutes=1)}, rules, NOW).doing is Doing.STOP
    assert next_move(plan, statuses | {failed: make_status(failed, M, minutes=0)}, rules, NOW).doing is Doing.START


def test_a_soak_is_counted_from_the_end_of_the_last_cluster():
    move, _ = moved([M, M, P, P], at=10)

    assert move.until == NOW + SOAK


def test_a_roll_out_that_stops_says_how_many_failed_and_may():
    assert moved([F, M, P])[0].why == "1 canary failed, and 0 may"
    assert moved([M, M, F, F], failure_budget=1)[0].why == "2 clusters failed after the canaries, and 1 may"


@pytest.mark.parametrize(
    ("states", "due", "minutes"),
    [
        ([R, W], 300, None),
        ([W, M], 30, 30),
        ([W, W], 2, None),
        ([W], 600, 60),
        ([W], None, 10),
        ([M, P], None, None),
    ],
)
def test_a_roll_out_leaves_its_worker_if_all_that_is_under_way_waits_for_long(states, due, minutes):
    statuses = {}
    for number, state in enumerate(states):
        due_at = NOW + timedelta(minutes=due) if due and state is W else None
        statuses[ref(f"c{number}")] = make_status(ref(f"c{number}"), state).model_copy(update={"due_at": due_at})

    until = step_aside_until(statuses, NOW)

    assert until == (None if minutes is None else NOW + timedelta(minutes=minutes))


@given(
    data=st.data(),
    count=st.integers(1, 12),
    canaries=st.integers(0, 3),
    concurrent=st.integers(1, 4),
    budget=st.integers(0, 3),
    canary_budget=st.integers(0, 2),
)
def test_whatever_happens_no_cluster_is_started_twice_too_many_at_a_time_too_early_or_too_late(
    *, data, count, canaries, concurrent, budget, canary_budget
):
    plan = make_plan(count, canaries=canaries, batch_size=3)
    rules = Rules(concurrent=concurrent, soak=SOAK, failure_budget=budget, canary_failure_budget=canary_budget)
    statuses = {member.ref: make_status(member.ref, P) for member in plan.members}
    first = set(plan.waves[0]) if plan.has_canaries else set()
    now = NOW
    started: list[ClusterRef] = []
    for _ in range(200):
        move = next_move(plan, statuses, rules, now)
        under_way = [one for one, status in statuses.items() if status.state in UNDER_WAY]
        failed = {one for one, status in statuses.items() if status.state is F}
        if move.doing is Doing.START:
            assert not set(move.clusters) & set(started)
            assert len(under_way) + len(move.clusters) <= concurrent
            assert len(failed & first) <= canary_budget
            assert len(failed - first) <= budget
            if set(move.clusters) - first:
                assert not any(statuses[one].is_open for one in first)
                assert not first or any(statuses[one].state in GOOD for one in first)
            started += move.clusters
            for one in move.clusters:
                statuses[one] = ClusterStatus(ref=one, state=R, run_id="run")
        elif move.doing is Doing.SOAK:
            assert not under_way
            now = max(now, move.until or now)
        elif move.doing is Doing.WAIT:
            assert under_way
            one = data.draw(st.sampled_from(under_way))
            now += timedelta(minutes=1)
            end = data.draw(st.sampled_from([M, M, M, F, W, D]))
            statuses[one] = ClusterStatus(ref=one, state=end, run_id="run", ended_at=None if end is W else now)
        else:
            break
    else:
        pytest.fail("it never ends")
    assert not any(status.state in UNDER_WAY for status in statuses.values())
    if move.doing is Doing.END:
        assert not any(status.is_open for status in statuses.values())


def test_a_cluster_that_never_answered_delays_no_soak_for_nothing_was_done_there():
    plan = make_plan(3, canaries=1, batch_size=1)
    first, dark, last = (one for wave in plan.waves for one in wave)
    blind = ClusterStatus(ref=dark, state=F, ended_at=NOW + timedelta(hours=9))
    statuses = {first: make_status(first, M, minutes=0), dark: blind, last: make_status(last, P)}
    rules = Rules(concurrent=2, soak=SOAK, failure_budget=1)

    move = next_move(plan, statuses, rules, NOW + timedelta(hours=1))

    assert (move.doing, move.clusters) == (Doing.START, (last,))


def test_a_wave_has_begun_once_one_of_its_clusters_was_asked_for_and_gave_no_answer():
    plan = make_plan(4, canaries=2, batch_size=2)
    one, other, dark, last = (each for wave in plan.waves for each in wave)
    statuses = {each: make_status(each, M, minutes=0) for each in (one, other)}
    statuses |= {dark: ClusterStatus(ref=dark, state=F, ended_at=NOW), last: make_status(last, P)}

    move = next_move(plan, statuses, Rules(concurrent=2, soak=SOAK, failure_budget=1), NOW)

    assert (move.doing, move.clusters) == (Doing.START, (last,))
