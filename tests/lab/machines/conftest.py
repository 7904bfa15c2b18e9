"""Fixtures: a small cluster with machine-controller and the node controllers running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.platform.kkp import user_cluster_definitions
from lab.platform.machines import machine_controllers
from lab.platform.nodes import node_controllers
from tests.lab.small_cluster import SmallCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def cluster() -> AsyncIterator[SmallCluster]:
    """A cluster without machines yet, whose delays are a thousandth of the real ones."""
    small = SmallCluster()
    for resource, body in user_cluster_definitions():
        await small.client.create(resource, body)
    site, clock, delays = small.site, small.clock, small.delays
    nodes = node_controllers(site, clock, delays, network=small.network, programs=small.programs, faults=small.faults)
    machines = machine_controllers(site, clock, delays, network=small.network, faults=small.faults)
    async with small.running(*nodes, *machines):
        yield small
