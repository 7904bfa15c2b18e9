"""One Prefect server for all tests of the flows, and a lab for those of a file; each test takes a fresh cluster.

With `--way-in rest` the flows reach these clusters by KKP's REST API. On the seed stay, whatever it says: clusters on real
API servers, before which there is no REST API (`any_cluster`, test_rights, test_requests); the KKP of 2.20, whose REST
API nobody has read (test_old_kkp); tests with a stack or an arena of their own (test_fleet, test_chaos); and a connection
that a test spoils itself. What looks at a cluster for a test goes by the seed in any case, whoever changed it.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from clusters.api import KubeApi, open_api
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.kkp_api import polling
from clusters.seed import OpenedCluster, Seed, open_cluster, open_seed
from flows.canal_to_cilium import canal_to_cilium
from flows.change_proxy_mode import change_proxy_mode
from flows.cilium_to_canal import cilium_to_canal
from flows.revert_migration import revert_migration
from migration.models import ClusterRef, MigrationReport, ProxyMode
from tests.conftest import WAYS_IN
from tests.flows.run_flow import POLL_SECONDS
from tests.least_privilege import least_privileged_connections
from tests.real_kkp import RealKkp, WorkloadsBy, real_kkp
from tests.running_lab import RunningLab, lab_process

DEFAULT_CLUSTERS = 2
SIZE = ("--nodes", "2", "--pods", "16", "--grace-seconds", "0")


@dataclass(frozen=True)
class UserCluster:
    """A user cluster of the lab, on Canal, which one test has for itself."""

    name: str
    lab: RunningLab
    connection: str = WAYS_IN["seed"]
    """By which the flows reach it."""

    @property
    def kkp_server(self) -> str:
        """What the lab calls the server that this connection leads to, for faults."""
        return "kkp" if self.connection == WAYS_IN["rest"] else "lab"

    @property
    def kubeconfig(self) -> Any:
        file = next(item["kubeconfig"] for item in self.lab.clusters() if item["name"] == self.name)
        return yaml.safe_load(Path(file).read_text())

    async def migrate(self, **parameters: Any) -> MigrationReport:
        return await canal_to_cilium(seed=self.connection, cluster=self.name, **parameters)

    async def to_canal(self, canal_version: str = "v3.30", **parameters: Any) -> MigrationReport:
        return await cilium_to_canal(seed=self.connection, cluster=self.name, canal_version=canal_version, **parameters)

    async def change_mode(self, mode: ProxyMode, **parameters: Any) -> MigrationReport:
        return await change_proxy_mode(seed=self.connection, cluster=self.name, proxy_mode=mode, **parameters)

    async def revert(self, **parameters: Any) -> MigrationReport:
        return await revert_migration(seed=self.connection, cluster=self.name, **parameters)

    async def migrate_as(self, seed: str, cluster: str) -> MigrationReport:
        return await canal_to_cilium(seed=seed, cluster=cluster)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenedCluster]:
        async with open_cluster(ClusterRef(seed="lab", name=self.name), lambda line: None) as opened:
            yield opened

    @asynccontextmanager
    async def apis(self) -> AsyncIterator[tuple[Seed, KubeApi]]:
        """Reach the seed as the flows do, and the user cluster as an administrator, whoever the flows are there."""
        async with open_seed("lab") as seed, open_api(self.kubeconfig, where=f"user cluster {self.name}") as api:
            yield seed, api


@pytest.fixture(scope="module", autouse=True)
def nothing_left_to_collect() -> Iterator[None]:
    """Have what Prefect 3.8.8 leaves to the garbage collector collected here, where its warnings are passed over."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def brisk_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab is near, and two hundred times as fast as a KKP that is asked four times a minute."""
    monkeypatch.setattr(polling, "POLL_SECONDS", POLL_SECONDS)


@pytest.fixture(scope="session")
def connection(request: pytest.FixtureRequest) -> str:
    """By which the flows reach their clusters, unless a test says otherwise."""
    return WAYS_IN[request.config.getoption("--way-in")]


@pytest.fixture(scope="package")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    storage = tmp_path_factory.mktemp("results")
    with prefect_test_harness(server_startup_timeout=300), temporary_settings({PREFECT_LOCAL_STORAGE_PATH: storage}):
        yield


@pytest.fixture(scope="module")
def lab_of_many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab with as many clusters as the module's tests use up, which it tells as `CLUSTERS`."""
    clusters = getattr(request.module, "CLUSTERS", DEFAULT_CLUSTERS)
    directory = tmp_path_factory.mktemp("flows") / "lab"
    with lab_process(directory, "--clusters", str(clusters), *SIZE, "--speed", "200") as running:
        yield running


@pytest.fixture(scope="module")
def unused_clusters(lab_of_many: RunningLab) -> list[str]:
    return [cluster["name"] for cluster in lab_of_many.clusters()]


@pytest.fixture
def connections(lab_of_many: RunningLab, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(lab_of_many.connections))
    return lab_of_many.connections


@pytest.fixture
def cluster(
    prefect_server: None, connections: Path, lab_of_many: RunningLab, unused_clusters: list[str], connection: str
) -> Iterator[UserCluster]:
    assert unused_clusters, "the tests of a file use up one cluster each: raise its CLUSTERS"
    yield UserCluster(unused_clusters.pop(), lab_of_many, connection)
    lab_of_many.remote.clear_faults()


@contextmanager
def cluster_of(kkp: RealKkp) -> Iterator[UserCluster]:
    """Have the flows reach a cluster on real API servers, with the rights that `deployments/rbac` gives them."""
    with pytest.MonkeyPatch.context() as patch:
        folder = kkp.lab.directory.parent / "least-privileged"
        patch.setenv(ENVIRONMENT_VARIABLE, str(least_privileged_connections(kkp, folder)))
        yield UserCluster(kkp.cluster, kkp.lab)


@pytest.fixture(
    params=[
        "lab",
        pytest.param("a real API server with the lab's controllers", marks=pytest.mark.control_plane),
        pytest.param("a real API server with kube-controller-manager", marks=pytest.mark.control_plane),
    ]
)
def any_cluster(
    request: pytest.FixtureRequest, prefect_server: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UserCluster]:
    """A fresh cluster of the lab; then one on real API servers, once with each kind of workload controllers."""
    if request.param == "lab":
        yield request.getfixturevalue("cluster")
        return
    played: WorkloadsBy = "lab" if request.param.endswith("lab's controllers") else "kube-controller-manager"
    folder = tmp_path_factory.mktemp("real")
    with real_kkp(folder, *SIZE, "--speed", "200", workloads_by=played) as kkp, cluster_of(kkp) as found:
        yield found


@pytest.fixture(scope="module")
def name_for_refusals(unused_clusters: list[str]) -> str:
    return unused_clusters.pop()


@pytest.fixture
def cluster_for_refusals(
    prefect_server: None, connections: Path, lab_of_many: RunningLab, name_for_refusals: str, connection: str
) -> UserCluster:
    """A cluster that nothing may change, and so may be shared."""
    return UserCluster(name_for_refusals, lab_of_many, connection)


@pytest.fixture
async def seed(connections: Path) -> AsyncIterator[Seed]:
    async with open_seed("lab") as opened:
        yield opened
