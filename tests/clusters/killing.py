"""Killing a step in the middle of a request, as a worker's end does, and telling what became of the pods."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from clusters import narrowing
from clusters.api import KubeApi
from clusters.kinds import PODS
from clusters.watching import Live, watching
from migration.models import Pod
from migration.restart import needs_network
from tests.clusters.conftest import LabCluster
from tests.clusters.looking import becomes


async def kill_at(cluster: LabCluster, step: Coroutine[Any, Any, Any], trouble: str, **where: Any) -> None:
    """Run a step until a request of it meets this trouble, and end it there."""
    cluster.fault(trouble, **where)
    running = asyncio.create_task(step)
    await becomes(lambda: not _troubled(cluster), during=running)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def _troubled(cluster: LabCluster) -> list[Any]:
    """Return the trouble that requests have still to meet."""
    return [fault for fault in cluster.lab.remote.faults() if fault["kind"] == "request"]


@dataclass
class PodHistory:
    """Every pod of the pod network that was ever there."""

    pods: dict[str, Pod] = field(default_factory=dict)

    def note(self, item: Any) -> str:
        found = narrowing.pod(item)
        if needs_network(found):
            self.pods[found.uid] = found
        return found.uid

    def made_since(self, before: set[str]) -> Counter[str]:
        """Return how many pods of each workload came after these."""
        return Counter(pod.workload for uid, pod in self.pods.items() if uid not in before)


@asynccontextmanager
async def noting_pods(api: KubeApi) -> AsyncIterator[PodHistory]:
    """Note every pod that there is from here to the end of the block."""
    history = PodHistory()
    async with watching(Live(api, PODS, history.note)) as view:
        await view.listed()
        yield history
