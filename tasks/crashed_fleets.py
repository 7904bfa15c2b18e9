"""Roll-outs whose process ended: found, explained to people, and taken up again a bounded number of times."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging import get_run_logger

from clusters.watching import Tell
from migration.fleet.resuming import FLEET_AGAIN, FLEET_FLOW, UNHARMED, decide_on_fleet
from migration.resuming import INTERRUPTED, CrashedFleet, Limits, Ruling, Settled, count_crashes, was_cancelled
from tasks import clock
from tasks.crashed_runs import as_it_was_read, mark_cancelled, mark_interrupted, take_up
from tasks.fleet_landing import land_fleet
from tasks.flow_runs import PAGE, in_states, of_flows
from tasks.policy import looking_task


@looking_task("find interrupted fleets", retries=4)
async def find_interrupted_fleets(limits: Limits) -> tuple[CrashedFleet, ...]:
    """Return the roll-outs that are crashed now and crashed not too long ago; at most a page of them."""
    crashed = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        state=in_states([StateType.CRASHED]),
        end_time=FlowRunFilterEndTime(after_=clock.now() - timedelta(hours=limits.max_age_hours)),
    )
    flow = of_flows(FLEET_FLOW)
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_filter=flow, flow_run_filter=crashed, sort=FlowRunSort.ID_DESC, limit=PAGE
        )
        found = [await _crashed(client, run) for run in runs]
    return tuple(run for run in found if run is not None)


@looking_task("settle fleet")
async def settle_fleet(run: CrashedFleet, limits: Limits) -> Settled:
    """Leave a crashed roll-out scheduled again, marked as given up, or as it is, and tell which and why."""
    decision = decide_on_fleet(run, limits, clock.now())
    if decision.ruling is Ruling.TAKE_UP:
        await take_up(run, f"Taken up by resume-interrupted: {decision.reason}. {run.message}")
    if decision.ruling is Ruling.LAND:
        await _land(run, get_run_logger().info)
    if decision.ruling is Ruling.GIVE_UP:
        message = (
            f"{run.cluster}: given up: {decision.reason}. The last one: {run.message}. State: {UNHARMED}. To resume: "
            "find out why it crashes, then press Retry on this run's page: clusters that are finished are not touched."
        )
        await mark_interrupted(run, message, given_up=True)
    get_run_logger().info("%s: %s %s: %s", run.cluster, run.name, decision.ruling, decision.reason)
    return Settled(run=run, decision=decision)


async def explain_fleet_crash(flow_run_id: UUID, tell: Tell) -> bool:
    """Leave a roll-out that crashed as Interrupted, with what that means; tells whether that was done.

    One that somebody had cancelled is Cancelled in the end, its clusters brought to their safe points.
    """
    async with get_client() as client:
        run = await _crashed(client, await client.read_flow_run(flow_run_id))
    if run is None:
        return False
    if run.cancelled:
        return await _land(run, tell)
    resume = FLEET_AGAIN if run.is_deployed else "start the flow again with the same parameters"
    message = f"{run.cluster}: its process ended: {run.message}. State: {UNHARMED}. To resume: {resume}."
    return await mark_interrupted(run, message, given_up=False)


async def _land(run: CrashedFleet, tell: Tell) -> bool:
    if await as_it_was_read(run) is None:
        return False
    return await mark_cancelled(run, await land_fleet(run.id, tell))


async def _crashed(client: PrefectClient, run: FlowRun) -> CrashedFleet | None:
    if run.state is None or not run.state.is_crashed():
        return None
    states = await client.read_flow_run_states(run.id)
    crashes = [state for state in states if state.is_crashed() and state.name != INTERRUPTED]
    seeds = ", ".join(str(seed) for seed in run.parameters.get("seeds") or ())
    return CrashedFleet(
        id=str(run.id),
        name=run.name,
        cluster=f"{run.parameters.get('runbook') or 'roll-out'} of {seeds}",
        crashed_at=run.state.timestamp,
        crashes=count_crashes((state.timestamp, state.is_crashed()) for state in states),
        message=(crashes[-1].message or "").rstrip(".") if crashes else "",
        given_up=run.state.name == INTERRUPTED and run.state.state_details.retriable is False,
        cancelled=was_cancelled((state.timestamp, state.type.value) for state in states),
        is_deployed=run.deployment_id is not None,
        first_due_at=run.expected_start_time,
    )
