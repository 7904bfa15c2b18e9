"""How a cluster of a roll-out stands, by its runs and by what was seen of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from migration.fleet.looks import Need
from migration.fleet.states import ClusterState, Round, Silence, Silences, round_of, status_of, told, without_an_answer
from tests.unit.fleet.making_fleets import NOW, make_look, make_run, ref

C = ref("c1")
FAILURE = (
    "europe/c1: step 'wait for Cilium' failed: cilium-x crash-loops. State: the Cluster's spec says cilium. "
    "To resume: do first what the error says. To go back: possible."
)


def status(*runs, look=None, at=0, began=None):
    began_at = None if began is None else NOW + timedelta(minutes=began)
    return status_of(C, runs, look or make_look(), round_began_at=began_at, now=NOW + timedelta(minutes=at))


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
        (["RUNNING", "CANCELLED", "CANCELLED", "SCHEDULED"], (2, 3)),
    ],
)
def test_each_retry_after_an_end_begins_a_round_and_no_crash_or_wait_does(states, expected):
    number, minute = expected
    began = None if minute is None else NOW + timedelta(minutes=minute)

    assert round_of((NOW + timedelta(minutes=at), state) for at, state in enumerate(states)) == Round(
        number=number, began_at=began
    )


@pytest.mark.parametrize(
    "run",
    [
        {"state": "COMPLETED", "state_name": "StoppedAtSafePoint", "is_errand": True},
        {"state": "CANCELLED"},
    ],
)
def test_what_a_cancellation_leaves_after_a_retry_is_no_failure_of_the_new_round(run):
    found = status(make_run(C, minutes=2, **run), began=1)

    assert found.state is ClusterState.PENDING


def test_a_run_of_the_new_round_that_is_cancelled_has_failed():
    found = status(make_run(C, "CANCELLED", minutes=3, started_at=NOW + timedelta(minutes=2)), began=1)

    assert found.state is ClusterState.FAILED


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

    assert status(cancelled, errand, began=1).state is ClusterState.PENDING
    assert status(cancelled, errand).state is ClusterState.FAILED


def test_silences_count_in_the_round_that_they_are_of():
    kept = Silences(round=2, clusters=(Silence(ref=C, since=NOW),))

    assert Silences.model_validate_json(kept.model_dump_json()).of(2) == {C: NOW}
    assert kept.of(3) == {}
