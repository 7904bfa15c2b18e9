"""How a roll-out or its dry run ended: published, and returned."""

from __future__ import annotations

from prefect import runtime
from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger

from migration.fleet.readiness import FleetReadiness, readiness_to_markdown
from migration.fleet.reporting import FleetReport, Outcome, artifact_key, end_message, unforeseen
from migration.fleet.states import GOOD, ClusterState
from tasks import clock
from tasks.policy import looking_task
from tasks.roll_out import RollOut


async def report_fleet(fleet: RollOut, *, stopped: str = "") -> FleetReport:
    """Leave the table as it is at the end, and return the report."""
    statuses = fleet.statuses()
    out = unforeseen(fleet.order, fleet.plan, statuses)
    fine = {*GOOD, ClusterState.LEFT_OUT}
    unfinished = bool(out) or any(status.state not in fine for status in statuses.values())
    outcome: Outcome = "stopped" if stopped else "migrated with failures" if unfinished else "migrated"
    if statuses:  # else the table of the roll-out that did all of it stays the latest
        await fleet.show(f"Stopped: {stopped}" if stopped else f"Ended: {outcome}", force=True)
    message = end_message(fleet.order, fleet.plan, statuses, stopped)
    get_run_logger().info("%s", message)
    return FleetReport(
        runbook=fleet.order.runbook,
        seeds=fleet.order.seeds,
        outcome=outcome,
        message=message,
        clusters=tuple(statuses[member.ref] for member in fleet.plan.members),
        started_at=runtime.flow_run.scheduled_start_time,
        finished_at=clock.now(),
    )


@looking_task("report", retries=4)
async def report_readiness(found: FleetReadiness) -> None:
    """Publish what a dry run has found."""
    get_run_logger().info("%s", found.message)
    key = artifact_key(found.order, "readiness")
    await acreate_markdown_artifact(readiness_to_markdown(found), key=key, description=found.message)
