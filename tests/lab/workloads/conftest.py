"""A cluster of an API server, the workload controllers and a quick stand-in for scheduler and kubelet."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, ClassVar

import pytest

from lab.apiserver.server import ApiServer
from lab.clock import Clock
from lab.faults import Faults
from lab.objects import Object, is_being_deleted, is_pod_finished, key_of, name_of, namespace_of, split_key, timestamp
from lab.platform.runtime import Controller, Mirror, Site, ignoring, run_together
from lab.platform.workloads import workload_controllers
from lab.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DEADLINE_SECONDS = 15.0
Spec = dict[str, object]


class QuickNodes(Controller):
    """Binds every pod, has it Ready at once, and removes it at once when it is deleted, but for what is held."""

    name = "quick nodes"
    follows = (PODS,)
    addresses: ClassVar = itertools.count(1)

    def __init__(self, *, client, mirror, clock) -> None:
        super().__init__(client=client, mirror=mirror, clock=clock)
        self.holds_start: Callable[[Object], bool] = lambda _: False
        self.holds_end: Callable[[Object], bool] = lambda _: False

    def wire(self) -> None:
        self.mirror.subscribe(PODS, lambda change: self.enqueue(key_of(change.object)))

    def look_again(self) -> None:
        for pod in self.mirror.all(PODS):
            self.enqueue(key_of(pod))

    async def reconcile(self, key: str) -> None:
        namespace, name = split_key(key)
        pod = self.mirror.get(PODS, name, namespace=namespace)
        if pod is None:
            return
        if is_being_deleted(pod):
            if not self.holds_end(pod):
                with ignoring(404, 409):
                    await self.client.delete(PODS, name, namespace=namespace, grace_period_seconds=0)
        elif not pod["spec"].get("nodeName"):
            target = {
                "metadata": {"name": name, "namespace": namespace},
                "target": {"kind": "Node", "name": "somewhere"},
            }
            with ignoring(404, 409):
                await self.client.update(PODS, target, subresource="binding")
        elif pod["status"]["phase"] == "Pending" and not self.holds_start(pod):
            await self.set_phase(pod, "Running")

    async def set_phase(self, pod: Object, phase: str, *, ready: bool | None = None) -> None:
        number = next(self.addresses)
        is_ready = phase == "Running" if ready is None else ready
        status = {
            "phase": phase,
            "podIP": f"10.0.{number // 250}.{number % 250}",
            "conditions": [
                {"type": "Ready", "status": "True" if is_ready else "False", "lastTransitionTime": timestamp()}
            ],
        }
        with ignoring(404):
            await self.client.patch(
                PODS, name_of(pod), {"status": status}, namespace=namespace_of(pod), subresource="status"
            )


class Cluster:
    """One API server with its controllers, and the questions that tests ask it."""

    def __init__(self, *, speed: float = 1.0, server: ApiServer | None = None) -> None:
        self.client = (server or ApiServer("test", tokens={}, faults=Faults())).client
        self.mirror = Mirror(self.client)
        self.clock = Clock(speed)
        self.nodes = QuickNodes(client=self.client, mirror=self.mirror, clock=self.clock)
        self.controllers = workload_controllers(Site("test", self.client, self.mirror), self.clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(run_together([*self.controllers, self.nodes]))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.mirror.close()

    async def eventually(self, what: str, check: Callable[[], object]) -> None:
        """Return once the check, asked against the mirror, is true."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not check():
            assert time.monotonic() < deadline, f"not in time: {what}"
            await asyncio.sleep(0.01)

    async def settled(self, quiet_seconds: float = 0.3) -> None:
        """Return once the API server has not been written to for a while."""
        version, since = None, time.monotonic()
        while time.monotonic() - since < quiet_seconds:
            _, latest = await self.client.list(NODES)
            if latest != version:
                version, since = latest, time.monotonic()
            await asyncio.sleep(0.02)

    def get(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        found = self.mirror.get(resource, name, namespace=namespace if resource.namespaced else "")
        assert found is not None, f"no {resource.kind} {namespace}/{name}"
        return found

    def status(self, resource: Resource, name: str) -> Object:
        found = self.mirror.get(resource, name, namespace="default")
        return (found or {}).get("status") or {}

    def pods(self, app: str = "web") -> list[Object]:
        found = self.mirror.all(PODS, namespace="default")
        return sorted((p for p in found if p["metadata"].get("labels", {}).get("app") == app), key=name_of)

    def running_pods(self, app: str = "web") -> list[Object]:
        return [
            pod
            for pod in self.pods(app)
            if pod["status"]["phase"] == "Running" and not is_being_deleted(pod) and not is_pod_finished(pod)
        ]

    async def patch(self, resource: Resource, name: str, patch: Object) -> Object:
        return await self.client.patch(resource, name, patch, namespace="default" if resource.namespaced else "")

    async def delete(self, resource: Resource, name: str, **options) -> None:
        await self.client.delete(resource, name, namespace="default" if resource.namespaced else "", **options)

    async def create_workload(self, resource: Resource, app: str = "web", **spec: object) -> Object:
        selector = {} if resource is JOBS else {"selector": {"matchLabels": {"app": app}}}
        ending = {"restartPolicy": "Never"} if resource is JOBS else {}
        body = {
            "metadata": {"name": app, "namespace": "default"},
            "spec": {**selector, "template": template(app, **ending), **spec},
        }
        return await self.client.create(resource, body)

    async def create_deployment(self, app: str = "web", **spec: object) -> Object:
        return await self.create_workload(DEPLOYMENTS, app, **spec)

    async def create_daemon_set(self, app: str = "agent", **spec: object) -> Object:
        return await self.create_workload(DAEMON_SETS, app, **spec)

    async def create_stateful_set(self, app: str = "db", **spec: object) -> Object:
        return await self.create_workload(STATEFUL_SETS, app, serviceName=app, **spec)

    async def create_node(self, name: str, *, labels=None, taints=()) -> None:
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        spec = {"taints": list(taints)} if taints else {}
        await self.client.create(NODES, {"metadata": {"name": name, "labels": labels or {}}, "spec": spec})
        await self.client.patch(NODES, name, {"status": status}, subresource="status")

    async def create_service(self, app: str = "web", **spec: object) -> None:
        body = {
            "metadata": {"name": app, "namespace": "default"},
            "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
        }
        await self.client.create(SERVICES, body)

    async def create_budget(self, app: str = "web", **spec: object) -> None:
        body = {
            "metadata": {"name": app, "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": app}}, **spec},
        }
        await self.client.create(POD_DISRUPTION_BUDGETS, body)


def template(app: str, *, image: str = "registry.example/app:1", **spec: object) -> Object:
    containers = [{"name": "app", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": containers, **spec}}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    async with made.running():
        yield made


@pytest.fixture
async def quick_cluster() -> AsyncIterator[Cluster]:
    """The same with platform time a thousand times faster."""
    made = Cluster(speed=1000)
    async with made.running():
        yield made
