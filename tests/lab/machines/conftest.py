"""Fixtures: a small cluster with machine-controller and the node controllers running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.platform.machines import machine_controllers
from lab.platform.nodes import node_controllers
from lab.resources import CUSTOM_RESOURCE_DEFINITIONS, MACHINE_DEPLOYMENTS, MACHINE_SETS, MACHINES
from tests.lab.small_cluster import SmallCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.objects import Object
    from lab.resources import Resource


def definition(resource: Resource) -> Object:
    """Return a definition that keeps unknown fields, with the subresources that KKP gives the resource."""
    version: Object = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    if resource.subresources:
        scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
        version["subresources"] = {"status": {}, "scale": scale}
    return {
        "metadata": {"name": resource.group_resource},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {"plural": resource.plural, "kind": resource.kind},
            "versions": [version],
        },
    }


@pytest.fixture
async def cluster() -> AsyncIterator[SmallCluster]:
    """A cluster without machines yet, whose delays are a thousandth of the real ones."""
    small = SmallCluster()
    for resource in (MACHINE_DEPLOYMENTS, MACHINE_SETS, MACHINES):
        await small.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition(resource))
    site, clock, delays = small.site, small.clock, small.delays
    nodes = node_controllers(site, clock, delays, network=small.network, programs=small.programs, faults=small.faults)
    machines = machine_controllers(site, clock, delays, network=small.network, faults=small.faults)
    async with small.running(*nodes, *machines):
        yield small
