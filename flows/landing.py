"""What happens when a run of ours is cancelled: its cluster is brought to the next safe point."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from tasks.landing import land, tell_cancelled


async def bring_to_safe_point(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - Prefect's
    """Leave a cancelled run with a message on where its cluster stands, and what brings it to a safe point."""
    logger = flow_run_logger(flow_run, flow)
    message = await land(flow_run, flow.name, logger.info)
    logger.warning("%s", message)
    await tell_cancelled(flow_run.id, message)
    # The runner would now put its own words in place of these. Without a state to copy it looks whether the run is
    # cancelled, and leaves it at that (Prefect 3.8.8, runner/_state_proposer.py and runner/_cancel_finalizer.py).
    flow_run.state = None
