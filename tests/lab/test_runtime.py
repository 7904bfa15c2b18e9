"""What every controller stands on."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import ClassVar

import pytest
import uvloop

from lab.apiserver.server import ApiServer
from lab.clock import Clock
from lab.faults import Faults
from lab.platform.runtime import Controller, Mirror

DEADLINE_SECONDS = 5


class Slow(Controller):
    """Takes until it is let go for each key, and notes who is at work at the same time."""

    name: ClassVar[str] = "slow"
    workers: ClassVar[int] = 3

    def __init__(self) -> None:
        client = ApiServer("lab", tokens={}, faults=Faults()).client
        super().__init__(client=client, mirror=Mirror(client), clock=Clock())
        self.go = asyncio.Event()
        self.started: Counter[str] = Counter()
        self.at_work: Counter[str] = Counter()
        self.most_of_a_key = 0

    def wire(self) -> None:
        """Nothing to follow: the tests enqueue."""

    async def reconcile(self, key: str) -> float | None:
        self.started[key] += 1
        self.at_work[key] += 1
        self.most_of_a_key = max(self.most_of_a_key, self.at_work[key])
        await self.go.wait()
        self.at_work[key] -= 1
        return None

    async def until(self, started: dict[str, int]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self.started != Counter(started):
                await asyncio.sleep(0)


@pytest.fixture
async def controller():
    slow = Slow()
    running = asyncio.create_task(slow.run())
    yield slow
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_as_many_keys_are_reconciled_at_a_time_as_there_are_workers(controller):
    for key in ("a", "b", "c", "d"):
        controller.enqueue(key)
    await controller.until({"a": 1, "b": 1, "c": 1})

    controller.go.set()

    await controller.until({"a": 1, "b": 1, "c": 1, "d": 1})


async def test_a_key_that_is_queued_while_it_runs_runs_once_more_afterwards(controller):
    controller.enqueue("a")
    await controller.until({"a": 1})
    for _ in range(3):
        controller.enqueue("a")
        await asyncio.sleep(0)

    controller.go.set()

    await controller.until({"a": 2})
    assert controller.most_of_a_key == 1


def test_delays_too_short_for_uvloop_to_measure_end_no_controller():
    async def enqueue_twice() -> int:
        slow = Slow()
        slow.enqueue_after("a", 0.0001)
        slow.enqueue_after("a", 0.0001)
        return len(slow._timers)

    assert uvloop.run(enqueue_twice()) == 1
