"""What a lone run tells about its end, through hooks: a run without a deployment, which no automation of ours covers.

It goes to the notification block that the environment names, in the words of the automations. A hook never changes how
a run ended, and fails nothing: what could not be sent is one warning in the run's log.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

from prefect.blocks import notifications as _registered  # noqa: F401 - importing makes Prefect know the classes by name
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.logging.loggers import flow_run_logger

from flows.messages import Kind, rendered

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow

ENVIRONMENT_VARIABLE: Final = "CNI_MIGRATION_NOTIFY"
"""Names the block, as `type-slug/name`; without it a lone run tells nobody."""
SEND_SECONDS: Final = 30.0
KINDS: Final = {
    "TimedOut": Kind.TIMED_OUT,
    "Interrupted": Kind.INTERRUPTED,
    "NotApproved": Kind.NOT_APPROVED,
    "Cancelled": Kind.CANCELLED,
}
"""The kinds that a state's name decides, whatever its type."""


async def tell_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell that the run failed, as a hook of the flow."""
    await _tell(Kind.FAILED, flow, flow_run, state)


async def tell_crash(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell that the run crashed, as a hook of the flow that comes after any that looks where the cluster stands."""
    await _tell(Kind.CRASHED, flow, flow_run, state)


async def tell_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell that the run was cancelled, as a hook of the flow."""
    await _tell(Kind.CANCELLED, flow, flow_run, state)


async def _tell(kind: Kind, flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    block = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if flow_run.deployment_id is not None or not block:
        return
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await _send(block, kind, flow, flow_run.model_copy(update={"state": await _end_of(flow_run, state)}))
    except Exception as error:  # noqa: BLE001 - whatever a block raises, the run's own end is what matters
        flow_run_logger(flow_run, flow).warning(
            "nobody was told of this run's end: %s, which %s names, did not send: %s: %s",
            *(block, ENVIRONMENT_VARIABLE, type(error).__name__, error),
        )


async def _end_of(flow_run: FlowRun, state: State[Any]) -> State[Any]:
    """Return the state that a hook before this one may have put in the place of the run's own end."""
    async with get_client() as client:
        found = (await client.read_flow_run(flow_run.id)).state
    return found if found is not None and found.is_final() else state


async def _send(name: str, kind: Kind, flow: Flow[..., Any], flow_run: FlowRun) -> None:
    block: Block = await Block.aload(name)
    if not isinstance(block, NotificationBlock):
        raise TypeError("it is no notification block")
    state_name = str(flow_run.state.name) if flow_run.state else ""
    message = rendered(KINDS.get(state_name, kind), flow_run=flow_run, flow=flow)
    with block.raise_on_failure():
        await block.notify(subject=message.subject, body=message.body)
