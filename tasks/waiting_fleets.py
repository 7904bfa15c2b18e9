"""Roll-outs that have stepped aside: brought back before their time if something has happened to one of their clusters.

While nobody has a roll-out, its table stands still and its free places stay empty; resume-interrupted looks anyway.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.logging import get_run_logger
from prefect.states import Scheduled

from migration.fleet.moves import is_worth_waking
from migration.fleet.resuming import FLEET_FLOW
from migration.fleet.runs import AWAITING_CLUSTERS, SOAKING
from tasks import clock
from tasks.fleet_runs import all_runs
from tasks.flow_runs import in_states, of_flows, pages
from tasks.policy import looking_task

SOON: Final = timedelta(minutes=1)
"""A roll-out that comes back that soon by itself is left alone."""


@looking_task("wake waiting fleets", retries=4)
async def wake_waiting_fleets() -> None:
    """Leave no roll-out waiting aside while one of its clusters' runs has begun or ended since it stepped there."""
    waiting = FlowRunFilter(state=in_states([StateType.SCHEDULED]))
    async with get_client() as client:
        fleets = [fleet async for fleet in pages(client, waiting, of_flows(FLEET_FLOW))]
    for fleet in fleets:
        since = _aside_since(fleet)
        if since is not None and is_worth_waking(await all_runs(str(fleet.id)), since):
            await _wake(fleet)


def _aside_since(fleet: FlowRun) -> datetime | None:
    """Return since when a roll-out waits aside; None if it doesn't, or comes back by itself in a moment."""
    state = fleet.state
    if state is None or state.name not in (SOAKING, AWAITING_CLUSTERS):
        return None
    due_at = state.state_details.scheduled_time
    return state.timestamp if due_at is not None and due_at > clock.now() + SOON else None


async def _wake(fleet: FlowRun) -> None:
    """Have a worker take the roll-out up now, in the state that it waits in, unless it has left that meanwhile."""
    async with get_client() as client:
        found = await client.read_flow_run(fleet.id)
        if found.state is None or fleet.state is None or found.state.id != fleet.state.id:
            return
        state: State[Any] = Scheduled(name=found.state.name, message=found.state.message, scheduled_time=clock.now())
        answer = await client.set_flow_run_state(fleet.id, state)
    if answer.status is SetStateStatus.ACCEPT:
        get_run_logger().info("%s: comes back, for something has happened to one of its clusters", fleet.name)
