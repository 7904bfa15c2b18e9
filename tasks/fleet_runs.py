"""The runs of a roll-out's clusters as Prefect knows them: found by tag, started through their deployment, adopted.

The tag and the idempotency key are all that ties them to the roll-out, so whoever comes after a crash finds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.deployments.flow_runs import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from clusters.watching import Tell
from migration.errors import InvalidRequest
from migration.fleet.models import FleetOrder
from migration.fleet.requests import parameters_for
from migration.fleet.states import ClusterRun
from migration.models import ClusterRef
from tasks import clock
from tasks.flow_runs import UNDER_WAY, cluster_of, in_states, of_flows, pages
from tasks.patience import patiently
from tasks.rescheduling import ERRAND

TAG: Final = "fleet:"
ADOPTED: Final = "adopted-by-fleet:"
"""Beside the tag: the run was there before the roll-out came to its cluster, and is somebody else's, or another's."""
SOON: Final = timedelta(minutes=5)
"""A run that is due later than this, and has not begun, keeps no roll-out waiting."""
OPEN: Final = (*UNDER_WAY, StateType.CRASHED)
"""A crashed run may be taken up; how long that counts is for the rules to say."""


def tag_of(fleet_run_id: str) -> str:
    """Return the tag of all runs that belong to a roll-out."""
    return f"{TAG}{fleet_run_id}"


def _adopted_by(fleet_run_id: str) -> str:
    return f"{ADOPTED}{fleet_run_id}"


async def require_deployment(order: FleetOrder) -> None:
    """Raise InvalidRequest if there is no deployment that a cluster's run could be started through."""
    name = _deployment(order)

    async def ask() -> None:
        async with get_client() as client:
            await client.read_deployment_by_name(name)

    try:
        await patiently(ask)
    except ObjectNotFound as error:
        raise _no_deployment(order) from error


async def all_runs(fleet_run_id: str) -> list[ClusterRun]:
    """Return every run of a roll-out's clusters."""
    return await patiently(lambda: _read(fleet_run_id, FlowRunFilter(tags=_tagged(fleet_run_id))))


async def runs_under_way(fleet_run_id: str, seen_under_way: Iterable[str]) -> list[ClusterRun]:
    """Return the runs of a roll-out's clusters that are under way, and those that were when they were seen last.

    Two questions however many clusters there are: what is over long since is not asked for.
    """
    wanted = FlowRunFilter(tags=_tagged(fleet_run_id), state=in_states(OPEN))
    active = await patiently(lambda: _read(fleet_run_id, wanted))
    ended = sorted(set(seen_under_way) - {run.id for run in active})
    if not ended:
        return active
    over = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(one) for one in ended]))
    return active + await patiently(lambda: _read(fleet_run_id, over))


async def start(order: FleetOrder, cluster: ClusterRef, round_number: int) -> ClusterRun:
    """Leave a run started for this cluster, once per round however often this is called; return it.

    A run that is a part of another one can't be suspended (Prefect 3.8.8, core_policy.py, HandlePausingFlows): where
    each cluster's run asks a person, it stands beside the roll-out's.
    """
    tag = tag_of(order.run_id)
    try:
        run = await patiently(
            lambda: arun_deployment(
                _deployment(order),
                parameters=parameters_for(order, cluster),
                flow_run_name=f"{order.runbook} {cluster}",
                timeout=0,
                as_subflow=not order.migration.approval,
                tags=[tag],
                idempotency_key=f"{tag} {cluster} round {round_number}",
            )
        )
    except ObjectNotFound as error:
        raise _no_deployment(order) from error
    found = _cluster_run(order.run_id, run)
    if found is None:
        raise InvalidRequest(f"run {run.id}, which was started for {cluster}, is for no cluster")
    return found


async def others_under_way(order: FleetOrder) -> dict[ClusterRef, FlowRun]:
    """Return, by cluster, the runs of the same flow that somebody else has started and that are not over."""
    tag = tag_of(order.run_id)
    wanted = FlowRunFilter(state=in_states(UNDER_WAY))
    flow = of_flows(str(order.runbook))

    async def ask() -> dict[ClusterRef, FlowRun]:
        async with get_client() as client:
            found = [run async for run in pages(client, wanted, flow)]
        theirs = [run for run in found if tag not in run.tags and not _only_planned(run)]
        return {cluster: run for run in theirs if (cluster := cluster_of(run)) is not None}

    return await patiently(ask)


async def adopt(order: FleetOrder, run: FlowRun) -> ClusterRun:
    """Leave somebody else's run tagged as one of this roll-out; return it."""
    tags = [*run.tags, tag_of(order.run_id), _adopted_by(order.run_id)]

    async def tell() -> None:
        async with get_client() as client:
            await client.update_flow_run(run.id, tags=tags)

    await patiently(tell)
    found = _cluster_run(order.run_id, run.model_copy(update={"tags": tags}))
    assert found is not None  # noqa: S101 - it was found by its cluster
    return found


async def count_as_own(order: FleetOrder, run: ClusterRun) -> ClusterRun:
    """Leave an adopted run counting as one of this roll-out, once it has led to the target; return it.

    From then on the cluster is done, also if somebody takes the migration back.
    """

    async def tell() -> None:
        async with get_client() as client:
            with contextlib.suppress(ObjectNotFound):  # somebody has deleted its record
                tags = (await client.read_flow_run(UUID(run.id))).tags
                left = [tag for tag in tags if tag != _adopted_by(order.run_id)]
                await client.update_flow_run(UUID(run.id), tags=left)

    await patiently(tell)
    return run.model_copy(update={"is_own": True})


async def cancel(runs: Iterable[ClusterRun], tell: Tell) -> list[ClusterRun]:
    """Leave these runs being cancelled: each is brought to its cluster's next safe point (flows/landing.py).

    Returns those that are. One for which that doesn't work is told, and keeps nobody from the others.
    """
    cancelled = []
    async with get_client() as client:
        for run in runs:
            state: State[Any] = Cancelling(message="The roll-out that it belongs to was cancelled.")
            try:
                await client.set_flow_run_state(UUID(run.id), state)
            except (ObjectNotFound, httpx.HTTPError) as error:
                tell(f"{run.cluster}: {run.name} could not be cancelled, do it on its page: {error}")
            else:
                tell(f"{run.cluster}: cancels {run.name}, as its roll-out was cancelled")
                cancelled.append(run)
    return cancelled


async def read_states(run_id: str) -> list[tuple[datetime, str]]:
    """Return when a run came into which type of state, the first one first."""

    async def ask() -> list[tuple[datetime, str]]:
        async with get_client() as client:
            states = await client.read_flow_run_states(UUID(run_id))
        return sorted((state.timestamp, state.type.value) for state in states)

    return await patiently(ask)


def this_run() -> str:
    """Return the id of the flow run that this is asked in."""
    return str(runtime.flow_run.id)


def _deployment(order: FleetOrder) -> str:
    return f"{order.runbook}/{order.runbook}"


def _no_deployment(order: FleetOrder) -> InvalidRequest:
    return InvalidRequest(
        f"there is no deployment {_deployment(order)}, through which each cluster's run is started: put this project's "
        "deployments on the Prefect server (docs/installation.md), then press Retry"
    )


def _tagged(fleet_run_id: str) -> FlowRunFilterTags:
    return FlowRunFilterTags(all_=[tag_of(fleet_run_id)])


async def _read(fleet_run_id: str, wanted: FlowRunFilter) -> list[ClusterRun]:
    async with get_client() as client:
        found = [_cluster_run(fleet_run_id, run) async for run in pages(client, wanted)]
    return [run for run in found if run is not None]


def _cluster_run(fleet_run_id: str, run: FlowRun) -> ClusterRun | None:
    cluster = cluster_of(run)
    if cluster is None:
        return None
    state = run.state
    return ClusterRun(
        id=str(run.id),
        name=run.name,
        cluster=cluster,
        state_type=state.type.value if state else "SCHEDULED",
        state_name=(state.name if state else None) or "Scheduled",
        message=(state.message if state else None) or "",
        since=state.timestamp if state else clock.now(),
        started_at=run.start_time,
        due_at=state.state_details.scheduled_time if state else None,
        is_own=_adopted_by(fleet_run_id) not in run.tags,
        is_errand=ERRAND in run.tags,
        is_given_up=state is not None and state.state_details.retriable is False,
    )


def _only_planned(run: FlowRun) -> bool:
    """Tell whether it has not run yet, and a schedule made it or somebody planned it for later."""
    if run.start_time is not None or run.state is None or not run.state.is_scheduled():
        return False
    due_at = run.state.state_details.scheduled_time
    return run.auto_scheduled or (due_at is not None and due_at > clock.now() + SOON)
