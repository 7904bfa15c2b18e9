"""A user cluster small enough for a test: an API server, controllers, a network and programs made of plain facts."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.apiserver.server import ApiServer
from lab.clock import Clock
from lab.errors import ApiError
from lab.faults import Faults
from lab.platform.podruntime import Program, ProgramCrashed, SandboxFailed
from lab.platform.runtime import Controller, Mirror, Site, run_together
from lab.resources import NODES, PODS, Resource
from lab.settings import Delays

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from lab.objects import Object

DEADLINE_SECONDS = 5.0


class PlainNetwork:
    """A pod network that works, but for nodes named in `broken` (attaching fails) or `missing` (not ready)."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.attached: dict[str, str] = {}
        """Addresses by pod uid."""
        self.forgotten: list[str] = []
        self.rebooted: list[str] = []
        self.notes: dict[str, str] = {}
        self._callbacks: list[Callable[[str], None]] = []
        self._last = 0

    def attach(self, pod: Object) -> str:
        """Give the pod the next address."""
        if reason := self.broken.get(pod["spec"]["nodeName"]):
            raise SandboxFailed(reason)
        self._last += 1
        return self.attached.setdefault(pod["metadata"]["uid"], f"172.25.{self._last // 250}.{self._last % 250 + 1}")

    def detach(self, pod: Object) -> None:
        """Take the address back."""
        self.attached.pop(pod["metadata"]["uid"], None)

    def not_ready_reason(self, node: str) -> str | None:
        """Return what `missing` says."""
        return self.missing.get(node)

    def on_node_change(self, callback: Callable[[str], None]) -> None:
        """Remember whom to tell."""
        self._callbacks.append(callback)

    def forget_node(self, node: str) -> None:
        """Write it down."""
        self.forgotten.append(node)

    def reboot_node(self, node: str) -> None:
        """Write it down."""
        self.rebooted.append(node)

    def annotations(self, pod: Object) -> dict[str, str]:
        """Return what `notes` says."""
        return self.notes

    def set_missing(self, node: str, reason: str | None) -> None:
        """Have the node's network break, or come up with None."""
        self.missing.pop(node, None)
        if reason is not None:
            self.missing[node] = reason
        for callback in self._callbacks:
            callback(node)


@dataclass
class PlainProgram:
    """A program that crashes as often as told and then runs, or ends if it `finishes`."""

    finishes: bool = False
    crashes: int = 0
    message: str = "exit status 1"
    gate: asyncio.Event | None = None
    starts: int = 0
    stops: int = 0

    async def start(self, pod: Object) -> None:
        """Crash, or wait for the gate."""
        self.starts += 1
        if self.starts <= self.crashes:
            raise ProgramCrashed(self.message)
        if self.gate is not None:
            await self.gate.wait()

    async def stop(self, pod: Object) -> None:
        """Count."""
        self.stops += 1


@dataclass
class PlainPrograms:
    """Programs by the pod's label `program`."""

    by_label: dict[str, PlainProgram] = field(default_factory=dict)

    def find(self, pod: Object) -> Program | None:
        """Return the program that the label names."""
        return self.by_label.get((pod["metadata"].get("labels") or {}).get("program", ""))


class CountingClient:
    """Passes everything on, and counts writes by verb, resource and subresource."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.writes: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in ("create", "update", "patch", "delete"):
            return method

        async def counted(resource: Resource, *arguments: Any, **options: Any) -> Any:
            self.writes[f"{name} {resource.plural} {options.get('subresource', '')}".strip()] += 1
            return await method(resource, *arguments, **options)

        return counted


class SmallCluster:
    """The cluster while it runs. Delays pass a thousand times faster than real unless a clock is given."""

    def __init__(self, *, clock: Clock | None = None, delays: Delays | None = None) -> None:
        self.clock = clock or Clock(1000)
        self.delays = delays or Delays()
        self.faults = Faults()
        self.network = PlainNetwork()
        self.programs = PlainPrograms()
        self.client = CountingClient(ApiServer("abcdefghij", tokens={}, faults=self.faults).client)
        self.mirror = Mirror(self.client)
        self.site = Site("abcdefghij", self.client, self.mirror)

    @contextlib.asynccontextmanager
    async def running(self, *controllers: Controller) -> AsyncIterator[SmallCluster]:
        """Run controllers for as long as the block lasts."""
        task = asyncio.create_task(run_together(controllers))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.mirror.close()

    async def until(self, fact: Callable[[], Any], what: str = "") -> Any:
        """Return what the fact returns as soon as that is true, or fail after `DEADLINE_SECONDS`."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        while not (found := fact()):
            assert asyncio.get_running_loop().time() < deadline, f"never happened: {what or fact}"
            await asyncio.sleep(0.002)
        return found

    async def settle(self, seconds: float = 0.1) -> None:
        """Let controllers do what they would do, for tests that something does not happen."""
        await asyncio.sleep(seconds)

    async def add_node(self, name: str, **spec: Any) -> Object:
        """Create a Node."""
        found: Object = await self.client.create(NODES, {"kind": "Node", "metadata": {"name": name}, "spec": spec})
        return found

    async def add_pod(self, name: str, *, labels: dict[str, str] | None = None, owner: str = "", **spec: Any) -> Object:
        """Create a pod in the namespace default, of the ReplicaSet with this uid if one is named."""
        containers = [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]
        metadata: Object = {"name": name, "namespace": "default", "labels": labels or {}}
        if owner:
            reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
            metadata["ownerReferences"] = [reference]
        body = {"kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}
        created: Object = await self.client.create(PODS, body)
        return created

    def pod(self, name: str) -> Object | None:
        """Return a pod of the namespace default as the mirror has it."""
        return self.mirror.get(PODS, name, namespace="default")

    def condition(self, resource: Resource, name: str, kind: str, *, namespace: str = "") -> Object:
        """Return a condition, empty if there is none."""
        found = self.mirror.get(resource, name, namespace=namespace) or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return next((dict(condition) for condition in conditions if condition["type"] == kind), {})

    def is_ready(self, name: str) -> bool:
        """Tell whether a pod of the namespace default is ready."""
        return self.condition(PODS, name, "Ready", namespace="default").get("status") == "True"

    async def is_gone(self, resource: Resource, name: str, *, namespace: str = "") -> bool:
        """Tell whether the API server has no such object."""
        try:
            await self.client.get(resource, name, namespace=namespace)
        except ApiError as error:
            return error.code == 404
        return False
