"""Runs of our flows that nobody takes up, though their time has come: they are left as Late, and told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.logging import get_run_logger
from prefect.states import Late

from migration.late_runs import LateRun
from tasks import clock
from tasks.crashed_runs import OUR_FLOWS
from tasks.flow_runs import cluster_of, pages
from tasks.policy import looking_task
from tasks.rescheduling import AWAITING_LOCK, AWAITING_WINDOW

OVERDUE: Final = timedelta(minutes=10)
"""How long a worker may take: it looks every quarter of a minute, but its queue may be full for a while."""
OVERLOOKED: Final = ("AwaitingRetry", AWAITING_WINDOW, AWAITING_LOCK)
"""Names of states that Prefect (3.8.8, server/services/late_runs.py) never makes Late: it looks for `Scheduled`."""


@looking_task("mark late runs", retries=4)
async def mark_late_runs() -> tuple[LateRun, ...]:
    """Leave the deployed runs as Late that wait though their time has come, and return those that were not before.

    That says what is so, and the automation for late runs tells people. A worker takes such a run up as before, and
    Prefect makes none of them Late that a worker has taken up meanwhile (EnsureOnlyScheduledFlowsMarkedLate).
    """
    latest = clock.now() - OVERDUE
    overdue = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=list(OVERLOOKED))),
        next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(before_=latest),
    )
    async with get_client() as client:
        runs = [run async for run in pages(client, overdue, OUR_FLOWS)]
    found = [late for run in runs if (late := _late(run)) is not None and late.due_at <= latest]
    return tuple([late for late in found if await _mark(late)])


def _late(run: FlowRun) -> LateRun | None:
    """Return the run as one that is due, which one that was just taken up is not before that."""
    cluster = cluster_of(run)
    if cluster is None or run.state is None or run.next_scheduled_start_time is None:
        return None
    return LateRun(
        id=str(run.id),
        name=run.name,
        cluster=cluster,
        state=run.state.name or "Scheduled",
        message=run.state.message or "",
        scheduled_at=run.next_scheduled_start_time,
        due_at=max(run.next_scheduled_start_time, run.state.timestamp),
    )


async def _mark(run: LateRun) -> bool:
    state: State[Any] = Late(
        scheduled_time=run.scheduled_at, message=f"{run.cluster}: {run.what}. {run.message}".rstrip()
    )
    async with get_client() as client:
        answer = await client.set_flow_run_state(run.id, state)
    if answer.status is not SetStateStatus.ACCEPT:
        return False
    get_run_logger().warning("%s: %s is late: %s", run.cluster, run.name, run.what)
    return True
