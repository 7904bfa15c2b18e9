"""A run in a process of its own, forked from one that has imported everything, and struck as its orders say.

The pauses that spare a real API server are short here: the lab is near, and two hundred times as fast.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import re
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from tenacity import wait_random_exponential

from clusters import api, watching
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.kkp_api import client, polling
from clusters.steps import pods
from migration.models import Deadlines
from tests.chaos import striking
from tests.chaos.strikes import Met, Orders, from_json
from tests.flows.run_flow import run_to_state

WHERE_ARE_YOU: Final = signal.SIGUSR1
"""Has a run that hangs write the stacks of all its threads into its log."""
REQUEST_SECONDS: Final = 2.0
WATCH_SECONDS: Final = 20
POLL_SECONDS: Final = 0.3
EVICTION_PAUSE_SECONDS: Final = 0.2
TASK_RETRIES_SECONDS: Final = [0.2, 0.5, 1, 2]


def live(text: str) -> None:
    """Run the flow of the orders to whatever end, and leave what became of it in their result file."""
    orders = from_json(text)
    _write_to(orders.log)
    faulthandler.register(WHERE_ARE_YOU, all_threads=True)
    os.environ[ENVIRONMENT_VARIABLE] = orders.connections
    hurry()
    striker = striking.Striker(orders, lambda how: _struck(orders, how))
    striking.put_around(striker)
    result = asyncio.run(_outcome(orders))
    if orders.recording:
        result["recorded"] = recorded(striker)
    Path(orders.result).write_text(json.dumps(result))
    sys.stdout.flush()
    os._exit(0)  # Prefect takes a second or two for its farewell, which nobody waits for here


def hurry() -> None:
    """Make pauses and patience short."""
    api.REQUEST_SECONDS = REQUEST_SECONDS  # type: ignore[misc]
    api.WATCH_SECONDS = WATCH_SECONDS  # type: ignore[misc]
    api._backoff = wait_random_exponential(multiplier=0.02, max=0.2)
    client.REQUEST_SECONDS = REQUEST_SECONDS  # type: ignore[misc]
    client._backoff = api._backoff
    polling.POLL_SECONDS = POLL_SECONDS  # type: ignore[misc]
    pods.EVICTION_PAUSE_SECONDS = EVICTION_PAUSE_SECONDS  # type: ignore[misc]
    watching.RETRY_PAUSES_SECONDS = (0.02, 0.05, 0.2, 0.5)  # type: ignore[misc]
    for task in striking.product_tasks():
        task.retry_delay_seconds = TASK_RETRIES_SECONDS[: task.retries]


def recorded(striker: striking.Striker) -> dict[str, Any]:
    """Return what a run has asked for, to be kept."""
    return {
        "requests": sorted([*request, count] for request, count in striker.seen.items()),
        "steps": dict(striker.steps),
        "events": dict(sorted(striker.events.items())),
        "changes": dict(sorted(striker.changes.items())),
    }


async def _outcome(orders: Orders) -> dict[str, Any]:
    parameters = dict(orders.parameters)
    for strike in orders.strikes:
        if strike.deadlines:
            parameters["deadlines"] = Deadlines().model_copy(update=strike.deadlines)
    state = await run_to_state(orders.flow, orders.cluster, **parameters)
    found: Any = await state.aresult(raise_on_failure=False)
    if state.is_completed():
        return {"outcome": found.outcome, "message": found.message, "migration": found.migration_id}
    traceback.print_exception(found)
    # What people read is the state's message, not the error's.
    said = re.sub(r"\s+", " ", state.message or "")
    return {"outcome": "failed", "error": type(found).__name__, "message": said}


def _struck(orders: Orders, how: Met) -> None:
    with Path(f"{orders.result}.struck").open("a") as file:
        file.write(f"{how}\n")


def _write_to(log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
