"""An embedded KKP, a Prefect server and a process that runs the deployed flows, together on this machine.

For trying out and rehearsing. Knows the lab only as a command; an installation for real clusters needs none of this.
"""

from __future__ import annotations

import asyncio
import fcntl
import http.client
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.processes import Child, ProcessFailed, nursery

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
LOOPBACK = "127.0.0.1"
SEED = "lab"
SERVER = ("-m", "prefect", "server", "start", "--host", LOOPBACK)
# Of each part; the server takes 8 to 17 s on two cores.
START_SECONDS = 240.0
# What the lab and deployments/serve.py print when they are ready.
LAB_IS_UP = "The lab is up"
IS_SERVING = "Serving "


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """Where the stack keeps its files, and how large the lab is."""

    directory: Path
    clusters: int
    nodes: int
    pods: int
    speed: float
    server_port: int | None = None
    poll_seconds: int = 2

    def lab_command(self) -> tuple[str, ...]:
        """Return the arguments that start this lab."""
        size = {"clusters": self.clusters, "nodes": self.nodes, "pods": self.pods, "speed": self.speed}
        options = (f"--{name}={value}" for name, value in size.items())
        return ("-m", "lab", "up", f"--directory={self.directory}", *options)


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    directory: Path
    ui_url: str
    children: tuple[Child, ...]

    @property
    def api_url(self) -> str:
        """The Prefect API, as PREFECT_API_URL wants it."""
        return f"{self.ui_url}/api"

    @property
    def connections(self) -> Path:
        """The directory of the connections to the lab."""
        return (self.directory / "connections").absolute()

    @property
    def cluster_names(self) -> tuple[str, ...]:
        """The names of the lab's user clusters."""
        return tuple(sorted(path.stem for path in (self.directory / "clusters").glob("*.kubeconfig")))

    @property
    def lab_greeting(self) -> str:
        """What the lab said when it was up: its kubeconfigs and what to try."""
        output = self.children[0].output()
        return output[output.find(LAB_IS_UP) :].strip()

    def check(self) -> None:
        """Raise ProcessFailed if a part of the stack has ended."""
        for child in self.children:
            child.check()


@asynccontextmanager
async def running_stack(settings: StackSettings) -> AsyncIterator[Stack]:
    """Leave a stack running until the block ends; raises ProcessFailed if a part of it doesn't start."""
    directory = _private(settings.directory)
    port = _free_port(settings.server_port)
    environment = stack_environment(directory, port=port, poll_seconds=settings.poll_seconds)
    with _held(directory):
        shutil.rmtree(directory / "prefect", ignore_errors=True)
        async with nursery(environment=environment, logs=_private(directory / "logs")) as children:
            lab = await children.start("lab", *settings.lab_command())
            server = await children.start("Prefect server", *SERVER, "--port", str(port))
            await asyncio.gather(
                lab.wait_until(lambda: LAB_IS_UP in lab.output(), timeout_seconds=START_SECONDS),
                server.wait_until(lambda: _is_healthy(port), timeout_seconds=START_SECONDS),
            )
            serving = await children.start("flow runner", "-m", "deployments.serve")
            await serving.wait_until(lambda: IS_SERVING in serving.output(), timeout_seconds=START_SECONDS)
            yield Stack(directory, f"http://{LOOPBACK}:{port}", (lab, server, serving))


def stack_environment(directory: Path, *, port: int, poll_seconds: int) -> Mapping[str, str]:
    """Return the environment of the stack's processes: this one's, without any other Prefect server's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    loopback = f"{LOOPBACK},localhost"
    return kept | {
        "PREFECT_HOME": str((directory / "prefect").absolute()),
        "PREFECT_API_URL": f"http://{LOOPBACK}:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        # So that the terminal shows what a run says half a second later, not two.
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
        "PREFECT_RUNNER_POLL_FREQUENCY": str(poll_seconds),
        "CNI_MIGRATION_CONNECTIONS": str((directory / "connections").absolute()),
        "PYTHONPATH": os.pathsep.join((str(ROOT.absolute()), *filter(None, [kept.get("PYTHONPATH")]))),
        "PYTHONUNBUFFERED": "1",
        # The stack talks to itself only; a proxy of this machine must not come between.
        "NO_PROXY": ",".join((*filter(None, [kept.get("NO_PROXY")]), loopback)),
        "no_proxy": ",".join((*filter(None, [kept.get("no_proxy")]), loopback)),
    }


def _private(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    return directory


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    with (directory / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ProcessFailed(f"another stack already runs in {directory}; stop it first") from None
        yield


def _free_port(wanted: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted or 0))
        except OSError:
            # Whoever is there would pass for the server that is to be started.
            raise ProcessFailed(f"port {wanted} is taken; choose another with --port") from None
        return int(probe.getsockname()[1])


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
