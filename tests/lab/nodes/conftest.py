"""Fixtures: a small cluster with the node controllers running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.clock import Clock
from lab.platform.nodes import node_controllers
from lab.settings import Delays
from tests.lab.small_cluster import SmallCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.platform.runtime import Controller


@pytest.fixture
async def cluster() -> AsyncIterator[SmallCluster]:
    """A cluster without nodes yet, whose delays are a thousandth of the real ones."""
    small = SmallCluster()
    async with small.running(*controllers_of(small)):
        yield small


@pytest.fixture
async def slow_cluster() -> AsyncIterator[SmallCluster]:
    """The same at a speed at which each step of a pod is worth telling."""
    delays = Delays(container_start=3.0, readiness=3.0, termination=5.0)
    small = SmallCluster(clock=Clock(10), delays=delays)
    async with small.running(*controllers_of(small)):
        yield small


def controllers_of(small: SmallCluster) -> list[Controller]:
    """Return the node controllers for a small cluster."""
    return node_controllers(
        small.site, small.clock, small.delays, network=small.network, programs=small.programs, faults=small.faults
    )
