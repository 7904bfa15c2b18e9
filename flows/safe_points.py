"""Where a run may stop: for a person who has to agree, for a window that is closed, or for good if it is told to."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from prefect import runtime
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import apause_flow_run, asuspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from migration.approving import approval_question
from migration.errors import DeadlineExceeded, MigrationError, NotApproved, RunCancelled, RunStopped
from migration.models import MigrationRequest, RunningMigration, StepStatus, Stretch
from migration.readiness_report import ReadinessReport
from migration.safe_points import APPROVAL, HARMLESS, stretch_key
from tasks import clock
from tasks.rescheduling import AWAITING_WINDOW, is_cancelled, put_off, times_ended
from tasks.safe_points import arrive, enter, note, why_wait

LONGEST_REPORT: Final = 20_000
"""Characters that the form for an approval shows at most."""


class Approval(RunInput):
    """A person's answer to whether a cluster shall be migrated."""

    decision: Annotated[
        Literal["go on", "end"],
        Field(
            title="Migrate this cluster?",
            description="go on: the migration begins, now or in its window. end: the run ends, nothing was changed.",
        ),
    ] = "end"
    name: Annotated[
        str, Field(title="Your name", min_length=1, description="Goes into the journal in the cluster and the report.")
    ]
    comment: Annotated[
        str, Field(title="Comment", description="What the report shall say beside your name, as a ticket's number.")
    ] = ""


async def safe_point(run: RunningMigration, stretch: Stretch, target: str = "") -> None:
    """Return if the run may go on with the stretch that lies before it; one that had begun goes on at once.

    A run that has to wait leaves its worker here, and begins again from its first line. Raises RunStopped if it shall
    not go on.
    """
    try:
        await _pass(run, stretch, target)
    except MigrationError as error:
        error.safe_point = f"safe point before the {stretch_key(stretch, target)}"
        raise


async def _pass(run: RunningMigration, stretch: Stretch, target: str) -> None:
    wanted, cancelled = run.request, await is_cancelled()
    may_stop = cancelled or wanted.is_errand or wanted.stop_at_safe_point
    goes_on = not may_stop and (not wanted.maintenance.has_windows or stretch in HARMLESS)
    arrival = await arrive(run, stretch, target, goes_on=goes_on)
    if arrival.has_begun or goes_on:
        return
    if cancelled:
        raise RunCancelled(f"it was cancelled, and the {stretch_key(stretch, target)} has not begun")
    if wanted.is_errand or (wanted.stop_at_safe_point and arrival.has_progressed):
        raise RunStopped(f"it was to stop at a safe point, and the {stretch_key(stretch, target)} has not begun")
    await _window(run, stretch, target, arrival.seconds)
    await enter(run, stretch, target)


async def start_in_window(request: MigrationRequest, seconds: float | None) -> None:
    """Return if a window is open in which the preparation and what follows it have room: nothing begins too late."""
    if not request.maintenance.has_windows or request.ignore_window:
        return  # what is ignored is noted where the first stretch begins
    wait = await why_wait(request, Stretch.PREPARE, "and what follows it", seconds)
    if wait is not None:
        await put_off(AWAITING_WINDOW, until=wait.until, message=wait.message)


async def _window(run: RunningMigration, stretch: Stretch, target: str, seconds: float | None) -> None:
    what = stretch_key(stretch, target)
    wait = (
        await why_wait(run.request, stretch, target, seconds, run.id) if run.request.maintenance.has_windows else None
    )
    if wait is None:
        return
    step = f"window before {what}"
    if run.request.ignore_window:
        await note(run, step, StepStatus.SKIPPED, f"ignored, as asked for: {wait.message}", clock.now())
        return
    await note(run, step, StepStatus.RECORDED, wait.message, clock.now())
    await put_off(AWAITING_WINDOW, until=wait.until, message=wait.message)


async def approval(request: MigrationRequest, readiness: ReadinessReport) -> str:
    """Return who has agreed to the migration, and what they said. Raises NotApproved if somebody did not."""
    wanted = Approval.with_initial_data(description=approval_question(readiness))
    return await ask_a_person(wanted, key=APPROVAL, patience=timedelta(minutes=request.deadlines.approval))


async def ask_a_person(wanted: type[Approval], *, key: str, patience: timedelta) -> str:
    """Return who has agreed, and what they said. Raises NotApproved, and DeadlineExceeded without an answer.

    A run of a deployment leaves its worker here; when it comes back, the answer to the question of this key is there.
    """
    seconds = int(patience.total_seconds())
    # After a Retry or a crash Prefect asks anew, and keeps the former question: the same key would be a conflict.
    key = f"{key}-{await times_ended()}"
    try:
        if runtime.deployment.id is None:
            answer = await apause_flow_run(wait_for_input=wanted, timeout=seconds, key=key)
        else:
            answer = await asuspend_flow_run(wait_for_input=wanted, timeout=seconds, key=key)
    except FlowPauseTimeout as error:
        raise DeadlineExceeded("a person's approval", patience, "nobody answered", "Nothing was changed") from error
    said = f"{answer.name}: {answer.comment}" if answer.comment else answer.name
    if answer.decision != "go on":
        raise NotApproved(f"not approved by {said}")
    return f"approved by {said}"


async def note_approval(run: RunningMigration, approved: str) -> None:
    """Leave it in the journal, and so in the report, who has agreed: nobody is asked twice about a migration."""
    if approved:
        await note(run, APPROVAL, StepStatus.CONFIRMED, approved, clock.now())
