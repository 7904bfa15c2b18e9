"""What surrounds every runbook: look first, lock, open the journal, prove it afterwards, and leave a way forward."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.runbooks import RUNBOOKS
from flows.safe_points import approval, note_approval, safe_point, start_in_window
from migration.errors import (
    DeadlineExceeded,
    MigrationError,
    MigrationReverted,
    NotApproved,
    RunCancelled,
    RunStopped,
)
from migration.models import MigrationReport, MigrationRequest, OnFailure, RunningMigration, Stretch
from migration.readiness_report import ReadinessReport
from migration.safe_points import first_disruption
from migration.standing import failure_message
from tasks.cluster import verify
from tasks.journal import begin_migration, finish_migration
from tasks.lock import await_other_run, cluster_lock, new_holder
from tasks.readiness import check_readiness
from tasks.report import (
    report_failure,
    report_migration,
    report_nothing_to_do,
    report_stop,
    stands_before_the_start,
)
from tasks.rescheduling import PutOff, has_flow_retries, is_retried_by_prefect, taken_up_again, with_run
from tasks.reverting import reverting

End = MigrationReport | State[Any]
"""How a run ends: Prefect takes a state that a flow returns as its own, and hands its data on."""
Planning = Callable[[MigrationRequest], Awaitable[MigrationRequest]]


async def conduct(request: MigrationRequest, *, planned: Planning | None = None) -> MigrationReport:
    """Run the request's runbook from wherever the cluster stands to its end or to a safe point; return the report.

    `planned` completes the request by what the cluster's journal says. Raises PreflightFailed before anything is
    changed, MigrationReverted if it failed and was taken back as asked for, and the step's own error if it failed and
    was left where it was. The state of the run says all that people have to know.
    """
    try:
        end = await _taken_up(with_run(request), planned)
    except NotApproved as stop:
        end = Cancelled(name="NotApproved", message=f"{request.cluster}: {stop}. Nothing was changed by this run")
    except RunStopped as stop:
        # It was waiting, with nothing held and nothing under way.
        end = Cancelled(message=f"{request.cluster}: {stop}. The cluster is at a safe point, and its lock is free")
    except MigrationError as error:
        found = await stands_before_the_start(request.cluster, error)
        end = _failed(error, failure_message(request.cluster, error.step or "check readiness", str(error), found))
    if isinstance(end, MigrationReport) and not has_flow_retries():
        end = Completed(message=_told(end), data=end)
    return cast("MigrationReport", end)


def _told(report: MigrationReport) -> str:
    """Return how a run ended, for its state."""
    return f"Nothing to do: {report.message}" if report.outcome == "nothing to do" else report.message


async def _taken_up(request: MigrationRequest, planned: Planning | None) -> End:
    """Do all of it; a lone run that had to wait begins anew, as one that a worker takes up does."""
    while True:
        try:
            return await _conducted(await planned(request) if planned else request)
        except PutOff as waiting:
            await taken_up_again(waiting)


async def _conducted(request: MigrationRequest) -> End:
    # Step 1. Look, and change nothing, while no other run is in the middle of something.
    patience = timedelta(minutes=request.deadlines.lock)
    await await_other_run(request.cluster, patience=patience)
    readiness = await check_readiness(request)
    if readiness.nothing_to_do:
        return await report_nothing_to_do(request, readiness.nothing_to_do)
    seconds, approved = _seconds(readiness), ""
    if not readiness.has_disrupted:
        if request.approval and not readiness.is_approved:
            approved = await approval(request, readiness)
        await start_in_window(request, _seconds_to_first_safe_point(request, seconds))

    holder = new_holder()
    async with cluster_lock(request.cluster, holder, patience=patience):
        # Step 2. Open the journal, or take up the migration that it has open.
        run = await begin_migration(request, holder, readiness.unfinished, seconds, readiness)
        if run is None:
            return await report_nothing_to_do(request, "another run migrated this cluster while this one waited for it")
        try:
            await note_approval(run, approved)
            await _see_through(run)
            return await report_migration(run, readiness.findings)
        except RunStopped as stop:
            return await _stopped(run, stop)
        except PutOff:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, people have to know where their cluster stands
            return await _take_back(run, error)


async def _see_through(run: RunningMigration) -> None:
    """Run the runbook, prove that nothing is worse than before, and close the journal."""
    await RUNBOOKS[run.request.runbook](run)
    await safe_point(run, Stretch.VERIFY)
    await verify(run)
    await finish_migration(run)


async def _stopped(run: RunningMigration, stop: RunStopped) -> End:
    """Tell where a run that was to end at a safe point has left its cluster."""
    report = await report_stop(run, stop)
    if isinstance(stop, RunCancelled):
        return Cancelled(message=report.message)
    return Completed(name="StoppedAtSafePoint", message=report.message, data=report)


async def _take_back(run: RunningMigration, error: Exception) -> End:
    """Tell where a failed run stands and, if it was asked for and is possible, bring back what was before.

    Only a step that failed is a reason to go back: at a safe point the cluster is fine, whatever ended the run there.
    """
    standing = await report_failure(run, error)
    is_wanted = run.request.on_failure is OnFailure.REVERT and isinstance(error, MigrationError) and bool(error.step)
    if not is_wanted or not standing.can_revert:
        return _failed(error, standing.message)
    reverse = None
    try:
        reverse = await begin_migration(await reverting(run), run.holder)
        if reverse is not None:
            await _see_through(reverse)
            await report_migration(reverse, ())
    except RunStopped as stop:
        return await _stopped(reverse or run, stop)
    except Exception as obstacle:  # noqa: BLE001 - as above
        return _failed(obstacle, (await report_failure(reverse or run, obstacle)).message)
    taken_back = MigrationReverted(
        f"{run.cluster} was not migrated: {error} The run was taken back as asked for, and everything is as before"
    )
    taken_back.__cause__ = error
    return _failed(taken_back, str(taken_back))


def _failed(error: Exception, message: str) -> State[Any]:
    """Return the state that tells it all, or raise the error for Prefect to try again."""
    if is_retried_by_prefect():
        raise error
    name = "TimedOut" if isinstance(error, DeadlineExceeded) else "Failed"
    return Failed(name=name, message=message, data=error)


def _seconds(readiness: ReadinessReport) -> dict[str, float]:
    """Return how long each stretch takes, by its key; none that the run has nothing to do in."""
    return dict(readiness.plan.estimate.seconds_by_stretch) if readiness.plan else {}


def _seconds_to_first_safe_point(request: MigrationRequest, seconds: dict[str, float]) -> float:
    """Return how long it takes until the first disruptive stretch is over: a backup should not wait for a week."""
    return seconds.get(Stretch.PREPARE, 0.0) + seconds.get(first_disruption(request.runbook), 0.0)
