"""Runs that were cancelled while no process had them: what their workers would have done is done for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterEndTime
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.logging import get_run_logger

from migration.resuming import Limits, was_cancelled_before_it_went_on
from tasks import clock
from tasks.crashed_runs import OUR_FLOWS
from tasks.flow_runs import cluster_of, in_states, pages
from tasks.landing import land, tell_cancelled
from tasks.policy import looking_task


@looking_task("land cancelled runs", retries=4)
async def land_cancelled_runs(limits: Limits) -> None:
    """Bring the clusters of runs to a safe point that were taken up after a crash, and cancelled before they went on.

    Such a run's cluster may be anywhere, and no hook runs. Prefect (3.8.8, core_policy.py) has it `Cancelled` at once,
    or leaves it `Cancelling` for ever if it still notes the process that crashed.
    """
    async with get_client() as client:
        flows = {flow.id: flow.name for flow in await client.read_flows(flow_filter=OUR_FLOWS)}
        found = [run async for run in _cancelled(client, limits) if await _is_forgotten(client, run, limits)]
    for run in found:
        message = await land(run, flows[run.flow_id], get_run_logger().info)
        get_run_logger().warning("%s", message)
        await tell_cancelled(run.id, message)


async def _cancelled(client: PrefectClient, limits: Limits) -> AsyncIterator[FlowRun]:
    is_deployed = FlowRunFilterDeploymentId(is_null_=False)
    lately = FlowRunFilterEndTime(after_=clock.now() - timedelta(hours=limits.max_age_hours))
    for wanted in (
        FlowRunFilter(deployment_id=is_deployed, state=in_states([StateType.CANCELLED]), end_time=lately),
        FlowRunFilter(deployment_id=is_deployed, state=in_states([StateType.CANCELLING])),
    ):
        async for run in pages(client, wanted, OUR_FLOWS):
            yield run


async def _is_forgotten(client: PrefectClient, run: FlowRun, limits: Limits) -> bool:
    cluster, state = cluster_of(run), run.state
    if cluster is None or state is None or run.start_time is None:
        return False
    if clock.now() - state.timestamp < timedelta(seconds=limits.quiet_seconds):
        return False
    # Whoever has landed a run leaves it with a message that begins like this.
    if state.is_cancelled() and (state.message or "").startswith(f"{cluster}: "):
        return False
    states = await client.read_flow_run_states(run.id)
    return was_cancelled_before_it_went_on((each.timestamp, each.type.value) for each in states)
