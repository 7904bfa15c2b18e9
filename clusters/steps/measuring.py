"""Measuring an outage while a step disrupts the cluster, from the pods that its view watches anyway."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from clusters.watching import COALESCE_SECONDS, Live, View
from migration.models import Pod
from migration.outage import OutageMeter
from migration.restart import CANAL_WORKLOADS, is_bare, needs_network

# They come with Cilium: nobody used them before.
HUBBLE_WORKLOADS = (("k8s-app", "hubble-relay"), ("k8s-app", "hubble-ui"))


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


async def _observe(view: View, pods: Live[Pod], meter: OutageMeter) -> None:
    while True:
        await view.changed()
        meter.observe(time.monotonic(), ready_by_workload(pods.values()))
        await asyncio.sleep(COALESCE_SECONDS)


def _is_lasting(pod: Pod) -> bool:
    if pod.owner is not None and pod.owner.kind == "Job":
        return False
    if pod.namespace != "kube-system":
        return True
    return not any(pod.has_label(*label) for label in (*CANAL_WORKLOADS, *HUBBLE_WORKLOADS))
