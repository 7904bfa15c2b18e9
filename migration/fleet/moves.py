"""What a roll-out does next, given how each of its clusters stands: start these, wait, soak, ask, stop, or end. Pure.

It never starts more than may be under way at a time, nothing while canaries are open but canaries, and nothing once
more clusters have failed than it may bear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from migration.fleet.models import FleetOrder
from migration.fleet.runs import WAITING_STATES, ClusterRun
from migration.fleet.states import GOOD, UNDER_WAY, ClusterState, ClusterStatus
from migration.fleet.waves import FleetPlan
from migration.models import ClusterRef

WORTH_LEAVING: Final = timedelta(minutes=3)
"""A wait that is no longer than this is waited out: to leave and come back costs a process its start."""
LONGEST_WITHOUT_AN_ANSWER: Final = timedelta(minutes=10)
LONGEST_ASIDE: Final = timedelta(hours=1)
Statuses = Mapping[ClusterRef, ClusterStatus]


class Doing(StrEnum):
    """What a roll-out does next."""

    START = "start"
    WAIT = "wait"
    HOLD_BACK = "hold back"
    SOAK = "soak"
    ASK = "ask"
    STOP = "stop"
    END = "end"


@dataclass(frozen=True)
class Move:
    """What a roll-out does next."""

    doing: Doing
    clusters: tuple[ClusterRef, ...] = ()
    """To be started or held back; or, if it stops, those that failed."""
    until: datetime | None = None
    """When the soak ends."""
    why: str = ""
    wave: int = 0


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What bounds a roll-out."""

    concurrent: int
    soak: timedelta
    failure_budget: int = 0
    canary_failure_budget: int = 0
    asks_after_canaries: bool = False

    @classmethod
    def of(cls, order: FleetOrder, *, asks_after_canaries: bool) -> Rules:
        """Return the bounds that an operator has set."""
        return cls(
            concurrent=order.waves.concurrent,
            soak=timedelta(minutes=order.waves.soak_minutes),
            failure_budget=order.failure_budget,
            canary_failure_budget=order.canary_failure_budget,
            asks_after_canaries=asks_after_canaries,
        )


def next_move(plan: FleetPlan, statuses: Statuses, rules: Rules, now: datetime) -> Move:
    """Return what to do next."""
    waves = plan.waves
    if stop := _reason_to_stop(plan, statuses, rules):
        return _stopping(stop, statuses) if _under_way(statuses) else stop
    for number, wave in enumerate(waves):
        if any(statuses[ref].is_open for ref in wave):
            return _in_wave(plan, number, statuses, rules, now)
    return Move(Doing.WAIT) if _under_way(statuses) else Move(Doing.END)


def _stopping(stop: Move, statuses: Statuses) -> Move:
    """Return what to do before it stops: what hasn't begun is held back, and what has is waited for."""
    idle = tuple(ref for ref, status in statuses.items() if status.may_be_held_back)
    return Move(Doing.HOLD_BACK if idle else Doing.WAIT, idle, why=stop.why)


def _in_wave(plan: FleetPlan, number: int, statuses: Statuses, rules: Rules, now: datetime) -> Move:
    wave, earlier = plan.waves[number], plan.waves[:number]
    pending = [ref for ref in wave if statuses[ref].state is ClusterState.PENDING]
    if earlier and not any(_was_begun(statuses[ref]) for ref in wave):
        if rules.asks_after_canaries and plan.has_canaries and number == 1:
            return Move(Doing.ASK, wave=number)
        until = _soaked_at(earlier, statuses, rules)
        if until is not None and until > now:
            return Move(Doing.SOAK, until=until, wave=number)
    room = rules.concurrent - _under_way(statuses)
    if pending and room > 0:
        return Move(Doing.START, tuple(pending[:room]), wave=number)
    return Move(Doing.WAIT, wave=number)


def _was_begun(status: ClusterStatus) -> bool:
    """Tell whether its turn has come: there is a run, or it was looked at in vain."""
    return bool(status.run_id) or status.state in UNDER_WAY or status.state is ClusterState.FAILED


def _soaked_at(waves: Sequence[Sequence[ClusterRef]], statuses: Statuses, rules: Rules) -> datetime | None:
    # Where no run was, nothing was done that would have to prove itself.
    ends = [statuses[ref].ended_at for wave in waves for ref in wave if statuses[ref].run_id]
    last = max((end for end in ends if end is not None), default=None)
    return last + rules.soak if last is not None else None


def _reason_to_stop(plan: FleetPlan, statuses: Statuses, rules: Rules) -> Move | None:
    canaries = plan.waves[0] if plan.has_canaries else ()
    others = [ref for wave in plan.waves[1 if plan.has_canaries else 0 :] for ref in wave]
    failed_canaries, failed = _failed(canaries, statuses), _failed(others, statuses)
    if len(failed_canaries) > rules.canary_failure_budget:
        why = f"{_count(failed_canaries, 'canary', 'canaries')} failed, and {rules.canary_failure_budget} may"
        return Move(Doing.STOP, failed_canaries, why=why)
    if len(failed) > rules.failure_budget:
        why = f"{_count(failed, 'cluster', 'clusters')} failed after the canaries, and {rules.failure_budget} may"
        return Move(Doing.STOP, (*failed_canaries, *failed), why=why)
    is_over = canaries and not any(statuses[ref].is_open for ref in canaries)
    if is_over and others and not any(statuses[ref].state in GOOD for ref in canaries):
        return Move(
            Doing.STOP, failed_canaries, why="no canary was migrated, so nothing tells how the others would fare"
        )
    return None


def _failed(refs: Sequence[ClusterRef], statuses: Statuses) -> tuple[ClusterRef, ...]:
    return tuple(ref for ref in refs if statuses[ref].state is ClusterState.FAILED)


def _under_way(statuses: Statuses) -> int:
    return sum(status.state in UNDER_WAY for status in statuses.values())


def _count(refs: Sequence[ClusterRef], one: str, many: str) -> str:
    return f"{len(refs)} {one if len(refs) == 1 else many}"


def is_worth_waking(runs: Iterable[ClusterRun], aside_since: datetime) -> bool:
    """Tell whether something has happened to a cluster's run since the roll-out stepped aside: it began, or ended.

    One that looked for its window or lock and waits on has not changed; a roll-out comes back for those in time.
    """
    return any(run.since > aside_since and run.state_name not in WAITING_STATES for run in runs)


def step_aside_until(statuses: Statuses, now: datetime) -> datetime | None:
    """Return until when a roll-out that waits may leave its worker; None if something may happen before that pays.

    Only if all that is under way waits itself. It looks in between: somebody may cancel one, or answer it.
    """
    waiting = [status for status in statuses.values() if status.state in UNDER_WAY]
    if not waiting or any(status.state is ClusterState.RUNNING or not status.run_id for status in waiting):
        return None
    ends = [status.due_at or now + LONGEST_WITHOUT_AN_ANSWER for status in waiting]
    until = min(*ends, now + LONGEST_ASIDE)
    return until if until - now > WORTH_LEAVING else None
