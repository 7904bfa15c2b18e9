"""What a cluster's journal tells of how long things take: only what was seen from beginning to end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.estimate import estimate
from migration.experience import JOINED_SECONDS, Measure, experience, seconds_by_now
from migration.journal import Journal, Migration
from migration.models import Runbook, StepOutcome, StepStatus, Stretch
from migration.parts import Part
from tests.unit import past_runs
from tests.unit.making import CANAL, CILIUM, make_migration, make_pod
from tests.unit.past_runs import LAST_MONTH, WORKERS, Done, past
from tests.unit.readiness_cases import to_cilium

CHANGED, ALREADY, CONFIRMED = StepStatus.CHANGED, StepStatus.ALREADY, StepStatus.CONFIRMED
RECORDED, SKIPPED = StepStatus.RECORDED, StepStatus.SKIPPED
LATE = JOINED_SECONDS + 1
ARRIVAL = ("remove stale Cilium", "allow CNI migration", "switch CNI", "wait for Cilium")


def part(*steps: str, target: str = "") -> Part:
    return Part(
        name="", stretch=Stretch.MOVE, target=target, steps=steps, seconds=1, longest_seconds=1, assumption="none"
    )


def told(*migrations: Migration, of: Part, kind: Runbook = Runbook.CANAL_TO_CILIUM) -> list[tuple[float, bool]]:
    return [(found.seconds, found.whole) for found in experience(past_runs.journal(*migrations), kind, of)]


SWITCH, WAIT = Done("switch CNI", 2), Done("wait for Cilium", 300, CONFIRMED)


@pytest.mark.parametrize(
    ("done", "steps", "found"),
    [
        ((Done("remove Canal", 30),), ("remove Canal",), [(30, True)]),
        ((Done("back up", 7, RECORDED),), ("back up",), [(7, True)]),
        ((Done("remove Canal", 1, ALREADY),), ("remove Canal",), []),
        ((Done("restart pods", 1, SKIPPED),), ("restart pods",), []),
        ((), ("remove Canal",), []),
        ((SWITCH, WAIT), ARRIVAL, [(302, True)]),
        ((SWITCH,), ARRIVAL, []),
        ((Done("switch CNI", 1, ALREADY), WAIT), ARRIVAL, []),
        ((WAIT,), ARRIVAL, []),
        ((Done("restart pods", 1, ALREADY), Done("verify pods on Cilium", 1, CONFIRMED)),
         ("verify pods on Cilium",), []),
        ((Done("switch kube-proxy mode", 2), Done("wait for kube-proxy mode", 40, CONFIRMED)),
         ("switch kube-proxy mode", "wait for kube-proxy mode"), [(42, True)]),
        ((Done("verify", 20, CONFIRMED), Done("finish migration", 1)), ("verify", "finish migration"), [(21, True)]),
        ((Done("remove Canal", -5),), ("remove Canal",), []),
        ((Done("remove Canal", 30, after=4),), ("remove Canal",), [(34, True)]),
        ((Done("remove Canal", 30, after=LATE),), ("remove Canal",), [(30, False)]),
        ((SWITCH, WAIT._replace(after=LATE)), ARRIVAL, [(302, False)]),
        ((SWITCH._replace(after=LATE), WAIT), ARRIVAL, [(302, False)]),
    ],
    ids=[
        "changed", "recorded", "done before", "left out", "never done", "several steps together", "without its last",
        "a wait for what somebody else had changed", "a wait for nothing", "a comparison after nothing was moved",
        "a change of the mode", "the end", "a clock that went back", "what lies between belongs to it",
        "broken off", "its last broken off", "its first broken off",
    ],
)  # fmt: skip
def test_a_step_tells_what_it_took_if_it_did_something(done, steps, found):
    assert told(past(*done), of=part(*steps)) == found


def test_a_wait_before_a_stretch_is_none_of_its_time():
    """A run that waits for its window begins the next step long after the last one, and a mark tells so."""
    evening = LAST_MONTH + timedelta(days=7)
    run = past(
        Done("restart pods", 60), Done("remove Canal", 30, after=7 * 86400 - 60), marks={"begun x": evening.isoformat()}
    )

    assert told(run, of=part("remove Canal")) == [(30, True)]


@pytest.mark.parametrize("text", ["yesterday", "", "2026-10-27T22:00:00"])
def test_a_mark_that_tells_no_moment_is_passed_over(text):
    run = past(Done("remove Canal", 30, after=LATE), marks={"begun x": text})

    assert told(run, of=part("remove Canal")) == [(30, False)]


def test_the_marks_of_stretches_outlive_their_migration():
    run = past(Done("remove Canal", 30, after=LATE), marks={"begun x": LAST_MONTH.isoformat(), "removal/cilium": "y"})

    kept = Journal().with_migration(run).with_migration(make_migration("m2")).find("m1")

    assert kept.marks == {"begun x": LAST_MONTH.isoformat()}


REMOVAL = Done("remove Canal", 30)


@pytest.mark.parametrize(
    ("migration", "counts"),
    [
        (past(REMOVAL), True),
        (past(REMOVAL, reverted_by="m2"), True),
        (past(REMOVAL, finished_at=None), False),
        (past(REMOVAL, reverts="m0"), False),
        (past(REMOVAL, kind=Runbook.CHANGE_PROXY_MODE), False),
    ],
    ids=["closed", "taken back", "open", "a reversal", "another runbook"],
)
def test_only_closed_migrations_of_the_same_runbook_count(migration, counts):
    assert bool(told(migration, of=part("remove Canal"))) is counts


@pytest.mark.parametrize(("step", "target"), [(WORKERS, "kube-system/workers"), ("await reboots", "")])
def test_new_nodes_take_as_long_whatever_they_are_for(step, target):
    done = Done(step, 900, CONFIRMED if step == "await reboots" else CHANGED, amount=3)
    back = past(done, id="m2", kind=Runbook.CILIUM_TO_CANAL, previous_cni=CILIUM, desired_cni=CANAL, reverts="m1")

    assert told(back, of=part(step, target=target)) == [(900, True)]


class TestRotations:
    """Which MachineDeployment tells of which."""

    A, B = "kube-system/a", "kube-system/b"

    def told(self, *migrations: Migration) -> list[tuple[str, str]]:
        of = part(f"rotate {self.A}", target=self.A)
        found = experience(past_runs.journal(*migrations), Runbook.CANAL_TO_CILIUM, of)
        return [(measure.migration, measure.step[-1]) for measure in found]

    def run(self, *names: str, **changes) -> Migration:
        return past(*(Done(f"rotate kube-system/{name}", 100, amount=1) for name in names), **changes)

    def test_its_own_comes_before_that_of_others(self):
        assert self.told(self.run("a", "b")) == [("m1", "a")]

    def test_without_its_own_all_others_count(self):
        assert self.told(self.run("b", "c"), self.run("c", id="m2")) == [("m1", "b"), ("m1", "c"), ("m2", "c")]

    def test_those_of_the_migration_under_way_count_beside_its_own(self):
        running = self.run("b", id="m2", finished_at=None)

        assert self.told(self.run("a", "b"), running) == [("m1", "a"), ("m2", "b")]

    def test_its_own_that_was_broken_off_leaves_the_word_to_others(self):
        broken = past(
            Done("rotate kube-system/b", 100, amount=1), Done("rotate kube-system/a", 9, amount=1, after=LATE)
        )

        assert self.told(broken) == [("m1", "a"), ("m1", "b")]


@pytest.mark.parametrize(
    ("rotated", "expected"),
    [
        ((), 300),
        ((Done("rotate kube-system/a", 600),), 300),
        ((Done("rotate kube-system/a", 1200),), 600),
        ((Done("rotate kube-system/a", 1200), Done("rotate kube-system/b", 450)), 900),
        ((Done("rotate kube-system/a", 1200, ALREADY),), 300),
        ((Done("rotate kube-system/new", 5000),), 300),
    ],
    ids=["none so far", "as expected", "twice as long", "the worst", "nothing done", "one that nobody expected"],
)
def test_nodes_that_take_longer_than_expected_make_those_to_come_longer(rotated, expected):
    seconds = {"replacement of nodes kube-system/a": 600, "replacement of nodes kube-system/b": 150}
    running = past(*rotated, finished_at=None)

    found = seconds_by_now(
        running, {**seconds, "replacement of nodes kube-system/c": 300}, Stretch.NODES, "kube-system/c"
    )

    assert found == expected


def test_any_other_stretch_takes_as_long_as_expected():
    running = past(Done("rotate kube-system/a", 1200), finished_at=None)
    seconds = {"replacement of nodes kube-system/a": 600, "reboots by hand": 60}

    assert seconds_by_now(running, seconds, Stretch.REBOOTS) == 60
    assert seconds_by_now(running, seconds, Stretch.MODE) is None


class Step(NamedTuple):
    """A step of a run that is played: its stretch, its status, and whether every run looks again."""

    name: str
    stretch: str
    status: StepStatus
    looks_again: bool


RUN = (
    Step("record baseline", "preparation", RECORDED, looks_again=False),
    Step("back up", "preparation", RECORDED, looks_again=False),
    Step("remove stale Cilium", "move", CHANGED, looks_again=False),
    Step("allow CNI migration", "move", CHANGED, looks_again=True),
    Step("switch CNI", "move", CHANGED, looks_again=True),
    Step("wait for Cilium", "move", CONFIRMED, looks_again=True),
    Step("restart pods", "move", CHANGED, looks_again=True),
    Step("verify pods on Cilium", "move", CONFIRMED, looks_again=True),
    Step("remove Canal", "removal", CHANGED, looks_again=False),
    Step(WORKERS, "nodes", CHANGED, looks_again=False),
)
PARTS = (("record baseline", "back up"), ARRIVAL, *((step.name,) for step in RUN[6:]))
LOOK_SECONDS = 1.0


class Kill(NamedTuple):
    """When a run is killed: how much of which step's work it had done by then, and how long it was down."""

    step: int
    share: float
    down_seconds: float


def played(seconds: list[float], kills: list[Kill], window_seconds: list[float], *, forgets: bool) -> Migration:
    """Return the closed migration that a series of runs leaves, each of which is killed but for the last.

    Work that was done stays done. `forgets`: Prefect's checkpoints are lost with each run, so every step looks again.
    """
    migration, now, worked = make_migration(started_at=LAST_MONTH, finished_at=LAST_MONTH), 0.0, [0.0] * len(RUN)
    for kill in [*kills, Kill(len(RUN), 0, 0)]:
        for number, step in enumerate(RUN):
            recorded = {outcome.step for outcome in migration.steps}
            mark = f"begun {step.stretch}"
            if mark not in migration.marks:
                now += window_seconds[len(migration.marks)]
                migration = migration.model_copy(update={"marks": {**migration.marks, mark: at(now).isoformat()}})
            if step.name in recorded and not step.looks_again and not forgets:
                continue
            left = seconds[number] - worked[number]
            if number == kill.step and left:
                worked[number] += left * kill.share
                now += left * kill.share + kill.down_seconds
                break
            began, now, worked[number] = now, now + max(left, LOOK_SECONDS), seconds[number]
            idle = not left or (step.name == WORKERS and left < seconds[number])
            status = step.status if not idle or step.status is CONFIRMED else ALREADY
            outcome = StepOutcome(
                step=step.name, status=status, summary="", started_at=at(began), finished_at=at(now), count=1
            )
            migration = migration.with_step(outcome)
    return migration


def at(seconds: float) -> datetime:
    return LAST_MONTH + timedelta(seconds=seconds)


LENGTHS = st.lists(st.floats(2, 5000), min_size=len(RUN), max_size=len(RUN))
KILLS = st.lists(
    st.builds(
        Kill,
        st.integers(0, len(RUN) - 1),
        st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
        st.sampled_from([0.0, 30.0, 65.0, 300.0, 40000.0]),
    ),
    max_size=4,
)
WINDOWS = st.lists(st.sampled_from([0.0, 600.0, 86400.0]), min_size=4, max_size=4)


@given(LENGTHS, WINDOWS)
def test_a_run_that_nothing_stopped_tells_exactly_what_it_took(seconds, windows):
    run = played(seconds, [], windows, forgets=False)

    for steps in PARTS:
        took = sum(length for length, step in zip(seconds, RUN, strict=True) if step.name in steps)
        [(found, whole)] = told(run, of=part(*steps))
        assert whole
        assert found == pytest.approx(took, abs=0.2)


@given(LENGTHS, KILLS, WINDOWS, st.booleans())
def test_no_run_that_was_killed_however_often_tells_less_than_it_took(seconds, kills, windows, forgets):
    run = played(seconds, kills, windows, forgets=forgets)

    for steps in PARTS:
        took = sum(length for length, step in zip(seconds, RUN, strict=True) if step.name in steps)
        for found, whole in told(run, of=part(*steps)):
            assert found >= took - 0.2 or not whole


@given(LENGTHS, KILLS, WINDOWS, st.booleans())
def test_an_estimate_is_never_shorter_than_both_the_assumption_and_what_it_took(seconds, kills, windows, forgets):
    """As long as there are as many pods and nodes as then: a window that fits by the estimate fits in truth."""
    run = played(seconds, kills, windows, forgets=forgets)
    assumed = to_cilium(pods=(make_pod(),))
    measured = to_cilium(pods=(make_pod(),), journal=past_runs.journal(run))

    for before, after in zip(*(estimate(case.survey, case.request).parts for case in (assumed, measured)), strict=True):
        took = sum(length for length, step in zip(seconds, RUN, strict=True) if step.name in before.steps)
        assert after.seconds >= min(before.seconds, took) - 0.2
        assert after.longest_seconds >= after.seconds


def test_a_measure_names_its_migration():
    found = experience(past_runs.journal(past(REMOVAL, id="m7")), Runbook.CANAL_TO_CILIUM, part("remove Canal"))

    assert found == (Measure("m7", "remove Canal", 30.0, 0, whole=True),)
