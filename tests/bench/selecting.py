"""A process that selects the pods of a migration and prints, as JSON, what memory that took. Started by the benchmark.

The connections and the cluster come from its environment and arguments, as they would to a worker.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from clusters import narrowing
from clusters.kinds import CILIUM_ENDPOINTS, PODS
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps.survey import list_cilium_endpoints, list_pods
from clusters.watching import Live, watching
from migration.models import ClusterRef, CniType, RestartOptions
from migration.restart import plan_restart

MEGABYTE = 1_000_000


async def select(name: str) -> dict[str, float]:
    """Return memory before and at its peak, and how many pods were selected by lists and by watches."""
    async with open_cluster(ClusterRef(seed="lab", name=name), lambda _: None) as opened:
        idle = resident_bytes()
        listed = await selected_by_listing(opened)
        watched = await selected_by_watching(opened)
    return {"idle": idle / MEGABYTE, "peak": peak_bytes() / MEGABYTE, "listed": listed, "watched": watched}


async def selected_by_listing(opened: OpenedCluster) -> int:
    """Select as the readiness check reads a cluster."""
    pods, endpoints = await list_pods(opened.api), await list_cilium_endpoints(opened.api)
    return plan_restart(pods, endpoints, RestartOptions(), target=CniType.CILIUM).count


async def selected_by_watching(opened: OpenedCluster) -> int:
    """Select as the restart does, which goes on watching."""
    pods = Live(opened.api, PODS, narrowing.pod)
    endpoints = Live(opened.api, CILIUM_ENDPOINTS, narrowing.endpoint)
    async with watching(pods, endpoints) as view:
        await view.listed()
        return plan_restart(pods.values(), endpoints.objects, RestartOptions(), target=CniType.CILIUM).count


def resident_bytes() -> int:
    """Return the memory in use now, where it can be told; elsewhere the peak so far."""
    return _of_linux("VmRSS") or _highest()


def peak_bytes() -> int:
    """Return the most memory that was in use since the process began."""
    return _of_linux("VmHWM") or _highest()


def _of_linux(field: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def _highest() -> int:
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(select(sys.argv[1]))))
