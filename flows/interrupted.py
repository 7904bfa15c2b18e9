"""What happens when a run of ours crashes: whoever sees it, mostly its worker, looks where the cluster stands."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from tasks.interrupted import explain_crash


async def explain_interruption(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Leave the crashed run as Interrupted, its message and an artifact telling where the cluster stands."""
    logger = flow_run_logger(flow_run, flow)
    if not await explain_crash(flow_run.id, logger.info):
        logger.info("nothing to explain: the run is no longer in the state %r", state.name)
