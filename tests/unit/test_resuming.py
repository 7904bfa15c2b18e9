"""Which crashed runs are taken up: a table of what else may be true of the cluster."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from migration.journal import Journal
from migration.late_runs import LateRun
from migration.models import ClusterRef, Runbook
from migration.resuming import (
    MIGRATING_FLOWS,
    CrashedRun,
    Decision,
    Limits,
    OtherRun,
    Resumption,
    Ruling,
    Settled,
    count_crashes,
    decide_by_journal,
    decide_by_runs,
    how_to_resume,
    latest_of,
    was_cancelled,
    was_over,
)
from tests.unit.making import CANAL, CILIUM, make_migration

CLUSTER = ClusterRef(seed="lab", name="hv2c7xk9tl")
BEGUN = datetime(2026, 11, 21, 22, tzinfo=UTC)
CRASHED = BEGUN + timedelta(minutes=10)
NOW = CRASHED + timedelta(minutes=5)
LIMITS = Limits()


def minutes(number):
    return BEGUN + timedelta(minutes=number)


def make_run(**changes):
    fields = {
        "id": "a",
        "name": "canal-to-cilium lab/hv2c7xk9tl",
        "flow": "canal-to-cilium",
        "cluster": CLUSTER,
        "begun_at": BEGUN,
        "crashed_at": CRASHED,
        "crashes": 1,
        "message": "killed",
    }
    return CrashedRun(**{**fields, **changes})


def make_other(**changes):
    fields = {
        "id": "b",
        "name": "another",
        "cluster": CLUSTER,
        "begun_at": minutes(-60),
        "is_over": True,
        "state": "Completed",
    }
    return OtherRun(**{**fields, **changes})


def made(number=1, **changes):
    return make_migration(**{"started_at": minutes(number), **changes})


def open_in(*migrations):
    return Journal(current=migrations[-1].id, migrations=migrations)


@pytest.mark.parametrize(
    ("run", "other", "words"),
    [
        ({}, {}, None),
        ({"given_up": True}, {}, "given up before"),
        ({"crashed_at": NOW - timedelta(seconds=59)}, {}, "59 s ago: for 60 s its worker may still report"),
        ({"crashed_at": NOW - timedelta(seconds=60)}, {}, None),
        ({"crashed_at": NOW - timedelta(hours=25)}, {}, "more than 24 h ago"),
        ({}, {"is_over": False, "state": "Running"}, "run another of this cluster is Running"),
        # What waits for days keeps no cluster from being brought out of the middle of something.
        ({}, {"is_over": False, "state": "AwaitingWindow"}, None),
        ({}, {"is_over": False, "state": "Suspended"}, None),
        ({}, {"is_over": False, "state": "Late"}, None),
        ({}, {"is_over": False, "state": "AwaitingClusterLock"}, "is AwaitingClusterLock"),
        ({}, {"is_over": False, "state": "Scheduled", "begun_at": minutes(90)}, "is Scheduled"),
        ({}, {"is_over": False, "state": "Scheduled", "begun_at": minutes(90), "only_planned": True}, None),
        # What is over may have done nothing at all: the journal tells.
        ({}, {"begun_at": minutes(5), "state": "Failed"}, None),
        ({}, {"begun_at": minutes(5), "state": "Completed"}, None),
        ({}, {"begun_at": minutes(5), "state": "Cancelled"}, None),
        ({}, {"begun_at": minutes(5), "state": "Crashed"}, None),
        ({}, {"id": "a", "is_over": False, "state": "Crashed"}, None),
        ({}, {"cluster": ClusterRef(seed="lab", name="other"), "is_over": False, "state": "Running"}, None),
        ({}, {"cluster": ClusterRef(seed="other", name="hv2c7xk9tl"), "is_over": False, "state": "Running"}, None),
    ],
)
def test_a_run_is_left_if_it_is_fresh_or_old_or_somebody_else_sees_to_its_cluster(run, other, words):
    found = decide_by_runs(make_run(**run), [make_other(**other)], LIMITS, NOW)

    if words is None:
        assert found is None
    else:
        assert found.ruling is Ruling.LEAVE
        assert words in found.reason


FINISHED = {"finished_at": minutes(9)}
REVERT = {"flow": "revert-migration"}
ITSELF_BACK = {"takes_itself_back": True}
WAY_BACK = {"kind": Runbook.CILIUM_TO_CANAL, "previous_cni": CILIUM, "desired_cni": CANAL, "reverts": "m0"}


@pytest.mark.parametrize(
    ("run", "journal", "ruling", "words"),
    [
        ({}, Journal(), Ruling.TAKE_UP, "before it began a migration: attempt 2 of 5"),
        ({}, open_in(made()), Ruling.TAKE_UP, "in migration m1: attempt 2 of 5"),
        ({"crashes": 4}, open_in(made()), Ruling.TAKE_UP, "attempt 5 of 5"),
        ({"crashes": 5}, open_in(made()), Ruling.GIVE_UP, "crashed 5 times, of 5 attempts"),
        # One that an earlier run began.
        ({}, open_in(made(-600)), Ruling.TAKE_UP, "in migration m1"),
        ({}, open_in(made(11)), Ruling.LEAVE, "begun by a run since it crashed"),
        ({}, Journal(migrations=(made(**FINISHED),)), Ruling.LEAVE, "m1 is finished"),
        ({"crashes": 5}, Journal(migrations=(made(**FINISHED),)), Ruling.LEAVE, "m1 is finished"),
        ({}, Journal(migrations=(made(-600, finished_at=minutes(-500)),)), Ruling.TAKE_UP, "before it began"),
        ({}, Journal(migrations=(made(**FINISHED, reverted_by="m2"),)), Ruling.LEAVE, "was taken back by m2"),
        ({}, open_in(made(runs=("a",))), Ruling.TAKE_UP, "in migration m1"),
        ({}, open_in(made(runs=("z",))), Ruling.TAKE_UP, "in migration m1"),
        ({}, open_in(made(runs=("a", "z"))), Ruling.LEAVE, "another run, z, went on with migration m1 since"),
        ({}, open_in(made(**WAY_BACK)), Ruling.LEAVE, "another migration is open: m1, cilium-to-canal"),
        (ITSELF_BACK, open_in(made(**WAY_BACK)), Ruling.GIVE_UP, "while it took itself back, in migration m1"),
        (ITSELF_BACK, open_in(made(-9, **WAY_BACK)), Ruling.LEAVE, "another migration is open"),
        ({}, open_in(made(kind=Runbook.CHANGE_PROXY_MODE)), Ruling.LEAVE, "another migration is open"),
        ({"version": "1.18.10"}, open_in(made()), Ruling.LEAVE, "another migration is open"),
        ({"version": "1.19.4"}, open_in(made()), Ruling.TAKE_UP, "in migration m1"),
        (
            {"flow": "change-proxy-mode"},
            open_in(made(kind=Runbook.CHANGE_PROXY_MODE, desired_proxy_mode="ipvs")),
            Ruling.TAKE_UP,
            "in migration m1",
        ),
        # What a revert takes back may be open still, or its own migration is, or neither.
        (REVERT, open_in(made(-60)), Ruling.TAKE_UP, "in migration m1"),
        (REVERT, open_in(made(**WAY_BACK)), Ruling.TAKE_UP, "in migration m1"),
        (REVERT, Journal(migrations=(made(-60, finished_at=minutes(-50)),)), Ruling.TAKE_UP, "before it began"),
        (REVERT, Journal(migrations=(made(**WAY_BACK, **FINISHED),)), Ruling.LEAVE, "m1 is finished"),
        (REVERT, open_in(made(11)), Ruling.LEAVE, "since it crashed"),
    ],
)
def test_the_journal_tells_whether_there_is_something_to_go_on_with(run, journal, ruling, words):
    found = decide_by_journal(make_run(**run), [], journal, LIMITS)

    assert found.ruling is ruling
    assert words in found.reason


LATER = {"begun_at": minutes(5), "state": "Cancelled"}
BEFORE = {"begun_at": minutes(-5), "state": "Interrupted", "is_resumable": True}


@pytest.mark.parametrize(
    ("run", "other", "journal", "ruling", "words"),
    [
        # Whoever worked on the open migration last goes on with it, whatever came and went meanwhile.
        ({}, LATER, open_in(made(runs=("a",))), Ruling.TAKE_UP, "in migration m1"),
        ({}, {**LATER, "state": "NotApproved"}, open_in(made(runs=("a",))), Ruling.TAKE_UP, "in migration m1"),
        ({}, {**LATER, "state": "Completed"}, open_in(made(runs=("z", "a"))), Ruling.TAKE_UP, "in migration m1"),
        ({}, {**LATER, "state": "Crashed"}, open_in(made(runs=("a",))), Ruling.TAKE_UP, "in migration m1"),
        (REVERT, LATER, open_in(made(**WAY_BACK, runs=("a",))), Ruling.TAKE_UP, "in migration m1"),
        ({"crashes": 5}, LATER, open_in(made(runs=("a",))), Ruling.GIVE_UP, "crashed 5 times"),
        ({}, LATER, open_in(made(runs=("a", "b"))), Ruling.LEAVE, "another run, b, went on with migration m1 since"),
        # Of a run that never came to it the journal can't tell whether the later one was in its place.
        ({}, LATER, open_in(made(runs=("z",))), Ruling.LEAVE, "run another of this cluster began later, and is Cancelled"),
        ({}, LATER, open_in(made(runs=("z", "b"))), Ruling.LEAVE, "began later, and is Cancelled"),
        ({}, LATER, open_in(made()), Ruling.LEAVE, "began later, and is Cancelled"),
        ({}, LATER, Journal(), Ruling.LEAVE, "began later, and is Cancelled"),
        ({}, {**LATER, "state": "Completed"}, Journal(), Ruling.LEAVE, "began later, and is Completed"),
        ({}, {**LATER, "state": "Crashed"}, Journal(), Ruling.LEAVE, "began later, and is Crashed"),
        (REVERT, LATER, open_in(made(-60, runs=("z",))), Ruling.LEAVE, "began later, and is Cancelled"),
        ({}, LATER, Journal(migrations=(made(**FINISHED),)), Ruling.LEAVE, "m1 is finished"),
        ({}, {**LATER, "state": "Failed"}, Journal(), Ruling.TAKE_UP, "before it began a migration"),
        ({}, {**LATER, "is_over": False, "state": "Suspended"}, Journal(), Ruling.TAKE_UP, "before it began a migration"),
        ({}, {**LATER, "cluster": ClusterRef(seed="lab", name="other")}, Journal(), Ruling.TAKE_UP, "before it began"),
        ({}, {**LATER, "id": "a"}, Journal(), Ruling.TAKE_UP, "before it began"),
        ({}, {**LATER, "begun_at": minutes(-5)}, Journal(), Ruling.TAKE_UP, "before it began"),
        # Of two that crashed, the one in whose hands the cluster was goes first, unless nobody takes it up.
        ({}, BEFORE, open_in(made(runs=("b",))), Ruling.LEAVE, "run another crashed as well, and goes on first"),
        ({}, {**BEFORE, "is_resumable": False}, open_in(made(runs=("b",))), Ruling.TAKE_UP, "in migration m1"),
        ({}, BEFORE, open_in(made(runs=("z",))), Ruling.TAKE_UP, "in migration m1"),
    ],
)  # fmt: skip
def test_another_run_that_is_over_counts_where_the_journal_has_it_or_can_not_tell(
    *, run, other, journal, ruling, words
):
    found = decide_by_journal(make_run(**run), [make_other(**other)], journal, LIMITS)

    assert found.ruling is ruling
    assert words in found.reason


@pytest.mark.parametrize(
    ("run", "journal", "words"),
    [
        ({}, open_in(made()), "resume-interrupted takes the run up within minutes"),
        ({"crashes": 30}, open_in(made()), "resume-interrupted takes the run up within minutes"),
        ({"is_deployed": False}, open_in(made()), "start the flow again with the same parameters"),
        ({}, Journal(migrations=(made(**FINISHED),)), "nothing to do: its migration m1 is finished"),
        (ITSELF_BACK, open_in(made(**WAY_BACK)), "it takes migration m0 back. Start the flow revert-migration"),
    ],
)
def test_people_are_told_what_they_have_to_do(run, journal, words):
    assert words in how_to_resume(make_run(**run), [], journal)


@pytest.mark.parametrize(
    ("run", "journal", "words"),
    [
        ({}, open_in(made(runs=("a",))), "nothing to do, resume-interrupted takes the run up within minutes"),
        ({}, Journal(), "began later, and is Cancelled, so resume-interrupted leaves this one. If it is still wanted, press"),
        ({"is_deployed": False}, Journal(), "start the flow again with the same parameters: it goes on where it was"),
    ],
)  # fmt: skip
def test_people_are_not_told_to_wait_for_what_does_not_come(run, journal, words):
    assert words in how_to_resume(make_run(**run), [make_other(**LATER)], journal)


@given(crashes=some.integers(1, 20), attempts=some.integers(1, 20))
def test_no_run_starts_more_often_than_allowed(crashes, attempts):
    found = decide_by_journal(make_run(crashes=crashes), [], open_in(made()), Limits(attempts=attempts))

    # It started once per crash; taken up, it would start once more.
    assert (found.ruling is Ruling.TAKE_UP) == (crashes + 1 <= attempts)


@pytest.mark.parametrize("flow", MIGRATING_FLOWS)
def test_every_flow_that_migrates_is_known(flow):
    assert decide_by_journal(make_run(flow=flow), [], Journal(), LIMITS).ruling is Ruling.TAKE_UP


@pytest.mark.parametrize(
    ("migrations", "expected"),
    [
        ((), None),
        ((made(-60, finished_at=minutes(-50)),), None),
        ((made(-60),), "m1"),
        ((made(1, finished_at=minutes(2)), made(3, migration_id="m2")), "m2"),
        ((made(1, finished_at=minutes(2)),), "m1"),
    ],
)
def test_the_migration_that_a_run_was_at_is_the_open_one_or_the_newest_of_its_own(migrations, expected):
    found = latest_of(migrations, make_run())

    assert (found.id if found else None) == expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), 0),
        ((False, True), 1),
        ((False, True, True), 1),
        ((False, True, True, False, True), 2),
        ((False, True, False, False, True, True, False), 2),
    ],
)
def test_a_state_set_on_a_crashed_run_is_no_other_crash(states, expected):
    shuffled = [(minutes(number), crashed) for number, crashed in enumerate(states)][::-1]

    assert count_crashes(shuffled) == expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["RUNNING", "CANCELLING", "CRASHED"], True),
        (["RUNNING", "CANCELLING", "CRASHED", "CRASHED"], True),
        (["RUNNING", "CRASHED"], False),
        (["RUNNING", "CANCELLING", "CRASHED", "SCHEDULED", "RUNNING", "CRASHED"], False),
        (["CRASHED"], False),
    ],
)
def test_a_crash_while_a_run_is_being_cancelled_is_told_from_others(states, expected):
    shuffled = [(minutes(number), kind) for number, kind in enumerate(states)][::-1]

    assert was_cancelled(shuffled) is expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["RUNNING", "CRASHED", "CANCELLED"], True),  # a person doesn't want it to be taken up
        (["RUNNING", "FAILED", "CANCELLING", "CANCELLED"], True),
        (["RUNNING", "CRASHED", "SCHEDULED", "CANCELLED"], False),
        (["RUNNING", "CRASHED", "SCHEDULED", "CANCELLED", "SCHEDULED", "CANCELLED"], False),
        (["RUNNING", "CANCELLING", "CANCELLED"], False),
        (["RUNNING", "SCHEDULED", "CANCELLED"], False),
        (["CANCELLED"], False),
    ],
)
def test_a_run_that_was_over_when_somebody_cancelled_it_is_told_from_others(states, expected):
    shuffled = [(minutes(number), kind) for number, kind in enumerate(states)][::-1]

    assert was_over(shuffled) is expected


def test_a_run_that_was_being_cancelled_is_landed_whoever_else_is_there():
    others = [make_other(is_over=False, state="Running")]

    assert decide_by_runs(make_run(cancelled=True), others, LIMITS, NOW).ruling is Ruling.LAND
    assert decide_by_runs(make_run(cancelled=True, given_up=True), others, LIMITS, NOW).ruling is Ruling.LEAVE


def test_a_round_is_told_in_one_line():
    settled = [Settled(run=make_run(), decision=Decision(ruling=ruling, reason="so")) for ruling in Ruling]
    late = LateRun(id="c", name="waiting", cluster=CLUSTER, state="AwaitingWindow", scheduled_at=BEGUN, due_at=BEGUN)

    assert Resumption().message == "no run of the last hours is crashed"
    assert (
        Resumption(settled=(settled[1], *settled)).message
        == "1 taken up, 2 brought to a safe point, 1 left, 1 given up"
    )
    assert Resumption(late=(late,)).message == "no run of the last hours is crashed, 1 late: no worker takes them up"
    assert late.what == "no worker has taken it up since 2026-11-21 22:00 UTC, when AwaitingWindow was over"
