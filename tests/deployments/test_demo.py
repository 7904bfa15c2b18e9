"""The demo does in one command what the README promises."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.timeout(700)
def test_the_demo_migrates_a_cluster_and_prints_the_report(tmp_path):
    command = [sys.executable, "-m", "deployments.demo", "--directory", str(tmp_path / "demo"), "--speed", "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=660, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "wait for Cilium: Completed" in done.stdout
    assert "was migrated from canal" in done.stdout
    assert "## Outage by workload" in done.stdout


def test_another_demo_in_the_same_directory_is_refused_in_one_line(tmp_path):
    command = [sys.executable, "-m", "deployments.demo", "--directory", str(tmp_path)]
    hold = f"import fcntl, time; f = open({str(tmp_path / 'stack.lock')!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True)"
    with subprocess.Popen([sys.executable, "-c", f"{hold}; input()"], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        holder.communicate("\n")

    assert done.returncode == 1
    assert done.stderr == f"demo: another stack already runs in {tmp_path}; stop it first\n"
