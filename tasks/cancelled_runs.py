"""Runs that were cancelled while no process had them: what their workers would have done is done for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from migration.resuming import LandedRun, Limits
from tasks import clock
from tasks.crashed_runs import OUR_FLOWS
from tasks.flow_runs import cluster_of, pages
from tasks.landing import land_from, look, tell_cancelled
from tasks.policy import looking_task

CANCELLED: Final = "Cancelled"
"""Prefect's name of the state; `NotApproved` is of the same type, and nothing to land."""


@looking_task("find cancelled runs", retries=4)
async def find_cancelled_runs(limits: Limits) -> tuple[UUID, ...]:
    """Return the runs that were cancelled lately after they had begun, and that nobody has landed.

    No hook runs if no process had the run: it waited, had crashed and was to go on, or its worker was gone too, and
    Prefect (3.8.8, server/services/cancellation_cleanup.py) gave up waiting for it after five minutes. Whoever lands a
    run leaves a message that begins with its cluster, and has the quiet time for that.
    """
    now = clock.now()
    lately = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[CANCELLED])),
        end_time=FlowRunFilterEndTime(after_=now - timedelta(hours=limits.max_age_hours)),
    )
    async with get_client() as client:
        runs = [run async for run in pages(client, lately, OUR_FLOWS) if _is_forgotten(run)]
    quiet = now - timedelta(seconds=limits.quiet_seconds)
    return tuple(run.id for run in runs if run.state is not None and run.state.timestamp <= quiet)


@looking_task("land")
async def land_cancelled_run(run_id: UUID) -> LandedRun | None:
    """Leave the cluster of a forgotten run on its way to its next safe point, and the run saying so.

    None if the cluster can't be looked at, which is tried again next time, or if somebody sees to the run by now.
    """
    tell = get_run_logger().info
    async with get_client() as client:
        run = await _as_forgotten(client, run_id)
        if run is None:
            return None
        flow = (await client.read_flow(run.flow_id)).name
        facts = await look(run, tell)
        before = run.state.id if run.state else None
        again = await _as_forgotten(client, run_id)
    if facts is None or again is None or again.state is None or again.state.id != before:
        return None
    message = await land_from(facts, run, flow)
    await tell_cancelled(run.id, message)
    get_run_logger().warning("%s", message)
    cluster = cluster_of(run)
    return None if cluster is None else LandedRun(name=run.name, cluster=cluster, message=message)


async def _as_forgotten(client: PrefectClient, run_id: UUID) -> FlowRun | None:
    run = await client.read_flow_run(run_id)
    return run if _is_forgotten(run) else None


def _is_forgotten(run: FlowRun) -> bool:
    cluster, state = cluster_of(run), run.state
    if cluster is None or state is None or state.name != CANCELLED or run.start_time is None:
        return False
    return not (state.message or "").startswith(f"{cluster}: ")
