"""Putting a run off: it leaves its worker, and the same run is taken up again when its time has come."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NoReturn
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.states import Running, Scheduled

from migration.errors import RunCancelled
from migration.models import MigrationRequest
from tasks import clock
from tasks.flow_runs import forget_process
from tasks.patience import patiently

AWAITING_LOCK: Final = "AwaitingClusterLock"
AWAITING_WINDOW: Final = "AwaitingWindow"
LATE: Final = "Late"
"""Prefect's name of the state of a run that should have started: if it waited before, it waits still."""
ERRAND: Final = "to-the-next-safe-point"
"""The tag of a run that brings a cancelled run's cluster to its next safe point."""


class PutOff(Exception):
    """A lone run has to wait: nobody but itself would take it up again."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until)
        self.until = until


async def put_off(state_name: str, *, until: datetime, message: str) -> NoReturn:
    """Leave the run waiting under this name until then, when it begins again from its first line.

    Prefect has no call for this (3.8.8): the run puts itself into a Scheduled state of this name, and then leaves its
    process as a suspended one does; a worker takes it up on time. Waits for the Prefect server if that is away. Raises
    PutOff in a run that has no deployment, for `taken_up_again` to wait, and RunCancelled if it was cancelled.
    """
    get_run_logger().info("%s: %s", state_name, message)
    if runtime.deployment.id is None:
        await _set_state(Running(name=state_name, message=message))
        raise PutOff(until)
    raise Pause(state=await _left(Scheduled(name=state_name, scheduled_time=until, message=message)))


async def _left(waiting: State[None]) -> State[None]:
    """Leave the run in this state, with no process to its name; no-op where only the answer to that was lost.

    A worker may have taken the run up before it is asked again: then it must not be put off a second time.
    """
    before = {state.id for state in await _states()}

    async def leave() -> State[None]:
        async with get_client() as client:
            found = await client.read_flow_run_states(_run_id())
            done = next((state for state in found if state.name == waiting.name and state.id not in before), None)
            if done is not None:
                return done
            await forget_process(client, _run_id())
            return await _propose(client, waiting)

    return await patiently(leave)


async def times_ended() -> int:
    """Return how often this run had ended before it was retried or taken up again."""
    return sum(state.is_final() for state in await _states())


async def taken_up_again(waiting: PutOff) -> None:
    """Return when a lone run's time has come, as a worker takes up the others."""
    await clock.sleep_until(waiting.until)
    await _set_state(Running())


async def waiting_since(state_name: str) -> datetime | None:
    """Return since when the run has been waiting under this name, looking in between or not; None if it hasn't."""
    since = None
    for state in sorted(await _states(), key=lambda state: state.timestamp, reverse=True):
        if state.name == state_name:
            since = state.timestamp
        elif not (state.is_running() or state.is_pending() or state.name == LATE):
            break
    return since


def with_run(request: MigrationRequest) -> MigrationRequest:
    """Return the request with what is known of the flow run that it belongs to."""
    changes = {"run_id": str(runtime.flow_run.id), "is_errand": ERRAND in (runtime.flow_run.tags or ())}
    return request.model_copy(update=changes)


def is_retried_by_prefect() -> bool:
    """Tell whether Prefect starts this run again by itself if it fails now: only for an error that is raised."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return False
    return context.flow_run.run_count <= (context.flow.retries or 0)


def has_flow_retries() -> bool:
    """Tell whether Prefect may start this run again by itself, in the same process.

    There a state that a later attempt returns makes Prefect (3.8.8, flow_engine.py) raise what the first one raised.
    """
    context = FlowRunContext.get()
    return context is not None and context.flow is not None and bool(context.flow.retries)


async def is_cancelled() -> bool:
    """Tell whether somebody has cancelled this run; waits for the Prefect server if that is away."""
    found = await patiently(_read_run)
    return found.state is not None and (found.state.is_cancelling() or found.state.is_cancelled())


async def _read_run() -> FlowRun:
    async with get_client() as client:
        return await client.read_flow_run(_run_id())


async def _states() -> list[State[None]]:
    async def ask() -> list[State[None]]:
        async with get_client() as client:
            return await client.read_flow_run_states(_run_id())

    return await patiently(ask)


async def _set_state(state: State[None]) -> State[None]:
    async def set_it() -> State[None]:
        async with get_client() as client:
            return await _propose(client, state)

    return await patiently(set_it)


async def _propose(client: PrefectClient, state: State[None]) -> State[None]:
    answer = await client.set_flow_run_state(_run_id(), state)
    if answer.status is SetStateStatus.ACCEPT and answer.state is not None:
        return answer.state
    # Only somebody who cancelled or ended the run keeps it from this.
    raise RunCancelled(f"the run could not be put off, its state is {answer.state.name if answer.state else 'lost'}")


def _run_id() -> UUID:
    return UUID(str(runtime.flow_run.id))
