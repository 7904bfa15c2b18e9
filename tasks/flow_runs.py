"""Flow runs as Prefect's API lists them: page by page, by flow and by state, and which cluster each is for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from migration.models import ClusterRef

PAGE: Final = 200
UNDER_WAY: Final = (
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
)


async def pages(client: PrefectClient, wanted: FlowRunFilter, flow: FlowFilter | None = None) -> AsyncIterator[FlowRun]:
    """Yield every flow run that is wanted, of these flows if any are given."""
    offset = 0
    while True:
        page = await client.read_flow_runs(
            flow_filter=flow, flow_run_filter=wanted, sort=FlowRunSort.ID_DESC, limit=PAGE, offset=offset
        )
        for run in page:
            yield run
        if len(page) < PAGE:
            return
        offset += PAGE


async def forget_process(client: PrefectClient, flow_run_id: UUID) -> None:
    """Leave a run that has no process without one in its record, so that it can be cancelled at once while it waits.

    Prefect would wait for the process to end (3.8.8, core_policy.py, BypassCancellingFlowRunsWithNoInfra): a worker
    notes it down when it has started it, and nobody takes it off. `update_flow_run` can't: it leaves out what is empty.
    """
    no_process = {"infrastructure_pid": None}
    await client.request("PATCH", "/flow_runs/{id}", path_params={"id": flow_run_id}, json=no_process)


def of_flows(*names: str) -> FlowFilter:
    """Return the filter for flows of these names."""
    return FlowFilter(name=FlowFilterName(any_=list(names)))


def in_states(types: Iterable[StateType]) -> FlowRunFilterState:
    """Return the filter for runs in a state of one of these types."""
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types)))


def cluster_of(run: FlowRun) -> ClusterRef | None:
    """Return the cluster that a run is for; None if its parameters name none."""
    seed, name = run.parameters.get("seed"), run.parameters.get("cluster")
    return ClusterRef(seed=seed, name=name) if isinstance(seed, str) and isinstance(name, str) else None
