"""A Prefect server in a process and with a database of its own, for tests that need what `prefect_test_harness` lacks."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from deployments.stack import LOOPBACK, SERVER, START_SECONDS, stack_environment
from tests.running_lab import ROOT, STOP_SECONDS, eventually, guard, tell_guard


@dataclass(frozen=True)
class RunningPrefect:
    """A server that answers."""

    ui_url: str
    environment: Mapping[str, str]
    """For processes that shall use this server."""

    @property
    def api_url(self) -> str:
        return f"{self.ui_url}/api"

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run this Python in this server's environment, whatever comes of it."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@contextlib.contextmanager
def prefect_process(directory: Path, settings: Mapping[str, str]) -> Iterator[RunningPrefect]:
    """Run a Prefect server with these settings until the block ends."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        port = probe.getsockname()[1]
    directory.mkdir(parents=True, exist_ok=True)
    running = RunningPrefect(
        f"http://{LOOPBACK}:{port}", {**stack_environment(directory, port=port, poll_seconds=1), **settings}
    )
    log = directory / "server.log"
    command = [sys.executable, *SERVER, "--port", str(port)]
    with guard() as guarding, log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=running.environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        tell_guard(guarding, "+", process)
        try:
            eventually(lambda: _answers(running, process, log), seconds=START_SECONDS, what=f"the server ({log})")
            yield running
        finally:
            process.terminate()
            try:
                process.wait(timeout=STOP_SECONDS)
            finally:
                process.kill()
        tell_guard(guarding, "-", process)


def _answers(running: RunningPrefect, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return httpx.get(f"{running.api_url}/health", trust_env=False, timeout=2).is_success
    except httpx.HTTPError:
        return False
