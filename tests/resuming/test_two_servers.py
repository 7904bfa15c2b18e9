"""Two Prefect servers that know nothing of each other, and one cluster: only the lock in the cluster is between them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
import pytest_asyncio

from clusters.journal import read_journal
from tests.clusters.killing import noting_pods
from tests.resuming.stack import second_prefect

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]
STAY = {"rotate_nodes": False}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(stack):
    async with second_prefect(stack) as found:
        yield found


async def states(stack, run):
    return [state["name"] for state in await stack.states(run)]


async def test_of_two_runs_in_the_same_second_one_works_and_the_other_finds_nothing_left(victim, stack, other):
    async with noting_pods(victim.api) as history:
        before = set(history.pods)
        first, second = await asyncio.gather(
            *(each.start("canal-to-cilium", victim.name, **STAY) for each in (stack, other))
        )
        ended = await asyncio.gather(stack.ended(first, seconds=150), other.ended(second, seconds=150))

    assert [run["state"]["type"] for run in ended] == ["COMPLETED", "COMPLETED"]
    waited = ["AwaitingClusterLock" in names for names in (await states(stack, first), await states(other, second))]
    assert sorted(waited) == [False, True]
    waiting, run = (stack, first) if waited[0] else (other, second)
    message = next(s["message"] for s in await waiting.states(run) if s["name"] == "AwaitingClusterLock")
    assert f"lab/{victim.name}: run " in message
    assert "works on this cluster. Looked at again at" in message
    journal = await read_journal(victim.api)
    assert len(journal.migrations) == 1
    had = Counter(pod.workload for uid, pod in history.pods.items() if uid in before)
    made = history.made_since(before)
    assert [workload for workload in had if made[workload] > had[workload]] == []
