"""A lab in a process of its own, and kubectl, for tests that look at it from outside as an operator does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lab.directory import NoLabRuns
from lab.remote import RemoteLab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
START_SECONDS = 240.0
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class RunningLab:
    """A settled lab: its kubeconfigs, and its own interface."""

    directory: Path
    process: subprocess.Popen[bytes]
    remote: RemoteLab

    @property
    def seed_kubeconfig(self) -> Path:
        return self.directory / "seed.kubeconfig"

    @property
    def connections(self) -> Path:
        return self.directory / "connections"

    def clusters(self) -> list[dict[str, Any]]:
        return list(self.remote.state()["clusters"])

    def cluster_kubeconfig(self, index: int = 0) -> Path:
        return Path(self.clusters()[index]["kubeconfig"])

    def cluster_name(self, index: int = 0) -> str:
        return str(self.clusters()[index]["name"])


class Kubectl:
    """A real kubectl for one kubeconfig, with a HOME of its own so that nothing outside is read or cached."""

    def __init__(self, binary: Path, kubeconfig: Path, home: Path) -> None:
        self.binary = binary
        self.kubeconfig = kubeconfig
        self._environment = {"HOME": str(home), "KUBECONFIG": str(kubeconfig), "PATH": os.environ["PATH"]}

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run kubectl, whatever comes of it."""
        return subprocess.run(
            [str(self.binary), *arguments],
            input=stdin,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl and return what it prints; fails the test with its complaint."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run kubectl with `-o json` and return what it shows."""
        return json.loads(self(*arguments, "-o", "json"))

    def shell(self, pipeline: str, *, timeout: float = 120) -> str:
        """Run a pipeline of a runbook in which `kubectl` is this one; nothing of it outlives the call."""
        path = f"{self.binary.parent}{os.pathsep}{self._environment['PATH']}"
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", pipeline],
            env={**self._environment, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            printed, complaint = process.communicate(timeout=timeout)
        except BaseException:
            # Only the shell would end by itself: xargs would go on, with kubectl after kubectl.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        assert process.returncode == 0, f"{pipeline}: {complaint or printed}"
        return printed


def eventually(condition: Callable[[], Any], *, seconds: float = 30.0, what: str = "the condition") -> Any:
    """Return the first true value of the condition; fails when the deadline passes without one."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds:g} s; last seen: {found!r}"
        time.sleep(0.1)  # looks at another process, which tells nobody when it changes
    return found


@contextlib.contextmanager
def guard() -> Iterator[subprocess.Popen[bytes]]:
    """Run the process that ends what this one leaves behind if it is killed; see `tell_guard`."""
    guard = subprocess.Popen(
        [sys.executable, "-m", "deployments.guard"], cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield guard
    finally:
        guard.stdin.close()
        guard.wait()


def tell_guard(guarding: subprocess.Popen[bytes], sign: Literal["+", "-"], process: subprocess.Popen[bytes]) -> None:
    """Put a process group under guard, or take it off."""
    guarding.stdin.write(f"{sign}{process.pid}\n".encode())
    guarding.stdin.flush()


@contextlib.contextmanager
def lab_process(directory: Path, *options: str, start_seconds: float = START_SECONDS) -> Iterator[RunningLab]:
    """Run `python -m lab up` until the block ends; entered once the lab has settled."""
    log = directory.parent / f"{directory.name}.log"
    command = [sys.executable, "-m", "lab", "up", "--directory", str(directory), *options]
    with guard() as guarding, log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        tell_guard(guarding, "+", process)
        yield from _while_it_runs(process, directory, log, start_seconds)
        tell_guard(guarding, "-", process)


def _while_it_runs(
    process: subprocess.Popen[bytes], directory: Path, log: Path, start_seconds: float
) -> Iterator[RunningLab]:
    try:
        eventually(lambda: _is_ready(process, directory, log), seconds=start_seconds, what=f"the lab ({log})")
        yield RunningLab(directory, process, RemoteLab(directory))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_SECONDS)
        finally:
            process.kill()


def _is_ready(process: subprocess.Popen[bytes], directory: Path, log: Path) -> bool:
    assert process.poll() is None, f"the lab ended: {log.read_text()}"
    with contextlib.suppress(NoLabRuns):
        return bool(RemoteLab(directory).state()["ready"])
    return False


def run_lab(*arguments: str, timeout: float = 30) -> tuple[int, str, str]:
    """Run `python -m lab` and return exit status, output and complaint."""
    done = subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
