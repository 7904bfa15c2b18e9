"""What is done about a roll-out that was cancelled: its clusters' runs are cancelled as well, which lands each of them.

Works outside of a run: it is the worker that carries a cancellation out. Prefect would cancel the runs that are a part
of this one by itself, up to a minute later; those that stand beside it, it would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging import get_run_logger

from clusters.watching import Tell
from migration.fleet.resuming import FLEET_FLOW
from migration.fleet.runs import ENDED, ClusterRun
from migration.text import listing
from tasks import clock
from tasks.fleet_board import show_cancelled
from tasks.fleet_run_changes import cancel
from tasks.fleet_runs import all_runs, read_states
from tasks.flow_runs import PAGE, in_states, of_flows
from tasks.policy import looking_task


async def land_fleet(fleet_run_id: str, tell: Tell) -> str:
    """Leave the runs of a cancelled roll-out being cancelled, but errands and what others started; tell which."""
    active = await _under_way(fleet_run_id)
    own = [found for found in active if found.is_own and not found.is_errand]
    crashed = [found for found in own if found.state_type == "CRASHED"]
    landed = await cancel((found for found in own if found not in crashed), tell)
    lost = [found for found in own if found not in (*landed, *crashed)]
    adopted = [found for found in active if not found.is_own]
    parts = (
        "Cancelled: no further cluster is begun.",
        f"On their way to their next safe points: {_named(landed)}." if landed else "",
        f"Crashed before, landed once resume-interrupted has taken them up: {_named(crashed)}." if crashed else "",
        f"Could not be cancelled, do it on their pages: {_named(lost)}." if lost else "",
        f"Left alone, because somebody else started their runs: {_named(adopted)}." if adopted else "",
        "To resume: start the flow again with the same parameters; clusters that are finished are not touched.",
    )
    message = " ".join(part for part in parts if part)
    await show_cancelled(fleet_run_id, message, {run.id: str(run.cluster) for run in landed}, tell)
    return message


@looking_task("land cancelled fleets", retries=4)
async def land_cancelled_fleets(since: timedelta) -> None:
    """Leave no run being under way since before its roll-out was cancelled, within that time.

    No hook runs if no process had the roll-out when it was cancelled, or if its worker died of it. What somebody has
    started or retried since then is theirs.
    """
    cancelled = FlowRunFilter(
        state=in_states([StateType.CANCELLED]),
        end_time=FlowRunFilterEndTime(after_=clock.now() - since),
    )
    flow = of_flows(FLEET_FLOW)
    async with get_client() as client:
        fleets = await client.read_flow_runs(
            flow_filter=flow, flow_run_filter=cancelled, sort=FlowRunSort.ID_DESC, limit=PAGE
        )
    for fleet in fleets:
        ended_at = fleet.end_time
        forgotten = [
            found
            for found in await _under_way(str(fleet.id))
            if found.is_own and not found.is_errand and ended_at is not None and await _is_forgotten(found, ended_at)
        ]
        await cancel(forgotten, get_run_logger().info)


async def _is_forgotten(run: ClusterRun, ended_at: datetime) -> bool:
    """Tell whether a run was under way when its roll-out was cancelled, and nobody has ended or cancelled it since.

    It may have gone on meanwhile: its window opened, a person agreed, resume-interrupted took it up.
    """
    if run.state_type in ("CANCELLING", "CRASHED"):
        return False
    states = await read_states(run.id)
    before = [kind for moment, kind in states if moment < ended_at]
    after = [kind for moment, kind in states if moment >= ended_at]
    return bool(before) and before[-1] not in ENDED and not any(kind in ENDED for kind in after)


async def _under_way(fleet_run_id: str) -> list[ClusterRun]:
    now = clock.now()
    return [found for found in await all_runs(fleet_run_id) if not found.is_over(now)]


def _named(runs: Sequence[ClusterRun]) -> str:
    return listing(sorted(str(found.cluster) for found in runs), count=20)
