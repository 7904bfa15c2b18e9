"""Where cases are fought out: one Prefect server, a process that forks runs, and labs of many small clusters."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from prefect.settings import (
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    get_current_settings,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from clusters import narrowing
from clusters.api import KubeApi, open_api
from clusters.kinds import APPLICATION_INSTALLATIONS, DAEMON_SETS
from clusters.kubernetes_seed import KubernetesSeed
from clusters.seed import Seed
from migration.cilium import is_deployed
from migration.journal import NAMESPACE
from tests.chaos.scenarios import CANAL, Place
from tests.chaos.strikes import LATE, Orders, to_json
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import change_values, is_configured
from tests.flows.belongings import plant
from tests.running_lab import RunningLab, lab_process

SIZE: Final = ("--nodes", "3", "--machine-deployments", "2", "--pods", "16", "--grace-seconds", "0", "--speed", "200")
RUN_SECONDS: Final = 120.0
"""A run that takes longer than this hangs."""


@dataclass
class Ground:
    """A user cluster of a lab, and what has been done on it."""

    name: str
    lab: RunningLab
    place: Place = CANAL
    history: list[str] = field(default_factory=list)
    """Ids of cases and names of scenarios that it has been through."""
    last: str = ""
    """Name of the scenario that was its last one."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[Seed, KubeApi]]:
        """Reach the seed and the cluster as administrators."""
        found = next(item["kubeconfig"] for item in self.lab.clusters() if item["name"] == self.name)
        seed, cluster = _kubeconfig(self.lab.seed_kubeconfig), _kubeconfig(Path(found))
        async with open_api(seed, where="seed lab") as above, open_api(cluster, where=f"cluster {self.name}") as api:
            yield KubernetesSeed(above, "lab"), api

    async def forget_other_modes(self) -> None:
        """Have Cilium the values that KKP gives it on a cluster that was created on ebpf."""
        async with self.open() as (_, api):
            await change_values(api, cni={"exclusive": False}, tunnelPort=0)

            async def runs_with_them() -> bool:
                application = await api.get(APPLICATION_INSTALLATIONS, "cilium", namespace=NAMESPACE)
                agents = await api.get(DAEMON_SETS, "cilium", namespace=NAMESPACE)
                is_settled = is_deployed(narrowing.application(application)) and narrowing.rollout(agents).is_rolled_out
                return is_settled and await is_configured(api, "cni-chaining-mode", None)

            await becomes(runs_with_them)

    async def prepare(self) -> None:
        """Leave it with what a cluster of the lab doesn't have by itself."""
        async with self.open() as (_, api):
            await plant(api)


def _kubeconfig(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text()))


@dataclass(frozen=True)
class End:
    """What became of a run."""

    outcome: str
    """Of the flow's report; `failed`, `killed` or `hung` without one."""
    message: str = ""
    error: str = ""
    struck: int = 0
    """How many of the strikes it met."""
    late: int = 0
    """How many of these came later than they were told to."""
    waits: tuple[str, ...] = ()
    """What it said when it was put off."""
    recorded: dict[str, Any] = field(default_factory=dict)


class Mother:
    """Forks runs, one process each, from one that has imported all they need."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.chaos.victim"])
        self._count = 0

    def orders(self, ground: Ground, flow: str, parameters: dict[str, Any], **more: Any) -> Orders:
        """Return orders for a run on this ground; what it says goes to the ground's log."""
        self._count += 1
        return Orders(
            flow=flow,
            cluster=ground.name,
            parameters=parameters,
            connections=str(ground.lab.connections),
            lab=str(ground.lab.directory),
            log=self.log_of(ground),
            result=str(self._directory / f"run-{self._count}.json"),
            **more,
        )

    def log_of(self, ground: Ground) -> str:
        """Return the file with what the runs of a case on this ground say."""
        return str(ground.lab.directory.with_name(f"{ground.lab.directory.name}-{ground.name}.log"))

    async def run(self, orders: Orders) -> End:
        """Run the flow in a process of its own, and return what became of it."""
        from tests.chaos.victim import WHERE_ARE_YOU, live  # noqa: PLC0415 - its imports are the forked process's

        process = self._context.Process(target=live, args=(to_json(orders),))
        process.start()
        await asyncio.to_thread(process.join, RUN_SECONDS)
        hung = process.is_alive()
        if hung and process.pid is not None:
            os.kill(process.pid, WHERE_ARE_YOU)
            await asyncio.sleep(1)
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        return self._end(orders, code, hung=hung)

    def _end(self, orders: Orders, code: int | None, *, hung: bool) -> End:
        file, mark = Path(orders.result), Path(f"{orders.result}.struck")
        met = mark.read_text().splitlines() if mark.exists() else []
        struck, late = len(met), met.count(LATE)
        mark.unlink(missing_ok=True)
        notes = Path(f"{orders.result}.waits")
        waits = tuple(notes.read_text().splitlines()) if notes.exists() else ()
        if hung or not file.exists():
            return End("hung" if hung else "killed", f"exit status {code}", struck=struck, late=late, waits=waits)
        found = json.loads(file.read_text())
        file.unlink()
        found.pop("migration", None)
        return End(**found, struck=struck, late=late, waits=waits)


@contextmanager
def prefect_server(directory: Path) -> Iterator[None]:
    """Have one Prefect server, with results in the directory, until the block ends."""
    with (
        temporary_settings({PREFECT_SERVER_ANALYTICS_ENABLED: False}),
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_LOCAL_STORAGE_PATH: directory / "results"}),
    ):
        yield


@contextmanager
def prefect_s_address_told() -> Iterator[None]:
    """Have processes that are started in the block use this one's Prefect server, and spare it their logs."""
    told = {
        "PREFECT_API_URL": str(get_current_settings().api.url),
        "PREFECT_LOCAL_STORAGE_PATH": str(PREFECT_LOCAL_STORAGE_PATH.value()),
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Field:
    """The clusters of one lab, which is replaced by a fresh one when they are used up."""

    def __init__(self, directory: Path, *, clusters: int) -> None:
        self._directory, self._clusters = directory, clusters
        self._labs = 0
        self._running: Any = None
        self._unused: list[str] = []
        self._lab: RunningLab | None = None
        self.grounds: list[Ground] = []

    async def fresh(self) -> Ground:
        """Return a cluster that nobody has changed."""
        if not self._unused:
            await asyncio.to_thread(self._restock)
        assert self._lab is not None
        ground = Ground(self._unused.pop(), self._lab)
        await ground.prepare()
        self.grounds.append(ground)
        return ground

    @property
    def has_unused(self) -> bool:
        """Whether another cluster costs nothing."""
        return bool(self._unused) or self._lab is None

    def set_aside(self, ground: Ground) -> None:
        """Never use this cluster again."""
        self.grounds.remove(ground)

    def close(self) -> None:
        """End the lab."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None

    def _restock(self) -> None:
        self.close()
        self._labs += 1
        self.grounds.clear()
        self._directory.mkdir(parents=True, exist_ok=True)
        directory = self._directory / f"lab-{self._labs}"
        self._running = lab_process(directory, "--clusters", str(self._clusters), *SIZE)
        self._lab = self._running.__enter__()
        self._unused = [cluster["name"] for cluster in self._lab.clusters()]
