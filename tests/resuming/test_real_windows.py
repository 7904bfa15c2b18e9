"""A run under a real worker, in real seconds, whose window ends in the middle: it leaves the worker and comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from clusters.journal import read_journal
from clusters.kinds import DAEMON_SETS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

STAY = {"rotate_nodes": False}
SEEN_BEFORE = timedelta(seconds=5)
EVERY = timedelta(seconds=100)


def window(opened_at):
    """A window that is open for a minute, and then closed for 40 seconds."""
    start = opened_at.strftime("%Y%m%dT%H%M%S")
    return {"rrule": f"DTSTART:{start}\nRRULE:FREQ=SECONDLY;INTERVAL=100", "length_minutes": 1}


async def test_a_run_that_meets_the_end_of_its_window_leaves_its_worker_and_goes_on_in_the_next_one(victim, stack):
    # There and back once, so that the journal knows how long it takes here: nothing assumed would fit into a minute.
    await completed(stack, "canal-to-cilium", victim.name, **STAY)
    await completed(stack, "cilium-to-canal", victim.name, canal_version="v3.30", accept=["nodes-keep-cilium"], **STAY)
    opened_at = datetime.now(UTC).replace(microsecond=0) - SEEN_BEFORE
    # Two requests in a row that nobody answers: the pods' move, a stretch that is not cut, outlasts the window.
    stack.lab.add_fault("request", "timeout", server=victim.name, method="DELETE", path="/pods/konnectivity", times=2)
    maintenance = {"windows": [window(opened_at)], "margin_percent": 0}

    run = await stack.start("canal-to-cilium", victim.name, maintenance=maintenance, **STAY)
    waiting = await stack.reaches(run, "AwaitingWindow", seconds=110)

    assert "waits for its window: the removal of the old CNI" in waiting["state"]["message"]
    assert "none is open now" in waiting["state"]["message"]
    assert "State, at a safe point: the Cluster's spec says cilium 1.19.4" in waiting["state"]["message"]
    opens_again = datetime.fromisoformat(waiting["state"]["state_details"]["scheduled_time"])
    assert opens_again == opened_at + EVERY
    await stack.until(lambda: not stack.processes_of_runs(), what="the end of the run's process")
    assert await victim.api.find(DAEMON_SETS, "canal", namespace="kube-system") is not None

    over = await stack.ended(run, seconds=150)

    assert over["state"]["type"] == "COMPLETED"
    assert datetime.fromisoformat(over["end_time"]) > opens_again
    assert (await stack.steps(run))["back up"] == "Cached"
    assert (await read_journal(victim.api)).open_migration() is None
    assert await victim.api.find(DAEMON_SETS, "canal", namespace="kube-system") is None


async def completed(stack, flow, cluster, **parameters):
    over = await stack.ended(await stack.start(flow, cluster, **parameters), seconds=120)
    assert over["state"]["type"] == "COMPLETED", over["state"]
