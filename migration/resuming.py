"""Which crashed runs are taken up again, which are left, and which are given up. Rules only; clock-free.

A crashed run is one whose process ended without a word: killed, out of memory, its node gone. What it was doing is in
the cluster and its journal, so the same run may go on; but only if nobody else has taken over since.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AwareDatetime, Field

from migration.frozen import Frozen
from migration.journal import Journal, Migration
from migration.late_runs import LateRun
from migration.models import ClusterRef, CniType, Runbook
from migration.targets import way_on
from migration.versions import DEFAULT_CANAL, DEFAULT_CILIUM

REVERT_MIGRATION: Final = "revert-migration"
MIGRATING_FLOWS: Final = (*(str(runbook) for runbook in Runbook), REVERT_MIGRATION)
"""Names of the flows that change a cluster: each runbook has one of its name."""
WAITING: Final = ("AwaitingWindow", "Suspended", "Late")
"""States of a run that does nothing for days, with the lock free: a cluster in the middle of something can't wait."""
FAILED: Final = ("Failed", "TimedOut")
"""States of a run that may have done nothing at all; the journal tells whether it went on with the migration."""
CRASHED: Final = "CRASHED"
"""The type of the states of a run whose process ended without a word."""
INTERRUPTED: Final = "Interrupted"
"""Name of the state of a crashed run whose cluster somebody has looked at."""


BY_HAND: Final = "press Retry at the run in the Prefect UI, or start the flow again with the same parameters"
AGAIN: Final = f"nothing to do, resume-interrupted takes the run up within minutes; without that, {BY_HAND}"
ALONE: Final = "start the flow again with the same parameters: it goes on where it was"


class Limits(Frozen):
    """How long and how often crashed runs are taken up."""

    attempts: Annotated[int, Field(ge=1)] = 5
    quiet_seconds: Annotated[int, Field(ge=0)] = 60
    max_age_hours: Annotated[int, Field(ge=1)] = 24


class CrashedRun(Frozen):
    """A run of one of our flows that crashed, as Prefect knows it."""

    id: str
    name: str
    flow: str
    cluster: ClusterRef
    begun_at: AwareDatetime
    crashed_at: AwareDatetime
    crashes: int
    """How often it crashed so far. Prefect's run_count won't do: it counts waiting for a window as well."""
    message: str = ""
    """Of the crash."""
    given_up: bool = False
    """Whether it was given up before, and people were told."""
    cancelled: bool = False
    """Whether somebody had cancelled it when it crashed."""
    version: str = ""
    """The CNI version that it was asked for; empty for the flow's default."""
    is_deployed: bool = True
    """Whether a worker can start it again."""
    takes_itself_back: bool = False
    """Whether it was to take back what it had done if it failed."""
    first_due_at: AwareDatetime | None = None
    """When it was to start at first, by which it goes before whoever waits in its queue."""

    @property
    def runbook(self) -> Runbook | None:
        """What it does; None if it takes a migration back, whichever that is."""
        return None if self.flow == REVERT_MIGRATION else Runbook(self.flow)


class CrashedFleet(Frozen):
    """A run of a roll-out that crashed, as Prefect knows it."""

    id: str
    name: str
    cluster: str
    """The seeds and the runbook, in the place of the one cluster of other runs."""
    crashed_at: AwareDatetime
    crashes: int
    message: str = ""
    given_up: bool = False
    cancelled: bool = False
    is_deployed: bool = True
    first_due_at: AwareDatetime | None = None


class OtherRun(Frozen):
    """Another run of one of our flows."""

    id: str
    name: str
    cluster: ClusterRef
    begun_at: AwareDatetime
    """When it first ran, or is due."""
    is_over: bool
    state: str
    is_resumable: bool = False
    """Whether it crashed as well, and may be taken up."""
    only_planned: bool = False
    """Whether a schedule made it and it has not run yet: that says nothing of the run that crashed."""


class Ruling(StrEnum):
    """What becomes of a crashed run."""

    TAKE_UP = "taken up"
    LAND = "brought to a safe point"
    LEAVE = "left"
    GIVE_UP = "given up"


class Decision(Frozen):
    """What becomes of a crashed run, and why."""

    ruling: Ruling
    reason: str
    way_on: str = ""
    """What people do to go on, if the run doesn't by itself and more has to be said than that."""


CANCELLED_BEFORE: Final = Decision(ruling=Ruling.LAND, reason="somebody had cancelled it when its process ended")


class Settled(Frozen):
    """A crashed run, and what became of it."""

    run: CrashedRun | CrashedFleet
    decision: Decision


class LandedRun(Frozen):
    """A cancelled run that nobody had seen to, and what was done about it."""

    name: str
    cluster: ClusterRef
    message: str = "its cluster can't be looked at, so not before next time"


class Resumption(Frozen):
    """What one round of resume-interrupted did."""

    settled: tuple[Settled, ...] = ()
    landed: tuple[LandedRun, ...] = ()
    late: tuple[LateRun, ...] = ()
    """The runs that it found late, and that nobody had."""

    @property
    def message(self) -> str:
        """What it did in one line."""
        rulings = [settled.decision.ruling for settled in self.settled]
        done = ", ".join(f"{rulings.count(ruling)} {ruling}" for ruling in Ruling if ruling in rulings)
        landed = f", {len(self.landed)} cancelled without anybody seeing to it" if self.landed else ""
        late = f", {len(self.late)} late: no worker takes them up" if self.late else ""
        return f"{done or 'no run of the last hours is crashed'}{landed}{late}"


def decide_by_runs(run: CrashedRun, others: Iterable[OtherRun], limits: Limits, now: AwareDatetime) -> Decision | None:
    """Return what becomes of the run, as far as Prefect can tell; None if the cluster's journal has to be asked."""
    found = _by_its_crash(run, limits, now)
    if found is not None:
        return found
    active = at_work(run.cluster, others, besides=run.id)
    return _leave(f"run {active[0].name} of this cluster is {active[0].state}") if active else None


def at_work(cluster: ClusterRef, others: Iterable[OtherRun], *, besides: str) -> list[OtherRun]:
    """Return the other runs of a cluster that work on it, or are about to."""
    return [
        other
        for other in others
        if other.cluster == cluster
        and other.id != besides
        and not (other.is_over or other.only_planned or other.state in WAITING)
    ]


def _by_its_crash(run: CrashedRun, limits: Limits, now: AwareDatetime) -> Decision | None:
    if run.given_up:
        return _leave("it was given up before, and people were told")
    age = now - run.crashed_at
    if age < timedelta(seconds=limits.quiet_seconds):
        return _leave(
            f"it crashed {age.total_seconds():.0f} s ago: for {limits.quiet_seconds} s its worker may still report that"
        )
    if age > timedelta(hours=limits.max_age_hours):
        return _leave(f"it crashed more than {limits.max_age_hours} h ago: nobody expects it to go on by itself by now")
    return CANCELLED_BEFORE if run.cancelled else None


def decide_by_journal(run: CrashedRun, others: Iterable[OtherRun], journal: Journal, limits: Limits) -> Decision:
    """Return what becomes of a run if no other one is at work."""
    unfinished = journal.open_migration()
    found = _of_closed(run, journal) if unfinished is None else _of_open(run, unfinished)
    found = found or _by_those_that_are_over(run, others, unfinished)
    if found is not None:
        return found
    if run.crashes >= limits.attempts:
        return Decision(ruling=Ruling.GIVE_UP, reason=f"it crashed {run.crashes} times, of {limits.attempts} attempts")
    goes_on = "before it began a migration" if unfinished is None else f"in migration {unfinished.id}"
    return Decision(
        ruling=Ruling.TAKE_UP, reason=f"it crashed {goes_on}: attempt {run.crashes + 1} of {limits.attempts}"
    )


def how_to_resume(run: CrashedRun, others: Iterable[OtherRun], journal: Journal) -> str:
    """Return what people have to do to go on after a crash that nobody has acted on yet."""
    decision = decide_by_journal(run, others, journal, Limits(attempts=run.crashes + 1))
    if decision.way_on:
        return decision.way_on
    if decision.ruling is Ruling.LEAVE:
        return f"nothing to do: {decision.reason}"
    return AGAIN if run.is_deployed else ALONE


def _of_open(run: CrashedRun, unfinished: Migration) -> Decision | None:
    """Return why the run does not go on while this migration is open; None if it does."""
    if unfinished.started_at > run.crashed_at:
        return _leave(f"migration {unfinished.id} was begun by {unfinished.started_by or 'somebody'} since it crashed")
    if run.id in unfinished.runs[:-1]:
        return _leave(f"another run, {unfinished.runs[-1]}, went on with migration {unfinished.id} since")
    if run.runbook is None or _belongs(run, unfinished):
        return None
    if unfinished.reverts and run.takes_itself_back and unfinished.started_at >= run.begun_at:
        return Decision(
            ruling=Ruling.GIVE_UP,
            reason=f"it crashed while it took itself back, in migration {unfinished.id}",
            way_on=way_on(unfinished),
        )
    return _leave(f"another migration is open: {unfinished.id}, {unfinished.kind} to {unfinished.target}")


def _of_closed(run: CrashedRun, journal: Journal) -> Decision | None:
    """Return that what the run was for is over; None if it never came to that."""
    since = [each for each in journal.migrations if each.finished_at is not None and each.finished_at >= run.begun_at]
    ours = [each for each in since if (each.reverts if run.runbook is None else _belongs(run, each))]
    if not ours:
        return None
    last = ours[-1]
    if last.reverted_by:
        return _leave(f"its migration {last.id} was taken back by {last.reverted_by}")
    return _leave(f"its migration {last.id} is finished")


def _by_those_that_are_over(
    run: CrashedRun, others: Iterable[OtherRun], unfinished: Migration | None
) -> Decision | None:
    """Return why a run is left for one that began later, or that crashed as well; None if it is not.

    Whoever worked on the open migration last goes on with it: one that began later has not come to it, and may only
    have waited for the lock or for a person's answer. Of all others nobody can tell what the later one was for.
    """
    last = unfinished.runs[-1] if unfinished is not None and unfinished.runs else None
    if last == run.id:
        return None
    over = [other for other in _of_its_cluster(run, others) if other.is_over]
    later = [other for other in over if other.begun_at > run.begun_at and other.state not in FAILED]
    if later:
        reason = f"run {later[0].name} of this cluster began later, and is {later[0].state}"
        still_wanted = BY_HAND if run.is_deployed else ALONE
        return _leave(reason, f"{reason}, so resume-interrupted leaves this one. If it is still wanted, {still_wanted}")
    first = next((other for other in over if other.id == last and other.is_resumable), None)
    if first is not None:
        return _leave(f"run {first.name} crashed as well, and goes on first: it was the last one at work")
    return None


def _of_its_cluster(run: CrashedRun, others: Iterable[OtherRun]) -> list[OtherRun]:
    return [other for other in others if other.cluster == run.cluster and other.id != run.id]


def _belongs(run: CrashedRun, migration: Migration) -> bool:
    """Tell whether a run that is no revert was for this migration."""
    if migration.reverts or migration.kind is not run.runbook:
        return False
    if migration.kind is Runbook.CHANGE_PROXY_MODE:
        return True
    default = DEFAULT_CILIUM if migration.desired_cni.type is CniType.CILIUM else DEFAULT_CANAL
    return migration.desired_cni.version == (run.version or default)


def _leave(reason: str, way_on: str = "") -> Decision:
    return Decision(ruling=Ruling.LEAVE, reason=reason, way_on=way_on)


def latest_of(migrations: Iterable[Migration], run: CrashedRun) -> Migration | None:
    """Return the migration that a run was last at: the newest since it began; None if it began none."""
    return max(
        (each for each in migrations if each.is_open or each.started_at >= run.begun_at),
        key=lambda each: (each.is_open, each.started_at),
        default=None,
    )


def was_cancelled(states: Iterable[tuple[AwareDatetime, str]]) -> bool:
    """Tell whether a crashed run was being cancelled, given when it came into which type of state.

    Whoever carries the cancellation out may end with the run, or the run before that: Prefect has it crashed then.
    """
    before = [kind for _, kind in sorted(states) if kind != CRASHED]
    return bool(before) and before[-1] == "CANCELLING"


def was_over(states: Iterable[tuple[AwareDatetime, str]]) -> bool:
    """Tell whether a cancelled run had ended before: whoever cancels one of those wants it to be left as it is.

    Given when it came into which type of state.
    """
    kinds = [kind for _, kind in sorted(states) if kind not in ("CANCELLING", "CANCELLED")]
    return kinds[-1:] in (["COMPLETED"], ["FAILED"], [CRASHED])


def count_crashes(states: Iterable[tuple[AwareDatetime, bool]]) -> int:
    """Return how often a run crashed, given each of its states: when it was entered, and whether it is a crash.

    `Interrupted` is set on a run that has crashed already: a crash after a crash is the same one.
    """
    ordered = [crashed for _, crashed in sorted(states, key=lambda state: state[0])]
    return sum(crashed and not before for before, crashed in zip([False, *ordered], ordered, strict=False))
