"""What a run looks at and notes down where it may stop: at the safe points between its stretches."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect import runtime
from prefect.logging import get_run_logger

from clusters.journal import change_migration, read_migration
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps.bookkeeping import record_step
from clusters.steps.standing import look_where_it_stands
from migration import safe_points
from migration.errors import InvalidRequest, OperatorActionNeeded
from migration.experience import seconds_by_now
from migration.frozen import Frozen
from migration.journal import Migration
from migration.models import ClusterRef, MigrationRequest, RunningMigration, StepOutcome, StepStatus, Stretch
from migration.readiness.windows import TOO_SHORT
from migration.safe_points import stretch_key
from migration.standing import state_of
from migration.windows import Opening, Timetable, UpdateWindow, recurrences
from tasks import clock
from tasks.policy import looking_task


class Arrival(Frozen):
    """A run at a safe point: whether an earlier one has gone on from there, and whether this one came from another."""

    has_begun: bool
    has_progressed: bool
    seconds: float | None = None
    """How long the stretch is expected to take by now; None if the run has nothing to do there."""


class Wait(Frozen):
    """Why a stretch may not begin yet, and when it may."""

    until: datetime
    message: str


def _name_of_run() -> str:
    """Return what Prefect shows: which stretch is before the run, and of what."""
    asked = runtime.task_run.parameters
    return " ".join(part for part in ("safe point before the", asked["stretch"], asked.get("target", "")) if part)


@looking_task("safe point", retries=4, run_name=_name_of_run)
async def arrive(run: RunningMigration, stretch: Stretch, target: str = "", *, goes_on: bool = False) -> Arrival:
    """Leave it in the journal that the run may stop here, or that it `goes_on`; no-op if the stretch has begun."""
    async with open_cluster(run.cluster, get_run_logger().info, holder=run.holder) as opened:
        migration = await read_migration(opened.api, run.id)
        has_begun = safe_points.has_begun(migration, stretch, target)
        if not has_begun and goes_on:
            await _enter(opened, run, stretch, target)
        elif not has_begun and migration.marks.get(safe_points.UNDER_WAY):
            await change_migration(opened.api, run.id, safe_points.at_safe_point)
    return Arrival(
        has_begun=has_begun,
        has_progressed=safe_points.has_progressed(migration, run.request.run_id),
        seconds=_seconds(migration, run, stretch, target),
    )


@looking_task("look at the windows", retries=4)
async def why_wait(
    request: MigrationRequest, stretch: Stretch, target: str, seconds: float | None, migration_id: str = ""
) -> Wait | None:
    """Return why a stretch may not begin now and when it may; None if a window is open that has room for it.

    Nothing is waited for if the run has nothing to do there. Raises OperatorActionNeeded if it never may, and
    InvalidRequest for the cluster's own window if it has none; where windows are ignored, that is what is returned.
    """
    if seconds is None:
        return None
    update_window, now = await _update_window(request), clock.now()
    what = stretch_key(stretch, target)
    try:
        timetable = recurrences(request.maintenance, update_window)
        needed = _needed(request, timetable, seconds, now)
        opening = _next_opening(request, timetable, what, needed, now)
    except (InvalidRequest, OperatorActionNeeded) as error:
        if not request.ignore_window:
            raise
        return Wait(until=now, message=str(error))
    if opening.start <= now:
        return None
    message = (
        f"{request.cluster}: waits for its window: the {what} takes some {_minutes(needed)}, and "
        f"{_now_open(timetable, now)}. It goes on in the window {opening}. "
    )
    return Wait(until=opening.start, message=message + await _state(request.cluster, migration_id))


@looking_task("enter stretch", retries=4, run_name="begin the {stretch} {target}")
async def enter(run: RunningMigration, stretch: Stretch, target: str = "") -> None:
    """Leave it in the journal that the stretch has begun: from now on it is finished, whatever the hour."""
    async with open_cluster(run.cluster, get_run_logger().info, holder=run.holder) as opened:
        await _enter(opened, run, stretch, target)


@looking_task("note", retries=4)
async def note(run: RunningMigration, step: str, status: StepStatus, summary: str, since: datetime) -> None:
    """Leave in the journal, and so in the report, what happened at a safe point."""
    outcome = StepOutcome(step=step, status=status, summary=summary, started_at=since, finished_at=clock.now())
    async with open_cluster(run.cluster, get_run_logger().info, holder=run.holder) as opened:
        await record_step(opened, run.id, outcome)


def _seconds(migration: Migration, run: RunningMigration, stretch: Stretch, target: str) -> float | None:
    """Return how long the stretch is expected to take; nodes that came after the estimate need a window as well."""
    found = seconds_by_now(migration, run.seconds, stretch, target)
    return 0.0 if found is None and run.seconds and stretch is Stretch.NODES else found


async def _enter(opened: OpenedCluster, run: RunningMigration, stretch: Stretch, target: str) -> None:
    now = clock.now()
    run_id = run.request.run_id
    await change_migration(
        opened.api, run.id, lambda found: safe_points.in_stretch(found, stretch, target, now=now, run_id=run_id)
    )
    opened.tell(f"{run.cluster.name}: begins the {stretch_key(stretch, target)}")


async def _update_window(request: MigrationRequest) -> UpdateWindow | None:
    """Return the Cluster's own window as it stands there, if the run may work in it."""
    if not request.maintenance.cluster_window:
        return None
    async with open_cluster(request.cluster, get_run_logger().info) as opened:
        return (await opened.seed.cluster(request.cluster.name)).update_window


def _needed(request: MigrationRequest, timetable: Timetable, seconds: float, now: datetime) -> timedelta:
    """Return how long a window has to be open yet; next to nothing if none is long enough, and that is accepted."""
    needed = request.maintenance.with_margin(seconds)
    is_accepted = needed > timetable.longest(now) and TOO_SHORT in request.accept
    return timedelta(seconds=1) if is_accepted else needed


def _next_opening(
    request: MigrationRequest, timetable: Timetable, what: str, needed: timedelta, now: datetime
) -> Opening:
    """Return the first opening that has room. Raises OperatorActionNeeded if none ever has."""
    opening = timetable.next_opening(now, needed)
    if opening is None:
        longest = _minutes(timetable.longest(now))
        raise OperatorActionNeeded(
            f"the {what} of {request.cluster} takes some {_minutes(needed)}, and no window has room for that: the "
            f"longest is open for {longest}. Give it a longer one, less of a margin, or accept {TOO_SHORT}"
        )
    return opening


async def _state(cluster: ClusterRef, migration_id: str) -> str:
    if not migration_id:
        return "State: nothing of it was changed by this run."
    facts = await look_where_it_stands(cluster, migration_id, get_run_logger().info)
    return f"State, at a safe point: {state_of(facts)}."


def _now_open(timetable: Timetable, now: datetime) -> str:
    opening = timetable.opening_at(now)
    return f"{_minutes(opening.end - now)} are left of this one" if opening else "none is open now"


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min" if span.total_seconds() >= 90 else f"{span.total_seconds():.0f} s"
