"""Who goes first in a queue that is full, and who is told late: runs that crashed, or that waited for their time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State, StateDetails, StateType
from prefect.states import AwaitingRetry, Pending, Running, Scheduled

from flows.resume_interrupted import resume_interrupted
from tasks import clock, crashed_runs
from tasks.rescheduling import AWAITING_LOCK, AWAITING_WINDOW

pytestmark = [
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("prefect_server"),
]
POOL, QUEUE = "pool-of-queues", "migrations"


@pytest_asyncio.fixture
async def full_queue():
    """Leave a queue with room for one run; returns how to start one in it."""
    async with get_client() as client:
        if not [pool for pool in await client.read_work_pools() if pool.name == POOL]:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
            await client.create_work_queue(QUEUE, work_pool_name=POOL, concurrency_limit=1)
        flow_id = await client.create_flow_from_name("canal-to-cilium")
        deployment = await client.create_deployment(
            flow_id, "in-a-queue", work_pool_name=POOL, work_queue_name=QUEUE, enforce_parameter_schema=False
        )

        async def start(cluster: str, state: State[Any]) -> Any:
            parameters = {"seed": "nowhere", "cluster": cluster}
            return await client.create_flow_run_from_deployment(deployment, parameters=parameters, state=state)

        yield start


@pytest.fixture
def ahead(monkeypatch):
    """Put the clock forward."""

    def put(by: timedelta) -> None:
        monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + by)

    return put


async def reach(run: Any, state: State[Any]) -> None:
    async with get_client() as client:
        await client.set_flow_run_state(run.id, state, force=True)


async def state_of(run: Any) -> State[Any]:
    async with get_client() as client:
        states = await client.read_flow_run_states(run.id)
    return max(states, key=lambda state: state.timestamp)


async def next_in(pool: str) -> list[Any]:
    """Return the runs that a worker of this pool would take up now."""
    async with get_client() as client:
        found = await client.get_scheduled_flow_runs_for_work_pool(pool, scheduled_before=datetime.now(UTC))
    return [each.flow_run.id for each in found]


async def end(*runs: Any) -> None:
    for run in runs:
        await reach(run, State(type=StateType.CANCELLED))


async def test_a_crashed_run_that_is_taken_up_goes_before_those_that_were_due_when_it_began(full_queue):
    due = datetime.now(UTC) - timedelta(hours=2)
    crashed = await full_queue("crashed", Scheduled(scheduled_time=due))
    waiting = await full_queue("waiting", Scheduled(scheduled_time=due + timedelta(seconds=1)))
    assert await next_in(POOL) == [crashed.id]
    for state in (Pending(), Running(), State(type=StateType.CRASHED, message="killed")):
        await reach(crashed, state)

    found = await crashed_runs.crashed_run(crashed.id)

    assert found is not None
    assert await crashed_runs.take_up(found, "taken up")
    assert await next_in(POOL) == [crashed.id]
    await end(crashed, waiting)


@pytest.mark.parametrize("name", [AWAITING_WINDOW, AWAITING_LOCK, "AwaitingRetry"])
async def test_a_run_that_nobody_takes_up_again_is_late_and_told(full_queue, ahead, name):
    due = datetime.now(UTC) + timedelta(minutes=1)
    run = await full_queue("overdue", Pending())
    await reach(run, Scheduled(name=name, scheduled_time=due, message="lab/overdue: waits. State: fine"))
    ahead(timedelta(minutes=12))

    resumption = await resume_interrupted()

    state = await state_of(run)
    assert (state.type, state.name, state.state_details.scheduled_time) == (StateType.SCHEDULED, "Late", due)
    assert state.message == (
        f"nowhere/overdue: no worker has taken it up since {due:%Y-%m-%d %H:%M} UTC, when {name} was over. "
        "lab/overdue: waits. State: fine"
    )
    assert "1 late" in resumption.message
    async with get_client() as client:
        newest = (
            await client.request("GET", "/artifacts/{key}/latest", path_params={"key": "interrupted-runs"})
        ).json()
    assert f"| nowhere/overdue | {run.name} | {name} | {due:%Y-%m-%d %H:%M} UTC |" in newest["data"]
    assert "late" not in (await resume_interrupted()).message
    await end(run)


async def test_what_is_not_due_for_long_or_was_taken_up_just_now_is_not_late(full_queue, ahead):
    now = datetime.now(UTC)
    later = await full_queue("later", Pending())
    await reach(later, Scheduled(name=AWAITING_WINDOW, scheduled_time=now + timedelta(minutes=5)))
    # It goes first in its queue by when it had begun, which is no time at which it was due.
    taken_up = await full_queue("taken-up", Pending())
    ahead(timedelta(minutes=12))
    await reach(taken_up, AwaitingRetry(scheduled_time=now - timedelta(hours=3)))
    suspended = await full_queue("suspended", Pending())
    await reach(suspended, State(type=StateType.PAUSED, name="Suspended", state_details=StateDetails()))
    ahead(timedelta(minutes=9))

    resumption = await resume_interrupted()

    assert "late" not in resumption.message
    assert [(await state_of(run)).name for run in (later, taken_up, suspended)] == [
        *(AWAITING_WINDOW, "AwaitingRetry", "Suspended")
    ]
    await end(later, taken_up, suspended)
