"""Runs that were cancelled while no process had them: what their workers would have done is done for them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from migration.resuming import LandedRun, Limits, OtherRun, at_work, was_over
from tasks import clock
from tasks.crashed_runs import OUR_FLOWS, runs_under_way
from tasks.flow_runs import cluster_of, pages
from tasks.landing import land_from, look, tell_cancelled
from tasks.policy import looking_task
from tasks.rescheduling import ERRAND

CANCELLED: Final = "Cancelled"
"""Prefect's name of the state; `NotApproved` is of the same type, and nothing to land."""


@looking_task("find cancelled runs", retries=4)
async def find_cancelled_runs(limits: Limits) -> tuple[UUID, ...]:
    """Return the runs that were cancelled lately after they had begun, and that nobody has landed.

    No hook runs if no process had the run: it waited, had crashed and was to go on, or its worker was gone too, and
    Prefect (3.8.8, server/services/cancellation_cleanup.py) gave up waiting for it after five minutes. Whoever lands a
    run leaves a message that begins with its cluster, and has the quiet time for that. While another run is at work on
    the cluster, it is that one's; and one that had ended before somebody cancelled it is left as it is.
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
    runs = [run for run in runs if run.state is not None and run.state.timestamp <= quiet]
    others = await runs_under_way() if runs else []
    return tuple([run.id for run in runs if not _is_overtaken(run, others) and not await _was_over(run.id)])


@looking_task("land")
async def land_cancelled_run(run_id: UUID) -> LandedRun | None:
    """Leave the cluster of a forgotten run on its way to its next safe point, and the run saying so.

    None if somebody sees to the run by now. A cluster that can't be looked at is left for the next time.
    """
    run = await _forgotten(run_id)
    cluster = cluster_of(run) if run is not None else None
    if run is None or cluster is None:
        return None
    facts = await look(run, get_run_logger().info)
    if facts is None or facts.cluster is None:
        return LandedRun(name=run.name, cluster=cluster)
    if not _is_same(run, await _forgotten(run_id)) or _is_overtaken(run, await runs_under_way()):
        return None
    async with get_client() as client:
        flow = (await client.read_flow(run.flow_id)).name
    message = await land_from(facts, run, flow)
    if _is_same(run, await _forgotten(run_id)):
        await tell_cancelled(run.id, message)
    get_run_logger().warning("%s", message)
    return LandedRun(name=run.name, cluster=cluster, message=message)


async def _forgotten(run_id: UUID) -> FlowRun | None:
    """Return the run if it still is a forgotten one."""
    async with get_client() as client:
        try:
            run = await client.read_flow_run(run_id)
        except ObjectNotFound:
            return None  # somebody has deleted its record
    return run if _is_forgotten(run) else None


async def _was_over(run_id: UUID) -> bool:
    async with get_client() as client:
        states = await client.read_flow_run_states(run_id)
    return was_over((state.timestamp, state.type.value) for state in states)


def _is_forgotten(run: FlowRun) -> bool:
    """Tell whether it is cancelled without a word on its cluster, and had begun; an errand need not have."""
    cluster, state = cluster_of(run), run.state
    if cluster is None or state is None or state.name != CANCELLED or not (run.run_count or ERRAND in run.tags):
        return False
    return not (state.message or "").startswith(f"{cluster}: ")


def _is_same(run: FlowRun, now: FlowRun | None) -> bool:
    return now is not None and now.state_id == run.state_id


def _is_overtaken(run: FlowRun, others: Iterable[OtherRun]) -> bool:
    cluster = cluster_of(run)
    return cluster is not None and bool(at_work(cluster, others, besides=str(run.id)))
