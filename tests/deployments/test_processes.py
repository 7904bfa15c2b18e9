"""Child processes never outlive their parent, and say why they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments.processes import ProcessFailed, nursery

SLEEP = ("-c", "import time; print('asleep', flush=True); time.sleep(600)")
PARENT = f"""
import asyncio, os, pathlib, sys
from deployments.processes import nursery

async def main():
    async with nursery(environment=os.environ, logs=pathlib.Path(sys.argv[1])) as children:
        child = await children.start("sleeper", *{SLEEP!r})
        print(child.process.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_children_are_gone_when_the_block_ends(tmp_path):
    async with nursery(environment=os.environ, logs=tmp_path) as children:
        child = await children.start("sleeper", *SLEEP)
        await child.wait_until(lambda: "asleep" in child.output(), timeout_seconds=30)

    assert child.process.returncode == -signal.SIGTERM


async def test_a_child_that_ends_is_told_with_its_last_words(tmp_path):
    async with nursery(environment=os.environ, logs=tmp_path) as children:
        child = await children.start("lab", "-c", "import sys; sys.exit('no room left')")
        await child.process.wait()

        with pytest.raises(
            ProcessFailed, match=r"the lab ended with status 1:\n  \| no room left\n  all of it: .*lab.log"
        ):
            child.check()


async def test_a_child_that_never_gets_ready_is_told_after_the_deadline(tmp_path):
    async with nursery(environment=os.environ, logs=tmp_path) as children:
        child = await children.start("server", *SLEEP)

        with pytest.raises(ProcessFailed, match="the server was not ready within 0 s"):
            await child.wait_until(lambda: False, timeout_seconds=0.3)


def test_children_end_when_their_parent_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()

    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        # A zombie that nobody waits for has ended.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
