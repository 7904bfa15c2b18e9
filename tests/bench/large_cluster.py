"""A cluster of 10,000 pods: the memory that selecting its pods takes, and what a wait on it costs and notices."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from clusters import narrowing
from clusters.api import WATCH_SECONDS
from clusters.kinds import PODS
from clusters.steps.cilium import wait_for_cilium
from clusters.steps.survey import list_pods
from clusters.survey import survey_cluster
from clusters.watching import Live, watching
from migration.models import ClusterRef, Cni, CniType, MigrationRequest
from migration.readiness_report import readiness_report
from tests.bench.measured import Measured
from tests.bench.migrating import bring_cilium_in, connected, opened
from tests.running_lab import ROOT, RunningLab, lab_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from clusters.seed import OpenedCluster

POD_COUNT = 10_000
SIZE = ("--clusters", "1", "--nodes", "60", "--max-pods-per-node", "220", "--pods", str(POD_COUNT), "--speed", "1000")
MOST_MEGABYTES = 150.0
SELECTION_SECONDS = 60.0
MOST_REQUESTS_A_MINUTE = 3.0
SETTLING_SECONDS = 3.0
IDLE_SECONDS = 65.0
ABSENT_VERSION = "1.99.0"
"""A Cilium that never comes: waiting for it watches everything that the wait of a migration does."""
MOST_SECONDS_TO_SURVEY = 15.0
CHANGES = 20
MOST_SECONDS_TO_NOTICE = 0.5
NOTICE_DEADLINE = timedelta(seconds=10)


def measure(directory: Path) -> list[Measured]:
    """Start the lab and return what was measured on it."""
    began = time.monotonic()
    with lab_process(directory / "large", *SIZE) as lab:
        sys.stderr.write(f"  a lab cluster of {POD_COUNT} pods was up after {time.monotonic() - began:.1f} s\n")
        return asyncio.run(_measure(lab))


async def _measure(lab: RunningLab) -> list[Measured]:
    with connected(lab):
        surveyed = await surveying(lab)
    async with opened(lab) as cluster:
        await bring_cilium_in(cluster)
        memory = await asyncio.to_thread(selection_memory, lab)
        noticed = await noticing(cluster)
        return [surveyed, memory, await idling(lab, cluster), noticed]


async def surveying(lab: RunningLab) -> Measured:
    """Return how long the readiness check looks at the cluster and thinks about it."""
    cilium = Cni(type=CniType.CILIUM, version="1.19.4")
    request = MigrationRequest(cluster=ClusterRef(seed="lab", name=lab.cluster_name()), desired_cni=cilium)
    began = time.monotonic()
    report = readiness_report(await survey_cluster(request, lambda _: None), request)
    return Measured(
        what=f"the readiness check of a cluster of {POD_COUNT} pods",
        value=time.monotonic() - began,
        limit=MOST_SECONDS_TO_SURVEY,
        unit="s",
        keeps="at most",
        how=f"{len(report.findings)} findings, {report.plan.restarts if report.plan else 0} pods in the plan",
    )


def selection_memory(lab: RunningLab) -> Measured:
    """Return what a process that selects the pods to restart takes over the same process before it."""
    command = [sys.executable, "-m", "tests.bench.selecting", lab.cluster_name()]
    with connected(lab):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SELECTION_SECONDS, check=True)
    found = json.loads(done.stdout)
    assert found["listed"] == found["watched"] >= POD_COUNT, found
    return Measured(
        what=f"pod selection in a cluster of {POD_COUNT} pods",
        value=found["peak"] - found["idle"],
        limit=MOST_MEGABYTES,
        unit="MB",
        keeps="at most",
        how=f"peak {found['peak']:.0f} MB over idle {found['idle']:.0f} MB, {found['listed']} pods selected",
    )


async def idling(lab: RunningLab, cluster: OpenedCluster) -> Measured:
    """Return how many requests a wait makes while nothing changes, the renewal of its watches included."""
    watched_before = requests(lab, "watch ")
    async with never_ending_wait(cluster):
        await asyncio.sleep(SETTLING_SECONDS)
        watches, before = requests(lab, "watch ") - watched_before, requests(lab)
        await asyncio.sleep(IDLE_SECONDS)
        counted = requests(lab) - before
    renewals = watches * 60 / WATCH_SECONDS
    return Measured(
        what="requests of a wait while nothing changes",
        value=counted * 60 / IDLE_SECONDS + renewals,
        limit=MOST_REQUESTS_A_MINUTE,
        unit="a minute",
        keeps="at most",
        how=f"{counted} in {IDLE_SECONDS:.0f} s, and {watches} watches that are renewed every {WATCH_SECONDS} s",
    )


@asynccontextmanager
async def never_ending_wait(cluster: OpenedCluster) -> AsyncIterator[None]:
    """Wait for a Cilium that never comes, as a migration would, until the block ends."""
    deadline = timedelta(seconds=10 * IDLE_SECONDS)
    waiting = asyncio.create_task(wait_for_cilium(cluster, version=ABSENT_VERSION, deadline=deadline))
    try:
        yield
        assert not waiting.done(), waiting
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


def requests(lab: RunningLab, beginning: str = "") -> int:
    """Return how many requests the seed and the user cluster have answered, of verbs and resources like this."""
    servers = lab.remote.requests().values()
    return sum(count for counted in servers for asked, count in counted.items() if asked.startswith(beginning))


async def noticing(cluster: OpenedCluster) -> Measured:
    """Return the longest time from sending a change until a wait on all pods ends by it."""
    changed = (await list_pods(cluster.api))[0]
    pods = Live(cluster.api, PODS, narrowing.pod)
    took = []
    async with watching(pods) as view:
        await view.listed()
        for number in range(CHANGES):
            value = str(number)

            def missing(value: str = value) -> str | None:
                pod = pods.get(changed.name, namespace=changed.namespace)
                return None if pod and pod.has_label("bench", value) else "the change"

            until = view.until(missing, what="a change", deadline=NOTICE_DEADLINE, tell=lambda _: None)
            waiting = asyncio.create_task(until)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            patch = {"metadata": {"labels": {"bench": value}}}
            await cluster.api.patch(PODS, changed.name, patch, namespace=changed.namespace)
            await waiting
            took.append(time.monotonic() - began)
    return Measured(
        what="a change until a wait ends by it",
        value=max(took),
        limit=MOST_SECONDS_TO_NOTICE,
        unit="s",
        keeps="at most",
        how=f"the longest of {CHANGES}, median {statistics.median(took):.3f} s, {POD_COUNT} pods watched",
    )
