"""What the tests of the REST API share: connections, and what was asked of it."""

from __future__ import annotations

from dataclasses import replace

from clusters.connection_kinds import KkpConnection
from clusters.connections import find_connection

ROUTE = "/api/v2/projects/{project}/clusters/{cluster}"


async def connection(**changes):
    found = await find_connection("lab-api")
    assert isinstance(found, KkpConnection)
    return replace(found, **changes)


async def as_person(shared, person):
    return await connection(token=shared.lab.remote.rest_api()["tokens"][person])


def asked_for_a_cluster(cluster):
    """How many requests for a single cluster the REST API has answered."""
    return cluster.lab.remote.requests()["kkp"].get(f"get {ROUTE}", 0)
