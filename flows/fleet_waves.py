"""A roll-out, move by move: `migration.fleet.moves` says what comes next, and this does it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from flows.safe_points import LONGEST_REPORT, Approval, ask_a_person
from migration.errors import RunCancelled
from migration.fleet.moves import WORTH_LEAVING, Doing, Move, step_aside_until
from migration.fleet.reporting import fleet_table, summary
from migration.fleet.runs import AWAITING_CLUSTERS, SOAKING
from tasks import clock
from tasks.fleet_board import run_links
from tasks.rescheduling import is_cancelled, put_off
from tasks.roll_out import RollOut, nap

LOOK_SECONDS: Final = 4.0
"""Between two looks at the runs of the clusters: two requests, however many clusters there are."""
BEGUN_SECONDS: Final = 1.0
"""After clusters were begun: whatever comes of that, nobody is asked more often."""


class FleetApprovalForm(Approval):
    """A person's answer to whether a roll-out shall go on."""

    decision: Annotated[Literal["go on", "end"], Field(title="Go on with the roll-out?")] = "end"


async def through_the_waves(fleet: RollOut) -> Move:
    """Return the last move, once all waves are through or the roll-out has to stop and nothing is under way.

    A run that has to wait for long leaves its worker here, and begins again from its first line.
    """
    while True:
        await _not_cancelled(fleet)
        await fleet.refresh()
        move = fleet.move()
        await fleet.show(_told(fleet, move))
        if move.doing is Doing.START:
            await fleet.begin(move.clusters)
            await nap(BEGUN_SECONDS)
        elif move.doing is Doing.ASK:
            await ask(fleet, "The canaries are through. Go on with the others?", key="after-canaries")
            fleet.canaries_are_approved = True
        elif move.doing is Doing.SOAK and move.until is not None:
            await _soak(fleet, move.until)
        elif move.doing is Doing.HOLD_BACK:
            if await fleet.hold_back(move.clusters, move.why):
                await nap(BEGUN_SECONDS)
            else:
                await _wait(fleet)
        elif move.doing is Doing.WAIT:
            await _wait(fleet)
        else:
            return move


async def ask(fleet: RollOut, question: str, *, key: str) -> None:
    """Return if a person agrees to this, with the table of the fleet before them. Raises NotApproved."""
    await fleet.show(f"Waits for approval: {question}", force=True)
    statuses = fleet.statuses()
    table = fleet_table(fleet.plan, statuses, doing=question, now=clock.now(), links=run_links(statuses))
    patience = timedelta(minutes=fleet.order.migration.deadlines.approval)
    wanted = FleetApprovalForm.with_initial_data(description=table[:LONGEST_REPORT])
    await ask_a_person(wanted, key=f"fleet-{key}-{fleet.round.number}", patience=patience)


async def _soak(fleet: RollOut, until: datetime) -> None:
    left = until - clock.now()
    if left > WORTH_LEAVING:
        await put_off(SOAKING, until=until, message=f"{_counts(fleet)}. Soaks until {_moment(until)}; nothing runs")
    await nap(min(left.total_seconds(), LOOK_SECONDS))


async def _wait(fleet: RollOut) -> None:
    until = step_aside_until(fleet.statuses(), clock.now())
    if until is not None:
        message = f"{_counts(fleet)}. All that is under way waits itself; looked at again at {_moment(until)}"
        await put_off(AWAITING_CLUSTERS, until=until, message=message)
    await nap(LOOK_SECONDS)


async def _not_cancelled(fleet: RollOut) -> None:
    """Raise RunCancelled if somebody has cancelled this run: its hook sees to what is under way."""
    if await is_cancelled():
        raise RunCancelled(f"cancelled: no further cluster is begun. {_counts(fleet)}")


def _told(fleet: RollOut, move: Move) -> str:
    """Return what the roll-out does, for the head of its table."""
    batch = move.wave + (not fleet.plan.has_canaries)
    name = f"Batch {batch}" if batch else "Canaries"
    if move.doing is Doing.SOAK and move.until is not None:
        return f"Soaks until {_moment(move.until)}, before batch {batch}"
    if move.doing is Doing.STOP:
        return f"Stopped: {move.why}"
    if move.doing is Doing.END:
        return "All waves are through"
    return f"Begins nothing more: {move.why}. What is under way is waited for" if move.why else f"{name} under way"


def _counts(fleet: RollOut) -> str:
    return f"{fleet.order.runbook} of {', '.join(fleet.order.seeds)}: {summary(fleet.statuses().values())}"


def _moment(when: datetime) -> str:
    return f"{when:%a %Y-%m-%d %H:%M} UTC"
