"""What is done about a run that was cancelled in the middle of something: another one goes on to the next safe point.

Prefect ends a cancelled run's process within 30 seconds (3.8.8, runner/_cancellation_manager.py), and a cluster can't
be left wherever it happens to be then. Works outside of a run: it is the worker that carries a cancellation out.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from prefect.utilities.urls import url_for

from clusters.steps.standing import look_after_crash
from clusters.watching import Tell
from migration.errors import MigrationError
from migration.journal import Journal, Migration
from migration.models import ClusterRef
from migration.resuming import REVERT_MIGRATION
from migration.safe_points import under_way
from migration.standing import StandingFacts, cut_message, landing_message, stop_message
from tasks.rescheduling import ERRAND

CANCELLED: Final = "it was cancelled"
URGENT: Final = "urgent"
"""The queue of a work pool that has no limit, so that nobody keeps a cluster between two CNIs waiting."""


async def land(run: FlowRun, flow: str, tell: Tell) -> str:
    """Leave a run scheduled that brings the cluster to its next safe point, if it isn't at one; returns what was done.

    A run that was on such an errand itself is not followed by another one: whoever cancels twice means at once. Nor is
    one that was on its way back after a failure, for its deployment leads the other way.
    """
    return await land_from(await look(run, tell) or StandingFacts(), run, flow)


async def look(run: FlowRun, tell: Tell) -> StandingFacts | None:
    """Return where the cluster of a cancelled run stands, as far as that is its doing; None if nobody can say."""
    cluster = _cluster(run)
    try:
        _, facts = await look_after_crash(cluster, lambda journal: _own(journal, run), tell)
    except MigrationError as error:
        tell(f"{cluster} can't be looked at: {error}")
        return None
    return facts


async def land_from(facts: StandingFacts, run: FlowRun, flow: str) -> str:
    """Land a cancelled run (`land`) whose cluster stands so; returns what was done."""
    cluster = _cluster(run)
    if facts.cluster is not None and facts.migration is None:
        return f"{cluster}: {CANCELLED}, with nothing under way there that was its own."
    stretch = under_way(facts.migration) if facts.migration else ""
    if facts.cluster is not None and not stretch:
        return stop_message(cluster, CANCELLED, facts)
    takes_itself_back = facts.migration is not None and bool(facts.migration.reverts) and flow != REVERT_MIGRATION
    if ERRAND in run.tags or takes_itself_back:
        return cut_message(cluster, stretch, facts)
    return landing_message(cluster, stretch, facts, await _send(run))


def _cluster(run: FlowRun) -> ClusterRef:
    return ClusterRef(seed=str(run.parameters.get("seed", "")), name=str(run.parameters.get("cluster", "")))


def _own(journal: Journal, run: FlowRun) -> Migration | None:
    """Return the open migration if this run was the last to work on it: a bystander leaves it to that one.

    An errand has no other purpose than that one, also if it had not come to it yet.
    """
    found = journal.open_migration()
    if found is None:
        return None
    return found if ERRAND in run.tags or found.runs[-1:] == (str(run.id),) else None


async def tell_cancelled(flow_run_id: UUID, message: str) -> None:
    """Leave the run cancelled with this message for people."""
    async with get_client() as client:
        await client.set_flow_run_state(flow_run_id, Cancelled(message=message), force=True)


async def _send(run: FlowRun) -> str:
    """Start the same deployment anew, to stop at the next safe point; returns the name of that run."""
    if run.deployment_id is None:
        return ""
    async with get_client() as client:
        try:
            sent = await client.create_flow_run_from_deployment(
                run.deployment_id,
                parameters=run.parameters,
                tags=[*run.tags, ERRAND],
                work_queue_name=await _urgent_queue(client, run.deployment_id),
                # The hook may be run twice; one errand is enough, until somebody retries the run and cancels it again.
                idempotency_key=f"to the next safe point after {run.id}, attempt {run.run_count}",
            )
        except ObjectNotFound:
            return ""  # somebody has deleted the deployment
    return url_for(sent) or f"flow run {sent.id}"


async def _urgent_queue(client: PrefectClient, deployment_id: UUID) -> str | None:
    """Return the urgent queue's name if the deployment's work pool has it: Prefect would make one that is missing."""
    pool = (await client.read_deployment(deployment_id)).work_pool_name
    if pool is None:
        return None
    try:
        await client.read_work_queue_by_name(URGENT, work_pool_name=pool)
    except ObjectNotFound:
        return None
    return URGENT
