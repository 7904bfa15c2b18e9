"""What a migration asks of the API servers, and what of that grows with the cluster: told by their audit logs."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clusters.steps.survey import list_pods
from migration.restart import needs_network
from tests.flows.conftest import UserCluster, cluster_of
from tests.least_privilege import requests_of_the_flow
from tests.rbac import atom_of_event
from tests.real_kkp import real_kkp

pytestmark = [
    pytest.mark.control_plane,
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

NODES = 3
FEW, MANY = 60, 600
SETTINGS = ("--nodes", str(NODES), "--max-pods-per-node", "250", "--grace-seconds", "0", "--speed", "200")


@dataclass(frozen=True)
class Counted:
    """The requests of one migration, as `delete pods`, and how many pods of the pod network it had to move."""

    pods: int
    requests: Counter[str]


@pytest.fixture(scope="module")
def counted(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Counted]:
    """Both migrations, without replacing nodes, which asks the same of any number of pods."""
    return {size: migrate(size, tmp_path_factory.mktemp(f"requests-{size}")) for size in (FEW, MANY)}


def migrate(size: int, folder: Path) -> Counted:
    """Migrate a cluster with so many pods on real API servers, and count what the flow asked of them."""
    settings = (*SETTINGS, "--pods", str(size))
    with real_kkp(folder, *settings, workloads_by="kube-controller-manager") as kkp, cluster_of(kkp) as cluster:
        pods = asyncio.run(moved_by(cluster))
        return Counted(pods, Counter(map(name_of, requests_of_the_flow(kkp))))


async def moved_by(cluster: UserCluster) -> int:
    """Migrate, and return how many pods there were to be moved."""
    async with cluster.apis() as (_, api):
        pods = sum(needs_network(pod) for pod in await list_pods(api))
    report = await cluster.migrate(rotate_nodes=False)
    assert report.outcome == "migrated"
    return pods


def name_of(event: dict[str, Any]) -> str:
    wanted = atom_of_event(event)
    return "get the list of resources" if wanted is None else f"{wanted.verb} {wanted.resource}"


def test_nothing_grows_faster_than_the_pods(counted, record_property):
    few, many = counted[FEW], counted[MANY]
    growth = many.pods / few.pods
    grown = {what for what in many.requests if many.requests[what] > few.requests[what]}
    record_property("measured", table(counted, grown))

    assert {what for what in grown if many.requests[what] > growth * few.requests[what]} == set()


def test_only_the_deletions_grow_as_the_pods_do(counted):
    few, many = counted[FEW], counted[MANY]
    steep = {what for what in many.requests if many.requests[what] > 3 * few.requests[what]}

    assert steep == {"delete pods"}
    # One or two more in either: Hubble's pods that started while Canal still gave them their address.
    assert many.requests["delete pods"] - few.requests["delete pods"] <= many.pods - few.pods + 2


def table(counted: dict[int, Counted], grown: set[str]) -> str:
    """Return what grew, and the sum of all that did not, for both clusters."""
    few, many = counted[FEW], counted[MANY]
    lines = [f"{'requests of a migration':<34}{few.pods:>6} pods{many.pods:>6} pods"]
    lines += [f"  {what:<32}{few.requests[what]:>11}{many.requests[what]:>11}" for what in sorted(grown)]
    rest = [sum(count for what, count in one.requests.items() if what not in grown) for one in (few, many)]
    lines += [f"  {'all others':<32}{rest[0]:>11}{rest[1]:>11}"]
    return "\n".join([*lines, f"  {'sum':<32}{few.requests.total():>11}{many.requests.total():>11}"])
