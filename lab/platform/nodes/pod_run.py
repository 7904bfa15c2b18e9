"""One pod's life on its node: sandbox, containers, program, readiness, and its orderly end.

Refuses to decide when a life begins or ends: the kubelet calls.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lab.clock import Clock
from lab.faults import Faults, PlatformTrouble
from lab.objects import Object, key_of, name_of, namespace_of, timestamp, uid_of
from lab.platform.nodes.events import PodTrouble
from lab.platform.nodes.pod_status import Crash, Progress, pod_status
from lab.platform.nodes.power import NodePower
from lab.platform.podruntime import PodNetwork, Program, ProgramCrashed, Programs, SandboxFailed
from lab.platform.runtime import Site, ignoring
from lab.resources import NODES, PODS
from lab.settings import Delays

WORTH_TELLING_SECONDS = 0.2
"""Real seconds that a state must last for its own status write: shorter ones go into the next write."""

LEAST_RETRY_SECONDS = 0.1
"""Real seconds between tries at least, so that a thousand pods without network leave time for others at any speed."""

READINESS_PERIOD = 10.0
"""Platform seconds between looks at a pod that is kept from being ready; `periodSeconds` of a probe by default."""


@dataclass(frozen=True)
class Host:
    """What the pods of one cluster's nodes run on."""

    site: Site
    clock: Clock
    delays: Delays
    network: PodNetwork
    programs: Programs
    faults: Faults
    power: NodePower

    def has_trouble(self, trouble: PlatformTrouble, pod: Object) -> bool:
        """Tell whether this trouble is on for the pod; counts it down."""
        if not self.faults.platform:
            return False
        return self.faults.for_platform(trouble, cluster=self.site.name, subject=key_of(pod)) is not None

    def address_of(self, node: str) -> str:
        """Return the node's internal address, empty while it has none."""
        found = self.site.mirror.get(NODES, node) or {}
        for address in (found.get("status") or {}).get("addresses") or ():
            if address["type"] == "InternalIP":
                return str(address["address"])
        return ""

    async def pause(self, seconds: float) -> None:
        """Wait platform seconds before another try, never less than `LEAST_RETRY_SECONDS` real ones."""
        await asyncio.sleep(max(self.clock.real_seconds(seconds), LEAST_RETRY_SECONDS))


class PodRun:
    """A pod that a kubelet has taken on. At most one of `start` and `terminate` runs at a time."""

    __slots__ = (
        "_attached", "_host", "_program", "_program_started", "_progress",
        "ended", "node", "pod", "started", "stuck", "task", "terminating",
    )  # fmt: skip

    def __init__(self, pod: Object, host: Host) -> None:
        self.pod = pod
        self.node: str = pod["spec"]["nodeName"]
        self.task: asyncio.Task[None] | None = None
        self.terminating = False
        self.stuck = False
        self.started = False
        self.ended = False
        self._host = host
        self._program: Program | None = None
        self._program_started = False
        self._attached = False
        self._progress = Progress(host_ip="", begun="")

    async def start(self) -> None:
        """Return when the pod is Running and Ready, or has ended; meanwhile its status tells where it is."""
        host = self._host
        if not self._progress.restarting or not self._progress.begun:
            self._progress = Progress(host_ip=host.address_of(self.node), begun=timestamp())
        elif self._progress.loss is not None and self.pod["spec"].get("restartPolicy") == "Never":
            await self._end(succeeded=False)
            return
        self._program = host.programs.find(self.pod)
        if not self._attached:
            await self._set_up_sandbox()
        if self._program is None:
            await self._run_containers()
        elif not await self._run_program(self._program):
            return
        await self._become_ready()
        self.started = True

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing of the pod is left on its node."""
        return not self._attached and not self._program_started

    async def lose_power(self) -> None:
        """Leave nothing running, as the node goes down, and say so; a pod that has ended stays as it is."""
        self.started = self.stuck = self.terminating = False
        self._attached = self._program_started = False
        if self._progress.begun and not self.ended:
            self._progress.lose_power()
            await self._report()

    async def terminate(self) -> None:
        """Stop the program, take the sandbox down and remove the pod from the API, in its grace period."""
        host, metadata = self._host, self.pod["metadata"]
        await self._stop_program()
        if self._progress.running_since:
            grace = metadata.get("deletionGracePeriodSeconds", 30)
            await host.clock.sleep(min(grace, host.delays.termination))
        self._detach()
        with ignoring(404, 409):
            await host.site.client.delete(
                PODS, name_of(self.pod), namespace=namespace_of(self.pod), uid=uid_of(self.pod), grace_period_seconds=0
            )

    async def clean_up(self) -> None:
        """Leave nothing of the pod on its node, when its object is gone already. Idempotent."""
        self._detach()
        await self._stop_program()

    async def _set_up_sandbox(self) -> None:
        host, pod = self._host, self.pod
        if pod["spec"].get("hostNetwork"):
            self._progress.ip = self._progress.host_ip
            return
        trouble: PodTrouble | None = None
        while True:
            try:
                self._progress.ip = self._attach()
            except SandboxFailed as failure:
                if trouble is None:
                    trouble = PodTrouble(host.site.client, pod, host=self.node)
                    await self._report()
                await trouble.warn("FailedCreatePodSandBox", f"Failed to create pod sandbox: {failure}")
                await host.pause(host.delays.sandbox_retry)
            else:
                return

    def _attach(self) -> str:
        address = self._host.network.attach(self.pod)
        self._attached = True
        return address

    async def _run_containers(self) -> None:
        """Have the containers of a pod without a program of its own running."""
        host = self._host
        starting = host.clock.real_seconds(host.delays.container_start)
        getting_ready = host.clock.real_seconds(host.delays.readiness)
        if starting > WORTH_TELLING_SECONDS:
            await self._report()
        await asyncio.sleep(starting)
        self._progress.running_since, self._progress.restarting = timestamp(), False
        if getting_ready > WORTH_TELLING_SECONDS:
            await self._report()

    async def _run_program(self, program: Program) -> bool:
        """Return whether the program runs on, restarting it as long as it crashes; False once the pod has ended."""
        host, progress = self._host, self._progress
        policy = self.pod["spec"].get("restartPolicy", "Always")
        while True:
            await host.clock.sleep(host.delays.container_start)
            progress.running_since, progress.restarting = timestamp(), False
            # One that ends by itself is ready as long as it runs: `start` returns at its end.
            progress.ready = getattr(program, "finishes", False) and policy != "Always"
            await self._report()
            try:
                self._program_started = True
                await program.start(self.pod)
            except ProgramCrashed as crash:
                progress.crash = Crash(str(crash), began=progress.running_since, ended=timestamp())
                progress.running_since, progress.ready = "", False
                if policy == "Never":
                    await self._end(succeeded=False)
                    return False
                await self._back_off()
            else:
                if getattr(program, "finishes", False) and policy != "Always":
                    await self._end(succeeded=True)
                    return False
                return True

    async def _back_off(self) -> None:
        """Wait before a restart, each time twice as long, as kubelet's MaxContainerBackOff has it."""
        host, progress = self._host, self._progress
        progress.restarts += 1
        crashes = progress.restarts - progress.reboots
        seconds = min(host.delays.crash_back_off * 2 ** (crashes - 1), host.delays.crash_back_off_limit)
        progress.back_off_seconds = round(seconds)
        await self._report()
        await host.pause(seconds)

    async def _become_ready(self) -> None:
        host = self._host
        await host.clock.sleep(host.delays.readiness)
        told = False
        while host.has_trouble("pod-never-ready", self.pod):
            if not told:
                await self._report()
                told = True
            await host.pause(READINESS_PERIOD)
        self._progress.ready = True
        await self._report()

    async def _end(self, *, succeeded: bool) -> None:
        self._progress.ended = "Succeeded" if succeeded else "Failed"
        self._progress.ready = False
        self.ended = True
        self._program_started = False
        self._detach()
        await self._report()
        self._progress.running_since = ""

    async def _stop_program(self) -> None:
        if self._program is not None and self._program_started:
            self._program_started = False
            await self._program.stop(self.pod)

    def _detach(self) -> None:
        if self._attached:
            self._attached = False
            self._host.network.detach(self.pod)

    async def _report(self) -> None:
        """Write the status. A pod that is gone or replaced needs none."""
        client, pod = self._host.site.client, self.pod
        newest = self._host.site.mirror.get(PODS, name_of(pod), namespace=namespace_of(pod))
        if newest is not None and uid_of(newest) == uid_of(pod):
            pod = newest
        metadata = {"uid": uid_of(pod), **self._missing_annotations(pod)}
        change = {"metadata": metadata, "status": pod_status(pod, self._progress)}
        with ignoring(404, 409):
            await client.patch(PODS, name_of(pod), change, namespace=namespace_of(pod), subresource="status")

    def _missing_annotations(self, pod: Object) -> Object:
        """Return what the CNI notes on the pod and is not there yet: it goes with the kubelet's own write.

        A write of a pod's status keeps annotations that come with it (docs/platform.md 5.11).
        """
        due = self._host.network.annotations(pod) if self._attached else {}
        held = pod["metadata"].get("annotations") or {}
        missing = {key: value for key, value in due.items() if held.get(key) != value}
        return {"annotations": missing} if missing else {}
