"""Measuring an outage while a step disrupts the cluster, from the pods that its view watches anyway."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from clusters import narrowing
from clusters.kinds import PODS
from clusters.seed import OpenedCluster
from clusters.steps.probe_pods import PROBES_NAMESPACE
from clusters.steps.result import StepResult
from clusters.watching import COALESCE_SECONDS, Live, View, watching
from migration.models import Pod
from migration.outage import OutageMeter
from migration.restart import CANAL_WORKLOADS, HUBBLE_WORKLOADS, is_bare, needs_network


def ready_by_workload(pods: Iterable[Pod]) -> dict[str, int]:
    """Return the ready pods per workload on the pod network; bare pods, Jobs and the CNIs' own don't count."""
    counted = (
        pod.workload
        for pod in pods
        if pod.ready and not pod.deleting and needs_network(pod) and not is_bare(pod) and _is_lasting(pod)
    )
    return dict(Counter(counted))


@asynccontextmanager
async def measuring_outage(view: View, pods: Live[Pod]) -> AsyncIterator[OutageMeter]:
    """Measure from here to the end of the block, against what is ready now."""
    meter = OutageMeter(ready_by_workload(pods.values()))
    meter.observe(time.monotonic(), meter.expected)
    task = asyncio.create_task(_observe(view, pods, meter), name="measure outage")
    try:
        yield meter
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        meter.observe(time.monotonic(), ready_by_workload(pods.values()))


async def measured(opened: OpenedCluster, act: Callable[[], Awaitable[StepResult]]) -> StepResult:
    """Do what may disrupt the cluster, and return its result with the outage that workloads had meanwhile."""
    pods = Live(opened.api, PODS, narrowing.pod)
    async with watching(pods) as view:
        await view.listed()
        async with measuring_outage(view, pods) as meter:
            result = await act()
    return replace(result, outage=meter.outages(), outage_seconds=meter.seconds())


async def _observe(view: View, pods: Live[Pod], meter: OutageMeter) -> None:
    while True:
        await view.changed()
        meter.observe(time.monotonic(), ready_by_workload(pods.values()))
        await asyncio.sleep(COALESCE_SECONDS)


def _is_lasting(pod: Pod) -> bool:
    if pod.owner is not None and pod.owner.kind == "Job":
        return False
    if pod.namespace != "kube-system":
        return pod.namespace != PROBES_NAMESPACE
    return not any(pod.has_label(*label) for label in (*CANAL_WORKLOADS, *HUBBLE_WORKLOADS))
