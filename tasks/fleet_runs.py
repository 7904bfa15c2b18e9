"""The runs of a roll-out's clusters as Prefect knows them: found by tag. Refuses to change any.

The tag and the idempotency key are all that ties them to the roll-out, so whoever comes after a crash finds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from migration.fleet.models import FleetOrder
from migration.fleet.runs import NOT_APPROVED, ClusterRun
from migration.models import ClusterRef
from tasks import clock
from tasks.flow_runs import UNDER_WAY, cluster_of, in_states, of_flows, pages
from tasks.patience import patiently
from tasks.rescheduling import ERRAND

TAG: Final = "fleet:"
ADOPTED: Final = "adopted-by-fleet:"
"""Beside the tag: the run was there before the roll-out came to its cluster, and is somebody else's, or another's."""
HELD_BACK: Final = "held-back-by-fleet:"
"""Beside the tag: the roll-out stopped before this run had disrupted anything, and so cancelled it."""
SOON: Final = timedelta(minutes=5)
"""A run that is due later than this, and has not begun, keeps no roll-out waiting."""
OPEN: Final = (*UNDER_WAY, StateType.CRASHED)
"""A crashed run may be taken up; how long that counts is for the rules to say."""


def tag_of(fleet_run_id: str) -> str:
    """Return the tag of all runs that belong to a roll-out."""
    return f"{TAG}{fleet_run_id}"


def adopted_by(fleet_run_id: str) -> str:
    """Return the tag of the runs that a roll-out waits for, and did not start."""
    return f"{ADOPTED}{fleet_run_id}"


def held_back_by(fleet_run_id: str) -> str:
    """Return the tag of the runs that a roll-out cancelled before they had disrupted anything."""
    return f"{HELD_BACK}{fleet_run_id}"


def _other_roll_out(fleet_run_id: str, tags: Iterable[str]) -> str:
    """Return the other roll-out that started a run with these tags; empty if none did."""
    involved = {tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)}
    adopting = {tag.removeprefix(ADOPTED) for tag in tags if tag.startswith(ADOPTED)}
    return next(iter(sorted(involved - adopting - {fleet_run_id})), "")


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


async def others_under_way(order: FleetOrder) -> dict[ClusterRef, FlowRun]:
    """Return, by cluster, the runs of the same flow that somebody else has started and that are not over."""
    tag = tag_of(order.run_id)
    wanted = FlowRunFilter(state=in_states(UNDER_WAY))
    flow = of_flows(str(order.runbook))

    async def ask() -> dict[ClusterRef, FlowRun]:
        async with get_client() as client:
            found = [run async for run in pages(client, wanted, flow)]
        theirs = [run for run in found if tag not in run.tags and not _only_planned(run)]
        # Of several for a cluster, the one at work says what becomes of it: the others wait for it.
        theirs.sort(key=lambda run: run.state is not None and run.state.is_running())
        return {cluster: run for run in theirs if (cluster := cluster_of(run)) is not None}

    return await patiently(ask)


async def is_cancelled_roll_out(run_id: str) -> bool:
    """Tell whether somebody has cancelled this other roll-out; not so if its record is gone."""

    async def ask() -> bool:
        async with get_client() as client:
            state = (await client.read_flow_run(UUID(run_id))).state
        return state is not None and (state.is_cancelled() or state.is_cancelling()) and state.name != NOT_APPROVED

    try:
        return await patiently(ask)
    except ObjectNotFound:
        return False


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


def _tagged(fleet_run_id: str) -> FlowRunFilterTags:
    return FlowRunFilterTags(all_=[tag_of(fleet_run_id)])


async def _read(fleet_run_id: str, wanted: FlowRunFilter) -> list[ClusterRun]:
    async with get_client() as client:
        found = [cluster_run(fleet_run_id, run) async for run in pages(client, wanted)]
    return [run for run in found if run is not None]


def cluster_run(fleet_run_id: str, run: FlowRun) -> ClusterRun | None:
    """Narrow a flow run to what a roll-out wants to know of it; None if it is for no cluster."""
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
        since=_since(run),
        started_at=run.start_time,
        due_at=state.state_details.scheduled_time if state else None,
        is_own=adopted_by(fleet_run_id) not in run.tags,
        is_errand=ERRAND in run.tags,
        is_given_up=state is not None and state.state_details.retriable is False,
        is_held_back=held_back_by(fleet_run_id) in run.tags,
        roll_out=_other_roll_out(fleet_run_id, run.tags),
    )


def _since(run: FlowRun) -> datetime:
    """Return since when the run is in its state: a cancelled one since its end, also if its message came later."""
    if run.state is None:
        return clock.now()
    return run.end_time if run.state.is_cancelled() and run.end_time is not None else run.state.timestamp


def _only_planned(run: FlowRun) -> bool:
    """Tell whether it has not run yet, and a schedule made it or somebody planned it for later."""
    if run.start_time is not None or run.state is None or not run.state.is_scheduled():
        return False
    due_at = run.state.state_details.scheduled_time
    return run.auto_scheduled or (due_at is not None and due_at > clock.now() + SOON)
