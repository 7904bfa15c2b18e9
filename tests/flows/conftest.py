"""One Prefect server and one lab of several user clusters for all tests of the flows; each test takes a fresh cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from clusters.api import KubeApi
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.seed import OpenedCluster, Seed, open_cluster, open_seed
from flows.canal_to_cilium import canal_to_cilium
from migration.models import ClusterRef, MigrationReport
from tests.running_lab import RunningLab, lab_process

CLUSTERS = 20


@dataclass(frozen=True)
class UserCluster:
    """A user cluster of the lab, on Canal, which one test has for itself."""

    name: str
    lab: RunningLab

    async def migrate(self, **parameters: Any) -> MigrationReport:
        return await canal_to_cilium(seed="lab", cluster=self.name, **parameters)

    async def migrate_as(self, seed: str, cluster: str) -> MigrationReport:
        return await canal_to_cilium(seed=seed, cluster=cluster)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenedCluster]:
        async with open_cluster(ClusterRef(seed="lab", name=self.name), lambda line: None) as opened:
            yield opened

    @asynccontextmanager
    async def apis(self) -> AsyncIterator[tuple[Seed, KubeApi]]:
        async with self.open() as opened:
            yield opened.seed, opened.api


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    storage = tmp_path_factory.mktemp("results")
    with prefect_test_harness(server_startup_timeout=120), temporary_settings({PREFECT_LOCAL_STORAGE_PATH: storage}):
        yield


@pytest.fixture(scope="session")
def lab_of_many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    directory = tmp_path_factory.mktemp("flows") / "lab"
    size = ("--clusters", str(CLUSTERS), "--nodes", "2", "--pods", "16", "--grace-seconds", "0", "--speed", "200")
    with lab_process(directory, *size) as running:
        yield running


@pytest.fixture(scope="session")
def unused_clusters(lab_of_many: RunningLab) -> list[str]:
    return [cluster["name"] for cluster in lab_of_many.clusters()]


@pytest.fixture
def connections(lab_of_many: RunningLab, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(lab_of_many.connections))
    return lab_of_many.connections


@pytest.fixture
def cluster(
    prefect_server: None, connections: Path, lab_of_many: RunningLab, unused_clusters: list[str]
) -> Iterator[UserCluster]:
    assert unused_clusters, "the tests of this folder use up one cluster each: raise CLUSTERS"
    yield UserCluster(unused_clusters.pop(), lab_of_many)
    lab_of_many.remote.clear_faults()


@pytest.fixture(scope="session")
def name_for_refusals(unused_clusters: list[str]) -> str:
    return unused_clusters.pop()


@pytest.fixture
def cluster_for_refusals(
    prefect_server: None, connections: Path, lab_of_many: RunningLab, name_for_refusals: str
) -> UserCluster:
    """A cluster that nothing may change, and so may be shared."""
    return UserCluster(name_for_refusals, lab_of_many)


@pytest.fixture
async def seed(connections: Path) -> AsyncIterator[Seed]:
    async with open_seed("lab") as opened:
        yield opened
