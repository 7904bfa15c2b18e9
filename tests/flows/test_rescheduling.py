"""A run of a deployment that is put off: what is left of it on the server, whoever cancels it or cuts the server off."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelling, Late, Pending, Running, Scheduled

from tasks import rescheduling
from tasks.patience import patiently
from tasks.rescheduling import AWAITING_LOCK, AWAITING_WINDOW, put_off, waiting_since

pytestmark = [
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("prefect_server"),
]
UNTIL = datetime(2030, 11, 28, 22, tzinfo=UTC)


class CutOff(httpx.AsyncHTTPTransport):
    """A way to the server on which some requests don't arrive, or their answers don't."""

    def __init__(self, path: str, *, arrives: bool) -> None:
        super().__init__()
        self.path, self.arrives = path, arrives
        self.cut = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.cut or not request.url.path.endswith(self.path):
            return await super().handle_async_request(request)
        self.cut += 1
        if self.arrives:
            await (await super().handle_async_request(request)).aread()
        raise httpx.ConnectError("refused", request=request)


@flow(name="waiting")
async def waiting(state_name: str = AWAITING_WINDOW) -> NoReturn:
    await put_off(state_name, until=UNTIL, message="lab/a: waits for its window")


@flow(name="asking")
async def asking() -> datetime | None:
    return await waiting_since(AWAITING_LOCK)


async def deployed_run(of: Any) -> Any:
    """Return a run that a process worker has submitted, which notes down the process that it started."""
    async with get_client() as client:
        flow_id = await client.create_flow_from_name(of.name)
        deployment = await client.create_deployment(flow_id, f"{of.name} by a worker")
        run = await client.create_flow_run_from_deployment(deployment, state=Pending())
        await client.update_flow_run(run.id, infrastructure_pid="worker-host:4711")
        return await client.read_flow_run(run.id)


async def put_off_by_itself(run: Any) -> None:
    with pytest.raises(Pause):
        await run_flow_async(waiting, flow_run=run)


async def states_of(run: Any) -> list[str]:
    async with get_client() as client:
        states = await client.read_flow_run_states(run.id)
    return [str(state.name) for state in sorted(states, key=lambda state: state.timestamp)]


@pytest.fixture
def way(monkeypatch):
    """Have the run's requests take a way that is cut off once, and its patience be short of breath."""

    def lead_over(found: CutOff) -> CutOff:
        options = {"transport": found}
        monkeypatch.setattr(rescheduling, "get_client", lambda: get_client(httpx_settings=options))
        monkeypatch.setattr(rescheduling, "patiently", partial(patiently, pause_seconds=0))
        return found

    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        yield lead_over


async def test_a_waiting_run_that_a_worker_had_started_is_cancelled_at_once():
    run = await deployed_run(waiting)
    await put_off_by_itself(run)

    async with get_client() as client:
        await client.set_flow_run_state(run.id, Cancelling())
        found = await client.read_flow_run(run.id)

    assert found.state.type is StateType.CANCELLED
    assert not found.state.message
    assert (await states_of(run))[-2:] == [AWAITING_WINDOW, "Cancelled"]


@pytest.mark.parametrize("path", ["/set_state", "/flow_run_states/", ""], ids=["setting", "reading", "no process"])
@pytest.mark.parametrize("arrives", [False, True], ids=["unheard", "unanswered"])
async def test_a_server_that_is_away_where_a_run_has_to_wait_is_waited_for(way, path, arrives):
    run = await deployed_run(waiting)
    over = way(CutOff(path or f"/flow_runs/{run.id}", arrives=arrives))

    await put_off_by_itself(run)

    assert over.cut == 1
    assert await states_of(run) == ["Pending", "Running", AWAITING_WINDOW]
    async with get_client() as client:
        found = await client.read_flow_run(run.id)
    assert found.next_scheduled_start_time == UNTIL
    assert found.infrastructure_pid is None


async def test_a_run_that_went_on_before_the_answer_came_is_not_put_off_twice(way):
    run = await deployed_run(waiting)
    over = way(TakenUpMeanwhile(run.id))

    await put_off_by_itself(run)

    assert over.cut == 1
    assert (await states_of(run))[-2:] == [AWAITING_WINDOW, "Running"]


class TakenUpMeanwhile(CutOff):
    """The answer to a run that is put off is lost, and a worker takes it up before it asks again."""

    def __init__(self, run_id: Any) -> None:
        super().__init__("/set_state", arrives=True)
        self.run_id = run_id

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except httpx.ConnectError:
            async with get_client(httpx_settings={"transport": httpx.AsyncHTTPTransport()}) as client:
                await client.set_flow_run_state(self.run_id, Running(), force=True)
            raise


async def test_a_run_that_was_late_has_waited_since_before_that():
    run = await deployed_run(asking)
    waits: State[Any] = Scheduled(name=AWAITING_LOCK, scheduled_time=UNTIL)
    async with get_client() as client:
        for state in [waits, Late(scheduled_time=UNTIL), Pending()]:
            await client.set_flow_run_state(run.id, state, force=True)
        run = await client.read_flow_run(run.id)
        states = await client.read_flow_run_states(run.id)

    since = await run_flow_async(asking, flow_run=run)

    assert since == next(state.timestamp for state in states if state.name == AWAITING_LOCK)


async def test_how_long_a_run_has_waited_is_asked_again_if_the_server_is_away(way):
    run = await deployed_run(asking)
    over = way(CutOff("/flow_run_states/", arrives=False))

    assert await run_flow_async(asking, flow_run=run) is None
    assert over.cut == 1
