"""A lab, a Prefect server and a runner as processes of their own, each of which a test may kill and start again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import yaml

from clusters.api import KubeApi
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.kinds import LEASES
from deployments.processes import Child, Nursery, nursery
from deployments.progress import PrefectApi
from deployments.stack import IS_SERVING, LAB_IS_UP, LOOPBACK, SERVER, START_SECONDS, stack_environment
from lab.remote import RemoteLab

FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
RESUME = "resume-interrupted/resume-interrupted"
LOOK_SECONDS = 0.05
SLOWNESS = 4
"""How much longer than on a quiet machine things may take: each run is a process that has to start first."""
RETRY = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the Prefect UI"}
"""The state that the UI sets when somebody presses Retry."""


@dataclass
class Stack:
    """What runs, and the Prefect API of it."""

    directory: Path
    port: int
    children: Nursery
    lab_directory: Path
    http: httpx.AsyncClient
    server: Child | None = None
    runner: Child | None = None
    unused: list[str] = field(default_factory=list)
    """The clusters that no test has migrated yet."""

    @cached_property
    def lab(self) -> RemoteLab:
        return RemoteLab(self.lab_directory)

    @property
    def api(self) -> PrefectApi:
        return PrefectApi(self.http)

    async def start_server(self) -> None:
        self.server = await self.children.start("Prefect server", *SERVER, "--port", str(self.port))
        await self.server.wait_until(self._is_healthy, timeout_seconds=START_SECONDS)

    async def start_runner(self) -> None:
        """Serve the deployments; the schedule of resume-interrupted stays off, the tests start it themselves."""
        self.runner = await self.children.start("flow runner", "-m", "deployments.serve")
        await self.runner.wait_until(lambda: IS_SERVING in self.runner.output(), timeout_seconds=START_SECONDS)
        found = await self.call("GET", f"/deployments/name/{RESUME}")
        await self.call("PATCH", f"/deployments/{found['id']}", {"paused": True})

    def kubeconfig(self, cluster: str) -> Any:
        """Return the way in to a user cluster of the lab, as its administrator."""
        found = next(each for each in self.lab.state()["clusters"] if each["name"] == cluster)
        return yaml.safe_load(Path(found["kubeconfig"]).read_text())

    async def kill_server(self) -> None:
        await _kill(self.server)

    async def kill_runner(self) -> None:
        await _kill(self.runner)

    def forget_everything(self) -> None:
        """Lose Prefect's database and every stored result."""
        shutil.rmtree(self.directory / "prefect")

    async def kill_run(self, processes: list[int] | None = None) -> None:
        """Kill the process of the one run that the runner has started, and nothing else."""
        for pid in processes or self.processes_of_runs():
            os.kill(pid, signal.SIGKILL)
        await self.until(lambda: not self.processes_of_runs(), what="the run's process to end")

    def processes_of_runs(self) -> list[int]:
        """Return the processes in which the runner's runs are."""
        table = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split() for line in table.splitlines()]
        return [int(pid) for pid, parent, stat in rows if int(parent) == self.runner.process.pid and "Z" not in stat]

    async def start(self, flow: str, cluster: str, **parameters: Any) -> str:
        return await self.api.start_run(f"{flow}/{flow}", parameters={"seed": "lab", "cluster": cluster, **parameters})

    async def resume_interrupted(self, **parameters: Any) -> dict[str, Any]:
        """Have resume-interrupted look once, without the patience that a test has no time for; returns its run."""
        wanted = {"quiet_seconds": 0, **parameters}
        return await self.ended(await self.api.start_run(RESUME, parameters=wanted))

    async def set_state(self, run: str, state: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        return await self.call("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": force})

    async def states(self, run: str) -> list[dict[str, Any]]:
        """Return every state that a run was in, the first one first."""
        found = await self.call("GET", "/flow_run_states/", params={"flow_run_id": run})
        return sorted(found, key=lambda state: state["timestamp"])

    async def ended(self, run: str, *, seconds: float = 90) -> dict[str, Any]:
        """Return the run once it is over."""
        return await self.reaches(run, *FINAL, seconds=seconds)

    async def reaches(self, run: str, *types_or_names: str, seconds: float = 30) -> dict[str, Any]:
        """Return the run once its state has one of these types or names; the seconds are those of a quiet machine."""
        ends = time.monotonic() + seconds * SLOWNESS
        while True:
            found = await self.api.flow_run(run)
            state = found["state"] or {}
            if state.get("type") in types_or_names or state.get("name") in types_or_names:
                return found
            assert time.monotonic() < ends, f"{found['name']} is {state}, not {types_or_names}:\n{self.runner.output()}"
            await asyncio.sleep(LOOK_SECONDS)

    async def asks(self, run: str, *, seconds: float = 60) -> dict[str, Any]:
        """Return the run once it waits for a person's answer, and has left its process.

        That suspends the run once more as it leaves (Prefect 3.8.8), so an answer of the moment before would be lost.
        """
        found = await self.reaches(run, "Suspended", seconds=seconds)
        await self.until(lambda: not self._is_at_work(run), what="the end of the run's process")
        return found

    def _is_at_work(self, run: str) -> bool:
        for pid in self.processes_of_runs():
            with suppress(OSError):
                if run in Path(f"/proc/{pid}/environ").read_text():
                    return True
        return False

    async def until(self, holds: Callable[[], Any], *, what: str, seconds: float = 60) -> None:
        """Return once this holds of another process; the seconds are those of a quiet machine."""
        ends = time.monotonic() + seconds * SLOWNESS
        while not await asyncio.to_thread(holds):
            assert time.monotonic() < ends, f"no sign within {seconds:g} s of {what}:\n{self.runner.output()[-4000:]}"
            await asyncio.sleep(LOOK_SECONDS)

    async def steps(self, run: str) -> dict[str, str]:
        """Return the name of the last state of each step of a run."""
        found = await self.api.task_runs(run)
        found.sort(key=lambda each: str(each["start_time"] or ""))
        return {each["name"][:-4]: each["state"]["name"] for each in found if each["state"]}

    async def reads(self, artifact: str) -> str:
        """Return the text of the latest artifact of this key."""
        return str((await self.call("GET", f"/artifacts/{artifact}/latest"))["data"])

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = await self.http.request(method, path, json=body, **options)
        for pause in (0.2, 0.5, 1.0, 2.0):
            # So Prefect answers while its SQLite is locked (3.8.8), and its own client tries again.
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            await asyncio.sleep(pause)
            answer = await self.http.request(method, path, json=body, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"http://{LOOPBACK}:{self.port}/api/health", trust_env=False, timeout=2).is_success
        except httpx.HTTPError:
            return False


@asynccontextmanager
async def killable_stack(directory: Path, *lab_options: str) -> AsyncIterator[Stack]:
    """Leave a stack running until the block ends."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port = probe.getsockname()[1]
    logs = _made(directory / "logs")
    environment = stack_environment(directory, port=port, poll_seconds=1)
    async with (
        nursery(environment=environment, logs=logs) as children,
        httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}/api", trust_env=False, timeout=60) as http,
    ):
        lab = await children.start("lab", "-m", "lab", "up", f"--directory={directory}", *lab_options)
        stack = Stack(directory, port, children, directory, http)
        await asyncio.gather(
            lab.wait_until(lambda: LAB_IS_UP in lab.output(), timeout_seconds=START_SECONDS), stack.start_server()
        )
        stack.unused = [cluster["name"] for cluster in stack.lab.state()["clusters"]]
        await stack.start_runner()
        yield stack


@asynccontextmanager
async def second_prefect(first: Stack) -> AsyncIterator[Stack]:
    """Leave another Prefect server and runner, which work on the same lab, running until the block ends."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port = probe.getsockname()[1]
    directory = first.directory / "second"
    logs = directory / "logs"
    logs.mkdir(parents=True)
    environment = {
        **stack_environment(directory, port=port, poll_seconds=1),
        ENVIRONMENT_VARIABLE: str(first.directory / "connections"),
    }
    async with (
        nursery(environment=environment, logs=logs) as children,
        httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}/api", trust_env=False, timeout=60) as http,
    ):
        stack = Stack(directory, port, children, first.lab_directory, http)
        await stack.start_server()
        await stack.start_runner()
        yield stack


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


async def expire_lease(api: KubeApi) -> None:
    """Have the killed run's lease be old, as it is a minute later."""
    lease = await api.find(LEASES, "cni-migration", namespace="kube-system")
    if lease is not None:
        patch = {"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}
        await api.patch(LEASES, "cni-migration", patch, namespace="kube-system")


async def _kill(child: Child | None) -> None:
    assert child is not None
    child.process.kill()
    await child.process.wait()
