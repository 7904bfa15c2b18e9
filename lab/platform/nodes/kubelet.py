"""The kubelets of all nodes of one cluster: takes on bound pods, ends deleted ones, forgets those that are gone.

One controller, no loop per pod: a pod has a task only while something happens to it. Refuses to place pods.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

from lab.objects import Object, is_being_deleted, is_pod_finished, key_of, name_of, split_key, uid_of
from lab.platform.nodes.pod_run import Host, PodRun
from lab.platform.runtime import Change, Controller
from lab.resources import NODES, PODS

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]

RETRY_SECONDS = 1.0
"""Platform seconds after which a pod whose start or end failed unexpectedly is tried again."""


class Kubelet(Controller):
    """Every pod that is bound to a node of this cluster runs there, until it is deleted."""

    name = "kubelet"
    follows = (NODES, PODS)

    def __init__(self, host: Host) -> None:
        super().__init__(client=host.site.client, mirror=host.site.mirror, clock=host.clock)
        self._host = host
        self._runs: dict[str, PodRun] = {}
        self._keys_on: defaultdict[str, set[str]] = defaultdict(set)
        self._tasks: set[asyncio.Task[None]] = set()

    def wire(self) -> None:
        """Follow pods, and the coming and going of nodes."""
        self.mirror.subscribe(NODES, self._on_node)
        self.mirror.subscribe(PODS, self._on_pod)
        self._host.power.on_reboot(self._reboot)

    async def run(self) -> None:
        """Run the nodes until cancelled, which stops everything that is going on in their pods."""
        try:
            await super().run()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reconcile(self, key: str) -> float | None:
        """Begin the next part of the pod's life, if one is due."""
        namespace, name = split_key(key)
        pod = self.mirror.get(PODS, name, namespace=namespace)
        run = self._runs.get(key)
        if run is not None and (pod is None or uid_of(pod) != uid_of(run.pod)):
            self._drop(key, run)
            run = None
        if pod is None or not pod["spec"].get("nodeName") or self._host.power.is_down(pod["spec"]["nodeName"]):
            return None
        if run is None:
            run = self._take_on(key, pod)
        if run is not None:
            self._go_on(run, pod)
        return None

    def _take_on(self, key: str, pod: Object) -> PodRun | None:
        node: str = pod["spec"]["nodeName"]
        if (is_pod_finished(pod) and not is_being_deleted(pod)) or not self._host.address_of(node):
            return None  # its node is not there (yet): `_on_node` looks again
        run = self._runs[key] = PodRun(pod, self._host)
        self._keys_on[node].add(key)
        return run

    def _go_on(self, run: PodRun, pod: Object) -> None:
        if is_being_deleted(pod):
            if not run.terminating and not run.stuck:
                self._begin_end(run, pod)
            elif run.terminating and run.task is None:
                self._spawn(run, run.terminate)
        elif run.task is None and not run.started and not run.ended:
            self._spawn(run, run.start)

    def _begin_end(self, run: PodRun, pod: Object) -> None:
        run.pod = pod
        if self._host.has_trouble("stuck-pod", pod):
            run.stuck = True
            return
        run.terminating = True
        self._spawn(run, run.terminate)

    def _spawn(self, run: PodRun, work: Work) -> None:
        """Let the pod do this next; what it is doing now is called off first."""
        if run.task is not None:
            run.task.cancel()
        task = asyncio.get_running_loop().create_task(work() if run.task is None else _after(run.task, work))
        run.task = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(run, done))

    def _done(self, run: PodRun, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if run.task is task:
            run.task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("pod %s on %s: %s", key_of(run.pod), run.node, error, exc_info=error)
            self.enqueue_after(key_of(run.pod), RETRY_SECONDS)

    def _drop(self, key: str, run: PodRun) -> None:
        """Forget a pod whose object is gone; what is left of it on the node goes too."""
        del self._runs[key]
        if node := self._keys_on.get(run.node):
            node.discard(key)
        if run.task is not None or not run.is_clean:
            self._spawn(run, run.clean_up)

    def _on_pod(self, change: Change) -> None:
        """Queue a pod only when a part of its life may begin: status writes pass by."""
        pod, key = change.object, key_of(change.object)
        run = self._runs.get(key)
        if change.type == "DELETED" or run is None or uid_of(pod) != uid_of(run.pod):
            if run is not None or pod["spec"].get("nodeName"):
                self.enqueue(key)
        elif is_being_deleted(pod) and not run.terminating:
            self.enqueue(key)

    def _on_node(self, change: Change) -> None:
        node = name_of(change.object)
        if change.type == "DELETED":
            self._lose(node)
        elif change.before is None or not (change.before.get("status") or {}).get("addresses"):
            for pod in self.mirror.pods_on(node):
                self.enqueue(key_of(pod))

    def _lose(self, node: str) -> None:
        """End everything on a node that is gone; its disk and kernel go last."""
        ends = []
        for key in list(self._keys_on.pop(node, ())):
            run = self._runs[key]
            self._drop(key, run)
            ends.append(run.task)
        self._spawn_forgetting(node, [end for end in ends if end is not None])

    def _reboot(self, node: str) -> None:
        """Take everything on a node down at once; when the node is up again, what its pods want begins anew."""
        host = self._host
        host.power.set_down(node)
        runs = [self._runs[key] for key in self._keys_on.get(node, ())]
        for run in runs:
            self._spawn(run, run.lose_power)
        host.network.reboot_node(node)
        losses = [run.task for run in runs if run.task is not None]

        async def boot() -> None:
            try:
                await asyncio.gather(*losses, return_exceptions=True)
                await host.clock.sleep(host.delays.node_join)
            finally:
                host.power.set_up(node)
            for pod in self.mirror.pods_on(node):
                self.enqueue(key_of(pod))

        self._keep(asyncio.get_running_loop().create_task(boot()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _spawn_forgetting(self, node: str, ends: list[asyncio.Task[None]]) -> None:
        async def forget() -> None:
            await asyncio.gather(*ends, return_exceptions=True)
            self._host.network.forget_node(node)

        self._keep(asyncio.get_running_loop().create_task(forget()))


async def _after(called_off: asyncio.Task[None], work: Work) -> None:
    await asyncio.gather(called_off, return_exceptions=True)
    await work()
