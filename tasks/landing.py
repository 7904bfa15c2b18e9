"""What is done about a run that was cancelled in the middle of something: another one goes on to the next safe point.

Prefect ends a cancelled run's process within 30 seconds (3.8.8, runner/_cancellation_manager.py), and a cluster can't
be left wherever it happens to be then. Works outside of a run: it is the worker that carries a cancellation out.
"""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled

from clusters.steps.standing import look_after_crash
from clusters.watching import Tell
from migration.errors import MigrationError
from migration.models import ClusterRef
from migration.safe_points import under_way
from migration.standing import StandingFacts, cut_message, landing_message, stop_message

CANCELLED = "it was cancelled"
STOPS = "stop_at_safe_point"
"""The parameter with which a run ends at the next safe point."""


async def land(run: FlowRun, tell: Tell) -> str:
    """Leave a run scheduled that brings the cluster to its next safe point, if it isn't at one; returns what was done.

    A run that was on such an errand itself is not followed by another one: whoever cancels twice means at once.
    """
    cluster = ClusterRef(seed=str(run.parameters["seed"]), name=str(run.parameters["cluster"]))
    try:
        _, facts = await look_after_crash(cluster, lambda journal: journal.open_migration(), tell)
    except MigrationError as error:
        tell(f"{cluster} can't be looked at: {error}")
        facts = StandingFacts()
    stretch = under_way(facts.migration) if facts.migration else ""
    if facts.cluster is not None and not stretch:
        return stop_message(cluster, CANCELLED, facts)
    if run.parameters.get(STOPS):
        return cut_message(cluster, stretch, facts)
    return landing_message(cluster, stretch, facts, await _send(run))


async def tell_cancelled(flow_run_id: UUID, message: str) -> None:
    """Leave the run cancelled with this message for people."""
    async with get_client() as client:
        await client.set_flow_run_state(flow_run_id, Cancelled(message=message), force=True)


async def _send(run: FlowRun) -> str:
    """Start the same deployment anew, to stop at the next safe point; returns the name of that run."""
    if run.deployment_id is None:
        return ""
    async with get_client() as client:
        sent = await client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters={**run.parameters, STOPS: True},
            tags=[*run.tags, "to-the-next-safe-point"],
            # The hook may be run twice; one errand is enough.
            idempotency_key=f"to the next safe point after {run.id}",
        )
    return sent.name
