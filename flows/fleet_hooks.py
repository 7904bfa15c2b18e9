"""What happens when a roll-out's run ends otherwise than well: its clusters are landed, people are told."""

from __future__ import annotations

from typing import Any, Final

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from flows.hooks import Hooks
from flows.notifying import tell_cancellation, tell_crash, tell_failure
from tasks.crashed_fleets import explain_fleet_crash
from tasks.fleet_landing import land_fleet
from tasks.landing import tell_cancelled


async def explain_fleet_interruption(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Leave the crashed run as Interrupted, its message telling what that means for the clusters."""
    logger = flow_run_logger(flow_run, flow)
    if not await explain_fleet_crash(flow_run.id, logger.info):
        logger.info("nothing to explain: the run is no longer in the state %r", state.name)


async def bring_fleet_to_safe_points(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - Prefect's
    """Leave a cancelled roll-out with no cluster being begun, and each that is under way on its way to a safe point."""
    logger = flow_run_logger(flow_run, flow)
    message = await land_fleet(str(flow_run.id), logger.info)
    logger.warning("%s", message)
    await tell_cancelled(flow_run.id, message)
    flow_run.state = None  # as in flows/landing.py: else the runner puts its own words in place of these


ON_FAILURE: Final[Hooks] = [tell_failure]
ON_CRASHED: Final[Hooks] = [explain_fleet_interruption, tell_crash]
ON_CANCELLATION: Final[Hooks] = [bring_fleet_to_safe_points, tell_cancellation]
