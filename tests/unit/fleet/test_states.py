"""How a cluster of a roll-out stands, by its runs and by what was seen of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from migration.fleet.looks import Need
from migration.fleet.runs import Round, round_of
from migration.fleet.states import ClusterState, Silence, Silences, status_of, told, without_an_answer
from tests.unit.fleet.making_fleets import NOW, make_look, make_run, ref

C = ref("c1")
FAILURE = (
    "europe/c1: step 'wait for Cilium' failed: cilium-x crash-loops. State: the Cluster's spec says cilium. "
    "To resume: do first what the error says. To go back: possible."
)


def status(*runs, look=None, at=0, began=None, cancelled=False):
    """Return the status in a round that began at this minute, after one that failed or was cancelled."""
    began_at = None if began is None else NOW + timedelta(minutes=began)
    found = Round(number=1 if began is None else 2, began_at=began_at, follows_cancellation=cancelled)
    return status_of(C, runs, look or make_look(), of=found, now=NOW + timedelta(minutes=at))


@pytest.mark.parametrize(
    ("run", "expected", "what"),
    [
        ({"state": "RUNNING"}, ClusterState.RUNNING, ""),
        ({"state": "SCHEDULED"}, ClusterState.RUNNING, "is about to start"),
        ({"state": "SCHEDULED", "state_name": "Late"}, ClusterState.RUNNING, "no worker has taken it up"),
        (
            {"state": "SCHEDULED", "state_name": "AwaitingWindow", "due_at": NOW},
            ClusterState.WAITING,
            "Mon 2026-11-23 12:00",
        ),
        ({"state": "SCHEDULED", "state_name": "AwaitingClusterLock"}, ClusterState.WAITING, "another run's lock"),
        ({"state": "PAUSED", "state_name": "Suspended"}, ClusterState.WAITING, "a person's approval"),
        ({"state": "CANCELLING"}, ClusterState.RUNNING, "is being cancelled"),
        ({"state": "CRASHED"}, ClusterState.RUNNING, "resume-interrupted takes it up"),
        ({"state": "CRASHED", "is_given_up": True}, ClusterState.FAILED, "nobody took the run up"),
        ({"state": "COMPLETED"}, ClusterState.MIGRATED, ""),
        ({"state": "COMPLETED", "state_name": "StoppedAtSafePoint"}, ClusterState.FAILED, "stopped at a safe point"),
        (
            {"state": "FAILED", "message": FAILURE},
            ClusterState.FAILED,
            "step 'wait for Cilium' failed: cilium-x crash-loops",
        ),
        ({"state": "CANCELLED"}, ClusterState.FAILED, "somebody cancelled its run"),
        ({"state": "CANCELLED", "state_name": "NotApproved"}, ClusterState.DECLINED, "did not agree"),
    ],
)
def test_a_cluster_stands_as_its_run_does(run, expected, what):
    found = status(make_run(C, **run))

    assert found.state is expected
    assert what in found.what


def test_a_crashed_run_that_nobody_takes_up_has_failed_after_a_while():
    crashed = make_run(C, "CRASHED")

    assert status(crashed, at=29).state is ClusterState.RUNNING
    assert status(crashed, at=31).state is ClusterState.FAILED


def test_a_retried_or_following_run_counts_as_under_way_whatever_ended_before():
    cancelled, errand = make_run(C, "CANCELLED", minutes=3), make_run(C, "RUNNING", minutes=1, id="errand")

    assert status(cancelled, errand).run_id == "errand"
    assert status(cancelled, errand).state is ClusterState.RUNNING


def test_what_failed_before_somebody_pressed_retry_is_tried_again_and_what_is_migrated_never():
    assert status(make_run(C, "FAILED"), began=5).state is ClusterState.PENDING
    assert status(make_run(C, "FAILED", minutes=6), began=5).state is ClusterState.FAILED
    assert status(make_run(C, "COMPLETED"), began=5).state is ClusterState.MIGRATED


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        (Need.MIGRATION, ClusterState.PENDING),
        (Need.COMPLETION, ClusterState.PENDING),
        (Need.UNKNOWN, ClusterState.PENDING),
        (Need.NONE, ClusterState.ALREADY),
        (Need.LEFT_OUT, ClusterState.LEFT_OUT),
    ],
)
def test_without_a_run_a_cluster_stands_as_it_was_seen(need, expected):
    assert status(look=make_look(need, reason="so")).state is expected


def test_a_cluster_without_an_answer_has_failed_when_patience_ends():
    look = make_look(Need.UNKNOWN, reason="connection refused")

    assert without_an_answer(C, look, NOW, NOW + timedelta(minutes=14)).state is ClusterState.WAITING
    failed = without_an_answer(C, look, NOW, NOW + timedelta(minutes=15))
    assert failed.state is ClusterState.FAILED
    assert failed.what == "can't be looked at since 12:00 UTC: connection refused"


def test_a_failure_is_told_with_step_cause_and_advice():
    assert told(FAILURE, C) == (
        "step 'wait for Cilium' failed: cilium-x crash-loops",
        "do first what the error says",
    )
    assert told(FAILURE.replace("do first what", "mend the cause, then"), C)[1] == ""
    assert told("a\n  b", C) == ("a b", "")
    assert told("x" * 900, C)[0].endswith("x [...]")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["SCHEDULED", "PENDING", "RUNNING"], (1, None)),
        (["RUNNING", "SCHEDULED", "RUNNING"], (1, None)),
        (["RUNNING", "CRASHED", "SCHEDULED", "RUNNING"], (1, None)),
        (["RUNNING", "FAILED", "SCHEDULED", "PENDING", "RUNNING"], (2, 2)),
        (["RUNNING", "FAILED", "SCHEDULED", "RUNNING", "CRASHED", "SCHEDULED"], (2, 2)),
        (["RUNNING", "FAILED", "SCHEDULED", "FAILED", "SCHEDULED"], (3, 4)),
        (["RUNNING", "CANCELLED", "CANCELLED", "SCHEDULED"], (2, 3, True)),
        (["RUNNING", "CANCELLED", "SCHEDULED", "FAILED", "SCHEDULED"], (3, 4)),
        (["RUNNING", "CANCELLED", "SCHEDULED", "CRASHED", "SCHEDULED"], (2, 2, True)),
    ],
)
def test_each_retry_after_an_end_begins_a_round_and_no_crash_or_wait_does(states, expected):
    number, minute, *cancelled = expected
    began = None if minute is None else NOW + timedelta(minutes=minute)

    assert round_of((NOW + timedelta(minutes=at), state) for at, state in enumerate(states)) == Round(
        number=number, began_at=began, follows_cancellation=cancelled == [True]
    )


@pytest.mark.parametrize(
    "run",
    [
        {"state": "COMPLETED", "state_name": "StoppedAtSafePoint", "is_errand": True},
        {"state": "CANCELLED"},
    ],
)
def test_what_a_cancellation_leaves_after_a_retry_is_no_failure_of_the_new_round(run):
    found = status(make_run(C, minutes=2, **run), began=1, cancelled=True)

    assert found.state is ClusterState.PENDING


def test_a_run_of_the_new_round_that_is_cancelled_has_failed():
    found = status(make_run(C, "CANCELLED", minutes=3, started_at=NOW + timedelta(minutes=2)), began=1, cancelled=True)

    assert found.state is ClusterState.FAILED


@pytest.mark.parametrize(
    ("name", "expected"), [("Cancelled", ClusterState.FAILED), ("NotApproved", ClusterState.DECLINED)]
)
def test_nor_is_one_forgotten_that_began_in_the_round_before_if_nobody_had_cancelled_that(name, expected):
    """Prefect keeps the first start of a run that is retried: it tells nothing of when somebody ended it."""
    retried_on_its_page = make_run(C, "CANCELLED", state_name=name, minutes=3, started_at=NOW)

    assert status(retried_on_its_page, began=1).state is expected


def test_nor_is_an_errand_that_began_only_after_the_retry():
    cancelled = make_run(C, "CANCELLED", minutes=2, id="first")
    errand = make_run(
        C,
        "COMPLETED",
        minutes=4,
        id="errand",
        state_name="StoppedAtSafePoint",
        is_errand=True,
        started_at=NOW + timedelta(minutes=3),
    )

    assert status(cancelled, errand, began=1, cancelled=True).state is ClusterState.PENDING
    assert status(cancelled, errand).state is ClusterState.FAILED


@pytest.mark.parametrize(
    ("run", "may"),
    [
        ({"state": "SCHEDULED", "started_at": None}, True),
        ({"state": "SCHEDULED", "state_name": "Late", "started_at": None}, True),
        ({"state": "PENDING", "started_at": None}, True),
        ({"state": "SCHEDULED", "state_name": "AwaitingWindow"}, True),
        ({"state": "SCHEDULED", "state_name": "AwaitingClusterLock"}, True),
        ({"state": "PAUSED", "state_name": "Suspended"}, True),
        ({"state": "SCHEDULED", "state_name": "AwaitingRetry"}, False),
        ({"state": "RUNNING"}, False),
        ({"state": "CRASHED"}, False),
        ({"state": "CANCELLING"}, False),
        ({"state": "SCHEDULED", "started_at": None, "is_own": False}, False),
        ({"state": "SCHEDULED", "started_at": None, "is_errand": True}, False),
    ],
)
def test_what_waits_and_is_the_roll_outs_own_may_be_held_back(run, may):
    assert status(make_run(C, **run)).may_be_held_back is may


def test_a_run_that_was_held_back_counts_for_nothing_until_somebody_takes_it_up():
    held = {"is_held_back": True}

    assert status(make_run(C, "CANCELLED", **held)).state is ClusterState.PENDING
    assert status(make_run(C, "COMPLETED", state_name="StoppedAtSafePoint", is_errand=True, **held)).state is (
        ClusterState.PENDING
    )
    assert status(make_run(C, "RUNNING", **held)).state is ClusterState.RUNNING
    assert status(make_run(C, "COMPLETED", **held)).state is ClusterState.MIGRATED
    assert status(make_run(C, "FAILED", **held)).state is ClusterState.FAILED


def test_silences_count_in_the_round_that_they_are_of():
    kept = Silences(round=2, clusters=(Silence(ref=C, since=NOW),))

    assert Silences.model_validate_json(kept.model_dump_json()).of(2) == {C: NOW}
    assert kept.of(3) == {}
