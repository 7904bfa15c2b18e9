"""One lab of many small user clusters, reached over HTTPS; whoever changes a cluster takes a fresh one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tenacity import wait_random_exponential

from clusters import api, watching
from clusters.api import KubeApi
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.kinds import PODS
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps import bookkeeping, cilium, cni_backup, switching, verification
from clusters.steps.survey import list_pods
from migration.journal import Migration
from migration.models import ClusterRef, Cni, CniType, MigrationRequest, Pod
from tests.running_lab import RunningLab, lab_process

CLUSTERS = 40
VERSION = "1.19.4"
SOON = timedelta(seconds=20)


@dataclass(frozen=True)
class LabCluster:
    """A user cluster of the lab, on Canal, and the trouble that a test makes for it."""

    name: str
    lab: RunningLab
    told: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def ref(self) -> ClusterRef:
        return ClusterRef(seed="lab", name=self.name)

    @property
    def request(self) -> MigrationRequest:
        return MigrationRequest(
            cluster=self.ref, desired_cni=Cni(type=CniType.CILIUM, version=VERSION), requested_by="a test"
        )

    @property
    def kubeconfig(self) -> Path:
        return next(Path(item["kubeconfig"]) for item in self.lab.clusters() if item["name"] == self.name)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[OpenedCluster]:
        async with open_cluster(self.ref, self.told.append) as opened:
            yield opened

    def requests(self, what: str) -> int:
        """How often the cluster's API server was asked, as `list pods`."""
        return int(self.lab.remote.requests()[self.name].get(what, 0))

    def fault(self, trouble: str, **fields: Any) -> int:
        """Make trouble for requests to this cluster's own API server."""
        self.troubles.append(trouble)
        return self.lab.remote.add_fault("request", trouble, **{"server": self.name, **fields})

    def seed_fault(self, trouble: str, **fields: Any) -> int:
        """Make trouble for requests about this cluster at the seed."""
        return self.fault(trouble, server="lab", **{"path": f"/clusters/{self.name}$", **fields})

    def platform_fault(self, trouble: str, **fields: Any) -> int:
        return self.lab.remote.add_fault("platform", trouble, cluster=self.name, **fields)

    def was_told(self, text: str) -> bool:
        """Tell whether a step has told people something."""
        return any(text in line for line in self.told)

    def clear_faults(self) -> None:
        self.lab.remote.clear_faults()

    async def leave(self) -> None:
        """Leave no trouble behind.

        aiohttp 3 says farewell over TLS in the background to a server that didn't answer in time, and Python complains
        of the open socket if the event loop ends before.
        """
        self.clear_faults()
        if any("timeout" in trouble for trouble in self.troubles):
            await asyncio.sleep(0.1)


class Stock:
    """Fresh clusters. A lab that has none left is ended, and another one started."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running = ExitStack()
        self._labs = 0
        self._names: list[str] = []
        self._shared = ""
        self._lab: RunningLab | None = None

    def take(self) -> LabCluster:
        """Return a cluster that nobody has changed."""
        lab = self._restocked(wanted=1)
        return LabCluster(self._names.pop(), lab)

    def shared(self) -> LabCluster:
        """Return the cluster that many tests use."""
        lab = self._restocked(wanted=0)
        return LabCluster(self._shared, lab)

    def close(self) -> None:
        self._running.close()

    def _restocked(self, *, wanted: int) -> RunningLab:
        if self._lab is None or len(self._names) < wanted:
            self._running.close()
            self._labs += 1
            size = ("--clusters", str(CLUSTERS), "--nodes", "2", "--pods", "8", "--grace-seconds", "0")
            directory = self._directory / f"lab-{self._labs}"
            self._lab = self._running.enter_context(lab_process(directory, *size, "--speed", "1000"))
            self._names = [cluster["name"] for cluster in self._lab.clusters()]
            self._shared = self._names.pop()
        return self._lab


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that spare a real API server are short: the lab is near, and a thousand times as fast."""
    monkeypatch.setattr(watching, "RETRY_PAUSES_SECONDS", (0.02, 0.05, 0.2, 0.5))
    monkeypatch.setattr(watching, "COALESCE_SECONDS", 0.01)
    monkeypatch.setattr(api, "_backoff", wait_random_exponential(multiplier=0.02, max=0.2))


@pytest.fixture(scope="package")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    found = Stock(tmp_path_factory.mktemp("clusters"))
    yield found
    found.close()


@pytest.fixture
async def cluster(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LabCluster]:
    """A cluster that nobody has changed."""
    found = stock.take()
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(found.lab.connections))
    yield found
    await found.leave()


@pytest.fixture
async def shared(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LabCluster]:
    """A cluster for tests that clean up after themselves, or use names of their own."""
    found = stock.shared()
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(found.lab.connections))
    yield found
    await found.leave()


@pytest.fixture
async def opened(cluster: LabCluster) -> AsyncIterator[OpenedCluster]:
    async with cluster.open() as found:
        yield found


@pytest.fixture
async def shared_opened(shared: LabCluster) -> AsyncIterator[OpenedCluster]:
    async with shared.open() as found:
        yield found


@pytest.fixture(name="api")
async def shared_api(shared_opened: OpenedCluster) -> KubeApi:
    return shared_opened.api


@pytest.fixture
async def migration(cluster: LabCluster, opened: OpenedCluster) -> Migration:
    """An open migration of a cluster on Canal, with its baseline and backups."""
    begun = await bookkeeping.begin_migration(opened, cluster.request)
    assert begun is not None
    await verification.record_baseline(opened, begun.id)
    await cni_backup.back_up(opened, begun.id)
    return begun


@pytest.fixture
async def beside(opened: OpenedCluster, migration: Migration) -> Migration:
    """An open migration whose Cilium runs beside Canal."""
    await switching.allow_cni_migration(opened)
    await switching.switch_cni(opened, migration)
    await cilium.wait_for_cilium(opened, version=VERSION, deadline=SOON)
    return migration


async def pod_network_pods(api: KubeApi) -> dict[str, Pod]:
    """Return the pods on the pod network that live, by uid."""
    return {pod.uid: pod for pod in await list_pods(api) if not (pod.host_network or pod.mirror or pod.finished)}


async def bare_pod_uid(api: KubeApi) -> str | None:
    """Return the uid of the lab's bare pod, None without it."""
    found = await api.find(PODS, "debug-shell", namespace="shop")
    return None if found is None else str(found["metadata"]["uid"])
