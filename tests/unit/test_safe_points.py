from datetime import UTC, datetime

import pytest

from migration.journal import StoredBackup
from migration.models import StepOutcome, StepStatus, Stretch
from migration.safe_points import (
    APPROVAL,
    FRESH,
    at_safe_point,
    has_begun,
    has_progressed,
    in_stretch,
    is_approved,
    is_disruptive,
    is_stale,
    preparation,
    stretch_key,
    taking_back,
    under_way,
    unprepared,
)
from tests.unit.making import make_migration

NOW = datetime(2026, 11, 28, 22, tzinfo=UTC)
BACKUP = StoredBackup(name="canal", secrets=("a-0",), sha256="5f", objects=1)


def step(name, at=NOW):
    return StepOutcome(step=name, status=StepStatus.RECORDED, summary="done", started_at=at, finished_at=at)


def prepared(at=NOW, **changes):
    steps = (step("record baseline", at), step("back up", at))
    begun = in_stretch(make_migration(steps=steps, backups=(BACKUP,)), Stretch.PREPARE, now=at)
    return begun.model_copy(update=changes)


def test_a_stretch_that_was_entered_has_begun_and_no_other():
    migration = in_stretch(make_migration(), Stretch.NODES, "kube-system/workers", now=NOW)

    assert has_begun(migration, Stretch.NODES, "kube-system/workers")
    assert not has_begun(migration, Stretch.NODES, "kube-system/others")
    assert not has_begun(migration, Stretch.MOVE)


def test_a_stretch_under_way_is_named_until_the_next_safe_point():
    entered = in_stretch(make_migration(), Stretch.NODES, "kube-system/workers", now=NOW)

    assert under_way(entered) == "replacement of nodes kube-system/workers"
    assert under_way(at_safe_point(entered)) == ""
    assert has_begun(at_safe_point(entered), Stretch.NODES, "kube-system/workers")


@pytest.mark.parametrize("stretch", [Stretch.PREPARE, Stretch.VERIFY])
def test_a_run_may_stop_anywhere_in_what_changes_nothing(stretch):
    migration = in_stretch(make_migration(), stretch, now=NOW)

    assert under_way(migration) == ""
    assert not is_disruptive(migration)


@pytest.mark.parametrize("stretch", [Stretch.MOVE, Stretch.REMOVE, Stretch.MODE, Stretch.NODES, Stretch.REBOOTS])
def test_all_else_disrupts(stretch):
    assert is_disruptive(in_stretch(prepared(), stretch, "x", now=NOW))


def test_a_stretch_is_named_with_what_it_is_applied_to():
    assert stretch_key(Stretch.MOVE) == "move to the new CNI"
    assert stretch_key(Stretch.NODES, "kube-system/workers") == "replacement of nodes kube-system/workers"


def test_an_approval_in_the_journal_counts():
    assert not is_approved(prepared())
    assert is_approved(prepared(steps=(step(APPROVAL),)))


@pytest.mark.parametrize(
    ("migration", "stale"),
    [
        (prepared(NOW - FRESH / 2), False),
        (prepared(NOW - 2 * FRESH), True),
        (in_stretch(prepared(NOW - 2 * FRESH, reverts="another"), Stretch.MOVE, now=NOW), False),
        (prepared(NOW - 2 * FRESH, reverts="another"), True),
        (in_stretch(prepared(NOW - 2 * FRESH), Stretch.MOVE, now=NOW), False),
        (make_migration(), False),
    ],
    ids=[
        "fresh",
        "a window away",
        "handed down to a revert",
        "a revert's own",
        "disruption has begun",
        "not yet taken",
    ],
)
def test_baseline_and_backups_grow_old_only_before_anything_is_disrupted(migration, stale):
    assert is_stale(migration, now=NOW) is stale


def test_preparations_are_counted_so_that_their_checkpoints_are_not_found_again():
    anew = unprepared(prepared())

    assert (preparation(prepared()), preparation(anew), preparation(unprepared(anew))) == (1, 2, 3)
    assert (anew.steps, anew.backups) == ((), ())


@pytest.mark.parametrize(
    ("steps", "disruptive"),
    [
        ((step("record baseline"), step("back up"), step(APPROVAL), step("window before move to the new CNI")), False),
        ((step("record baseline"), step("switch CNI")), True),
    ],
    ids=["preparations and notes", "a step of the runbook"],
)
def test_a_migration_without_marks_is_judged_by_its_steps(steps, disruptive):
    assert is_disruptive(make_migration(steps=steps)) is disruptive


def test_a_run_has_progressed_once_it_went_into_a_stretch_itself():
    entered = in_stretch(make_migration(), Stretch.MOVE, now=NOW, run_id="mine")

    assert has_progressed(at_safe_point(entered), "mine")
    assert not has_progressed(at_safe_point(entered), "another")
    assert not has_progressed(make_migration(), "")


def test_a_reversal_of_something_half_done_is_in_the_middle_of_it():
    half_done = in_stretch(prepared(), Stretch.MOVE, now=NOW)

    assert under_way(taking_back(make_migration("back"), half_done, now=NOW)) == "move to the new CNI"
    assert under_way(taking_back(make_migration("back"), prepared(), now=NOW)) == ""


def test_a_count_that_somebody_edited_is_one():
    assert preparation(make_migration(marks={"preparation": "x"})) == 1
