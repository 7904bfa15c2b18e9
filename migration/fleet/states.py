"""How each cluster of a roll-out stands, read from the runs that there are for it. Clock-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime

from migration.fleet.looks import Look, Need
from migration.frozen import Frozen
from migration.models import ClusterRef
from migration.resuming import INTERRUPTED

CRASH_PATIENCE: Final = timedelta(minutes=30)
"""For how long a crashed run counts as under way: resume-interrupted, which looks every five minutes, takes it up."""
BLIND_PATIENCE: Final = timedelta(minutes=15)
"""For how long a cluster whose turn it is may give no answer: its seed may be restarting."""
WAITING_STATES: Final = ("AwaitingWindow", "AwaitingClusterLock", "Suspended")
ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED")
LONGEST_CAUSE: Final = 400
_AS_EVER: Final = ("mend the cause", "start the flow again", "correct what it names")
_STATE, _RESUME, _BACK = ". State: ", ". To resume: ", ". To go back: "


class ClusterState(StrEnum):
    """How a cluster of a roll-out stands."""

    PENDING = "not begun"
    RUNNING = "running"
    WAITING = "waiting"
    MIGRATED = "migrated"
    ALREADY = "on its target already"
    FAILED = "failed"
    DECLINED = "not approved"
    LEFT_OUT = "left out"


UNDER_WAY: Final = frozenset({ClusterState.RUNNING, ClusterState.WAITING})
OPEN: Final = UNDER_WAY | {ClusterState.PENDING}
GOOD: Final = frozenset({ClusterState.MIGRATED, ClusterState.ALREADY})


class ClusterRun(Frozen):
    """A run for one cluster of the roll-out, as Prefect knows it."""

    id: str
    name: str
    cluster: ClusterRef
    state_type: str
    """As Prefect's API has it: SCHEDULED, RUNNING, COMPLETED and so on."""
    state_name: str
    message: str = ""
    since: AwareDatetime
    """When it came into this state."""
    started_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None
    """When it goes on, if it waits."""
    is_own: bool = True
    """Whether this roll-out started it, or an errand after it, or it was adopted and led to the target."""
    is_errand: bool = False
    """Whether it only brings its cluster to the next safe point, after the run that was at it was cancelled."""
    is_given_up: bool = False
    """Whether nobody takes it up after a crash."""

    def is_over(self, now: datetime) -> bool:
        """Tell whether nothing comes of it any more by itself."""
        if self.state_type == "CRASHED":
            return self.is_given_up or now - self.since > CRASH_PATIENCE
        return self.state_type in ENDED


class ClusterStatus(Frozen):
    """How a cluster of a roll-out stands."""

    ref: ClusterRef
    state: ClusterState
    what: str = ""
    """What it does or waits for, or why it failed."""
    advice: str = ""
    run_id: str = ""
    """Of the run that this was read from; empty if there is none."""
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether something is still to come."""
        return self.state in OPEN


def status_of(
    ref: ClusterRef, runs: Iterable[ClusterRun], look: Look, *, round_began_at: datetime | None, now: datetime
) -> ClusterStatus:
    """Return how a cluster stands by its runs and, if there is none that counts, by what was seen of it.

    What failed before this round, which is when somebody pressed Retry at the roll-out, is to be tried again.
    """
    latest = sorted(runs, key=lambda run: run.since)
    active = [run for run in latest if not run.is_over(now)]
    if active:
        return _under_way(active[-1])
    if latest:
        found = _over(latest[-1])
        if found.state in GOOD or round_began_at is None or _counted_from(latest) >= round_began_at:
            return found
    return _by_look(ref, look)


def _counted_from(runs: Sequence[ClusterRun]) -> datetime:
    """Return since when the last run's end counts: what a former round's cancellation brought about is of that round.

    An errand may be created, and begin, only after somebody has pressed Retry: what counts is the run that it follows.
    """
    run = runs[-1]
    if run.is_errand:
        run = next((before for before in reversed(runs) if not before.is_errand), run)
    is_aftermath = run.is_errand or run.state_type == "CANCELLED"
    return (run.started_at or run.since) if is_aftermath else run.since


def _under_way(run: ClusterRun) -> ClusterStatus:
    state, what = ClusterState.RUNNING, run.message
    if run.state_name in WAITING_STATES:
        state, what = ClusterState.WAITING, _what_it_waits_for(run)
    elif run.state_type == "CRASHED":
        what = f"its process ended; resume-interrupted takes it up. {run.message}"
    elif run.state_type in ("SCHEDULED", "PENDING"):
        what = "late: no worker has taken it up yet" if run.state_name == "Late" else "is about to start"
    elif run.state_type == "CANCELLING":
        what = "is being cancelled"
    return ClusterStatus(
        ref=run.cluster,
        state=state,
        what=what,
        run_id=run.id,
        started_at=run.started_at,
        due_at=run.due_at if state is ClusterState.WAITING else None,
    )


def _what_it_waits_for(run: ClusterRun) -> str:
    if run.state_name == "Suspended":
        return "waits for a person's approval, on its own page"
    kind = "waits for its maintenance window" if run.state_name == "AwaitingWindow" else "waits for another run's lock"
    until = f" until {run.due_at:%a %Y-%m-%d %H:%M} UTC" if run.due_at else ""
    return f"{kind}{until}"


def _over(run: ClusterRun) -> ClusterStatus:
    state, what, advice = _end_of(run)
    return ClusterStatus(
        ref=run.cluster,
        state=state,
        what=what,
        advice=advice,
        run_id=run.id,
        started_at=run.started_at,
        ended_at=run.since,
    )


def _end_of(run: ClusterRun) -> tuple[ClusterState, str, str]:
    """Return how it ended, why, and what to do."""
    if run.state_type == "COMPLETED" and run.state_name != "StoppedAtSafePoint":
        return ClusterState.MIGRATED, "", ""
    cause, advice = told(run.message, run.cluster)
    if run.state_name == "NotApproved":
        return ClusterState.DECLINED, cause or "a person did not agree", ""
    if run.state_type == "COMPLETED":
        return ClusterState.FAILED, cause or "it was stopped at a safe point, unfinished", advice
    if run.state_type == "CANCELLED":
        return ClusterState.FAILED, cause or "somebody cancelled its run", advice
    if run.state_type == "CRASHED":
        given_up = cause or "its process ended, and nobody took the run up"
        return ClusterState.FAILED, given_up, advice or f"see its run ({INTERRUPTED})"
    return ClusterState.FAILED, cause or f"its run is {run.state_name}", advice


def told(message: str, cluster: ClusterRef) -> tuple[str, str]:
    """Return what a run's last message says of the cause, with its step, and how to go on: on one line each."""
    flat = " ".join(message.split()).removeprefix(f"{cluster}: ")
    cause = flat.partition(_STATE)[0]
    advice = flat.partition(_RESUME)[2].partition(_BACK)[0] if _RESUME in flat else ""
    if advice.startswith(_AS_EVER):
        advice = ""  # Retry of the roll-out does that
    cut = cause if len(cause) <= LONGEST_CAUSE else f"{cause[:LONGEST_CAUSE].rstrip()} [...]"
    return cut.rstrip("."), advice


def _by_look(ref: ClusterRef, look: Look) -> ClusterStatus:
    if look.need is Need.NONE:
        return ClusterStatus(ref=ref, state=ClusterState.ALREADY, what=look.reason)
    if look.need is Need.LEFT_OUT:
        return ClusterStatus(ref=ref, state=ClusterState.LEFT_OUT, what=look.reason)
    what = f"can't be looked at: {look.reason}" if look.need is Need.UNKNOWN else look.reason
    return ClusterStatus(ref=ref, state=ClusterState.PENDING, what=what)


def without_an_answer(ref: ClusterRef, look: Look, since: datetime, now: datetime) -> ClusterStatus:
    """Return how a cluster stands whose turn it is, and that can't be looked at since then."""
    what = f"can't be looked at since {since:%H:%M} UTC: {look.reason}"
    if now - since < BLIND_PATIENCE:
        return ClusterStatus(ref=ref, state=ClusterState.WAITING, what=what)
    advice = "see to it that its API server can be reached with the connection's rights"
    return ClusterStatus(ref=ref, state=ClusterState.FAILED, what=what, advice=advice, ended_at=since + BLIND_PATIENCE)


class Silence(Frozen):
    """Since when a cluster whose turn it is gives no answer."""

    ref: ClusterRef
    since: AwareDatetime


class Silences(Frozen):
    """The clusters that gave no answer in a round of a roll-out: a budget that they have used up stays used up."""

    round: int
    clusters: tuple[Silence, ...] = ()

    def of(self, number: int) -> dict[ClusterRef, datetime]:
        """Return them by cluster, if they are of the round of this number; another one begins with none."""
        return {each.ref: each.since for each in self.clusters} if self.round == number else {}


class Round(Frozen):
    """A try of the whole roll-out: each Retry of its run, after it had ended, begins another one."""

    number: int = 1
    began_at: AwareDatetime | None = None
    """None for the first."""


def round_of(states: Iterable[tuple[datetime, str]]) -> Round:
    """Return the round that a roll-out is in, given when its run came into which type of state, in order.

    A crash ends no round: what failed before it has failed.
    """
    number, began_at, had_ended = 1, None, False
    for moment, kind in states:
        if had_ended and kind not in (*ENDED, "CRASHED"):
            number, began_at, had_ended = number + 1, moment, False
        had_ended = had_ended or kind in ENDED
    return Round(number=number, began_at=began_at)
