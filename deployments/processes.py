"""Child processes that end when this process ends, however it ends, and whose output goes to a file of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

STOP_SECONDS = 10.0
LAST_LINES = 8


class ProcessFailed(Exception):
    """A child process ended by itself, or never became ready."""


@dataclass(frozen=True)
class Child:
    """A process that leads a group of its own, so that Ctrl-C in the terminal reaches only its parent."""

    name: str
    process: asyncio.subprocess.Process
    log_file: Path

    def check(self) -> None:
        """Raise ProcessFailed, with the last lines it printed, if the process has ended."""
        if self.process.returncode is not None:
            raise ProcessFailed(f"{self.name} ended with status {self.process.returncode}:\n{self.last_output()}")

    def last_output(self) -> str:
        """Return the last lines it printed, and where the others are."""
        lines = self.output().splitlines()[-LAST_LINES:]
        return "\n".join((*(f"  | {line}" for line in lines), f"  all of it: {self.log_file}"))

    def output(self) -> str:
        """Return everything it printed so far."""
        return self.log_file.read_text(errors="replace")

    async def wait_until(self, is_ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Return once it is ready; raises ProcessFailed if it ends first or takes too long."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while not await asyncio.to_thread(is_ready):
                    self.check()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            message = f"{self.name} was not ready within {timeout_seconds:.0f} s:\n{self.last_output()}"
            raise ProcessFailed(message) from None

    async def succeed(self, *, timeout_seconds: float) -> None:
        """Return once it has ended with status 0; raises ProcessFailed if it ends otherwise or takes too long."""
        try:
            status = await asyncio.wait_for(self.process.wait(), timeout_seconds)
        except TimeoutError:
            message = f"{self.name} took longer than {timeout_seconds:.0f} s:\n{self.last_output()}"
            raise ProcessFailed(message) from None
        if status:
            self.check()

    async def stop(self) -> None:
        """Leave nothing of the process and its group running: asked first, killed after a while."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


@dataclass(frozen=True)
class Nursery:
    """Starts children with one environment, and stops them."""

    environment: Mapping[str, str]
    logs: Path
    _guard: asyncio.StreamWriter
    _stopping: contextlib.AsyncExitStack

    async def start(self, name: str, *command: str) -> Child:
        """Start this Python with these arguments, in the directory this process is in."""
        log_file = self.logs / f"{name.replace(' ', '-')}.log"
        if log_file.exists():  # kept for whoever wants to know why the last start failed
            log_file.replace(log_file.with_suffix(".previous.log"))
        with log_file.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard.write(b"+%d\n" % process.pid)
        child = Child(f"the {name}", process, log_file)
        self._stopping.push_async_callback(self._stop, child)
        return child

    async def _stop(self, child: Child) -> None:
        await child.stop()
        self._guard.write(b"-%d\n" % child.process.pid)


@asynccontextmanager
async def nursery(*, environment: Mapping[str, str], logs: Path) -> AsyncIterator[Nursery]:
    """Let children be started until the block ends, and leave none: the last started is stopped first."""
    guard = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deployments.guard"),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    orders = cast("asyncio.StreamWriter", guard.stdin)
    try:
        async with contextlib.AsyncExitStack() as stopping:
            yield Nursery(environment, logs, orders, stopping)
    finally:
        orders.close()
        await guard.wait()
