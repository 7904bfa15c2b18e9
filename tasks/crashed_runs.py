"""The crashed runs of our flows as Prefect knows them, and the states that are set on them. Refuses to decide."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterId,
    FlowRunFilterStartTime,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import TaskRunSort
from prefect.states import AwaitingRetry, Cancelled, Crashed

from migration.models import OnFailure
from migration.resuming import (
    INTERRUPTED,
    MIGRATING_FLOWS,
    CrashedFleet,
    CrashedRun,
    OtherRun,
    count_crashes,
    was_cancelled,
)
from tasks import clock
from tasks.flow_runs import PAGE, UNDER_WAY, cluster_of, forget_process, in_states, of_flows, pages

AnyCrashedRun = CrashedRun | CrashedFleet
OUR_FLOWS: Final = of_flows(*MIGRATING_FLOWS)
# Prefect names a task run after its task, with three hexadecimal digits behind.
_RUN_NAME_SUFFIX: Final = re.compile(r"-[0-9a-f]{3}$")


async def crashed_runs(*, since: timedelta) -> list[CrashedRun]:
    """Return the deployed runs of our flows that are crashed now and crashed within that time, the oldest first."""
    crashed = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        state=in_states([StateType.CRASHED]),
        end_time=FlowRunFilterEndTime(after_=clock.now() - since),
    )
    async with get_client() as client:
        flows = {flow.id: flow.name for flow in await client.read_flows(flow_filter=OUR_FLOWS)}
        found = [await _crashed(client, run, flows[run.flow_id]) async for run in pages(client, crashed, OUR_FLOWS)]
    return sorted((run for run in found if run is not None), key=lambda run: run.begun_at)


async def crashed_run(flow_run_id: UUID) -> CrashedRun | None:
    """Return one run if it is crashed now, and is of a flow that migrates a cluster."""
    async with get_client() as client:
        run = await client.read_flow_run(flow_run_id)
        flow = await client.read_flow(run.flow_id)
        return await _crashed(client, run, flow.name) if flow.name in MIGRATING_FLOWS else None


async def other_runs(crashed: Iterable[CrashedRun]) -> list[OtherRun]:
    """Return the runs of our flows that are under way, or began after the first of the crashed ones did."""
    crashed = tuple(crashed)
    oldest = min((run.begun_at for run in crashed), default=clock.now())
    resumable = {run.id for run in crashed if not run.given_up}
    later = FlowRunFilter(start_time=FlowRunFilterStartTime(after_=oldest))
    found = {run.id: run for run in (*await runs_under_way(), *await _others(later))}
    return [run.model_copy(update={"is_resumable": run.id in resumable}) for run in found.values()]


async def runs_under_way() -> list[OtherRun]:
    """Return the runs of our flows that are not over."""
    return await _others(FlowRunFilter(state=in_states(UNDER_WAY)))


async def _others(wanted: FlowRunFilter) -> list[OtherRun]:
    async with get_client() as client:
        return [other async for run in pages(client, wanted, OUR_FLOWS) if (other := _other(run)) is not None]


async def step_under_way(run: CrashedRun) -> str:
    """Return the name of the task that a crashed run was at; empty if it was at none."""
    async with get_client() as client:
        found = await client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run.id)])),
            sort=TaskRunSort.EXPECTED_START_TIME_DESC,
            limit=PAGE,
        )
    started = [task for task in found if task.state is not None and not task.state.is_completed()]
    return _RUN_NAME_SUFFIX.sub("", started[0].name) if started else ""


async def take_up(run: AnyCrashedRun, message: str) -> bool:
    """Have a worker start the run again; tells whether that was done: not if it isn't crashed any more.

    In its queue it goes before all others, which may be full of runs that have begun nothing yet: Prefect (3.8.8,
    server/database/sql) orders a queue by when its runs were scheduled for.
    """
    state: State[Any] = AwaitingRetry(message=message, scheduled_time=run.first_due_at or clock.now())
    if await as_it_was_read(run) is not None:
        async with get_client() as client:
            await forget_process(client, UUID(run.id))
    return await _set_state_of_crashed(run, state, force=False)


async def mark_interrupted(run: AnyCrashedRun, message: str, *, given_up: bool) -> bool:
    """Leave the run, which stays crashed, with a message for people; tells whether that was done.

    Prefect lets no run go from one crashed state to another (3.8.8, HandleFlowTerminalStateTransitions) unless forced.
    What is given up carries `retriable: false`.
    """
    state: State[Any] = Crashed(name=INTERRUPTED, message=message)
    state.state_details.retriable = not given_up
    return await _set_state_of_crashed(run, state, force=True)


async def mark_cancelled(run: AnyCrashedRun, message: str) -> bool:
    """Leave the run cancelled, as somebody had wanted before it crashed; tells whether that was done."""
    return await _set_state_of_crashed(run, Cancelled(message=message), force=True)


async def as_it_was_read(run: AnyCrashedRun) -> FlowRun | None:
    """Return the run if it is still in the crash that was read: whoever took it up or cancelled it goes first."""
    async with get_client() as client:
        found = await client.read_flow_run(UUID(run.id))
    is_same = found.state is not None and found.state.is_crashed() and found.state.timestamp == run.crashed_at
    return found if is_same else None


async def _set_state_of_crashed(run: AnyCrashedRun, state: State[Any], *, force: bool) -> bool:
    if await as_it_was_read(run) is None:
        return False
    async with get_client() as client:
        answer = await client.set_flow_run_state(UUID(run.id), state, force=force)
    return answer.status is SetStateStatus.ACCEPT


async def _crashed(client: PrefectClient, run: FlowRun, flow: str) -> CrashedRun | None:
    cluster = cluster_of(run)
    if cluster is None or run.state is None or not run.state.is_crashed():
        return None
    states = await client.read_flow_run_states(run.id)
    crashes = [state for state in states if state.is_crashed() and state.name != INTERRUPTED]
    return CrashedRun(
        id=str(run.id),
        name=run.name,
        flow=flow,
        cluster=cluster,
        begun_at=run.start_time or _created(run),
        crashed_at=run.state.timestamp,
        crashes=count_crashes((state.timestamp, state.is_crashed()) for state in states),
        message=(crashes[-1].message or "") if crashes else "",
        given_up=run.state.name == INTERRUPTED and run.state.state_details.retriable is False,
        cancelled=was_cancelled((state.timestamp, state.type.value) for state in states),
        version=str(run.parameters.get("cilium_version") or run.parameters.get("canal_version") or ""),
        takes_itself_back=run.parameters.get("on_failure") == OnFailure.REVERT,
        first_due_at=run.expected_start_time,
        is_deployed=run.deployment_id is not None,
    )


def _other(run: FlowRun) -> OtherRun | None:
    cluster = cluster_of(run)
    if cluster is None or run.state is None or (run.state.is_final() and run.start_time is None):
        return None
    return OtherRun(
        id=str(run.id),
        name=run.name,
        cluster=cluster,
        begun_at=run.start_time or run.expected_start_time or _created(run),
        is_over=run.state.is_final(),
        state=run.state.name or run.state.type.value,
        only_planned=run.auto_scheduled and run.state.is_scheduled() and run.start_time is None,
    )


def _created(run: FlowRun) -> datetime:
    return run.created or clock.now()
