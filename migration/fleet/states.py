"""How each cluster of a roll-out stands, read from the runs that there are for it. Clock-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import AwareDatetime

from migration.fleet.looks import Look, Need
from migration.fleet.runs import NOT_APPROVED, WAITING_STATES, ClusterRun, Round
from migration.frozen import Frozen
from migration.models import ClusterRef
from migration.resuming import INTERRUPTED

BLIND_PATIENCE: Final = timedelta(minutes=15)
"""For how long a cluster whose turn it is may give no answer: its seed may be restarting."""
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
    may_be_held_back: bool = False
    """Whether its run is this roll-out's own, and waits: it may have disrupted nothing yet."""

    @property
    def is_open(self) -> bool:
        """Whether something is still to come."""
        return self.state in OPEN


def status_of(ref: ClusterRef, runs: Iterable[ClusterRun], look: Look, *, of: Round, now: datetime) -> ClusterStatus:
    """Return how a cluster stands by its runs and, if there is none that counts, by what was seen of it.

    What failed before this round, which is when somebody pressed Retry at the roll-out, is to be tried again.
    """
    latest = sorted(runs, key=lambda run: run.since)
    active = [run for run in latest if not run.is_over(now)]
    if active:
        return _under_way(active[-1])
    counting = [run for run in latest if not run.came_to_nothing]
    if counting:
        found = _over(counting[-1])
        if found.state in GOOD or of.began_at is None or _counted_from(counting, of) >= of.began_at:
            return found
    return _by_look(ref, look)


def _counted_from(runs: Sequence[ClusterRun], of: Round) -> datetime:
    """Return since when the last run's end counts: what a former round's cancellation brought about is of that round.

    An errand may be created, and begin, only after somebody has pressed Retry: what counts is the run that it follows.
    """
    run = runs[-1]
    if not of.follows_cancellation:
        return run.since
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
        may_be_held_back=run.is_own and not run.is_errand and run.has_not_begun,
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
    if run.state_name == NOT_APPROVED:
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
