"""Benchmarks, run by hand with `make bench`: prints what was measured against its limits; exit status 1 if one is missed.

Takes some eight minutes, and the machine for itself if the ratios shall mean something.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import large_cluster, real_api, restarting
from tests.bench.measured import table
from tests.programs import NO_CONTROL_PLANE, NO_KUBECTL, find_control_plane, find_kubectl

if TYPE_CHECKING:
    from tests.bench.measured import Measured


def main() -> int:
    """Measure everything; returns the exit status. No lab is left running, whether it ends by itself or is ended."""
    warn_if_busy()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    kubectl = find_kubectl()
    if kubectl is None:
        sys.stderr.write(f"bench: {NO_KUBECTL}\n")
        return 2
    if find_control_plane() is None:
        sys.stderr.write(f"bench: {NO_CONTROL_PLANE}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        lines = measure_all(Path(directory), kubectl.resolve())
    sys.stdout.write(f"\n{table(lines)}\n")
    return 0 if all(line.kept for line in lines) else 1


def warn_if_busy() -> None:
    """Say so if other work will disturb what is measured."""
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    if load > processors / 2:
        sys.stderr.write(f"bench: this machine is busy (load {load:.1f} on {processors} processors), ratios suffer\n")


def measure_all(directory: Path, kubectl: Path) -> list[Measured]:
    """Return every line of the table."""
    sys.stderr.write("Restarting pods, then the same with kubectl (one to two minutes) ...\n")
    ratio = restarting.compare(directory, kubectl)
    sys.stderr.write("Selecting and waiting in a large cluster (a bit more than a minute) ...\n")
    large = large_cluster.measure(directory)
    sys.stderr.write("Restarting pods on a real API server, in three ways (two minutes) ...\n")
    return [ratio, *large, *real_api.measure(directory, kubectl)]


if __name__ == "__main__":
    sys.exit(main())
