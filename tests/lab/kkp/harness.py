"""A seed and a user cluster with only KKP's controllers, where workloads are ready as soon as a test lets them be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from lab.apiserver.server import ApiServer
from lab.clock import Clock
from lab.errors import ApiError
from lab.faults import Faults
from lab.objects import Object, name_of
from lab.platform.kkp import (
    cluster_objects,
    kkp_controllers,
    register_seed_admission,
    register_user_cluster_admission,
    seed_objects,
    user_cluster_definitions,
)
from lab.platform.kkp.profiles import TODAY, Profile
from lab.platform.runtime import Change, Controller, Mirror, Site, run_together
from lab.platform.workloads.namespaces import NamespaceController
from lab.resources import (
    ADDONS,
    APPLICATION_INSTALLATIONS,
    CLUSTERS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    SECRETS,
    Resource,
)
from lab.settings import Delays

CLUSTER = "hv2c7xk9tl"
NAMESPACE = f"cluster-{CLUSTER}"
SPEED = 20.0
NO_DELAYS = Delays(
    addon_reconcile=0, controller_manager_rollout=0, cni_controller_requeue=0.2, chart_download=0, helm_poll=0,
    helm_backoff=0, legacy_addon_delay=0,
)  # fmt: skip


class ReadyWorkloads(Controller):
    """Stands for workload controllers and kubelets: what runs is ready at once, but for what a test holds back."""

    name: ClassVar[str] = "ready-workloads"
    follows: ClassVar[tuple[Resource, ...]] = (DAEMON_SETS, DEPLOYMENTS, JOBS)
    nodes = 3

    def __init__(self, site: Site, clock: Clock) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self.held_back: set[str] = set()

    def wire(self) -> None:
        for resource in self.follows:
            self.mirror.subscribe(resource, self._on_change)

    def _on_change(self, change: Change) -> None:
        found = change.object
        if change.type != "DELETED":
            self.enqueue(f"{found['kind']}/{found['metadata']['namespace']}/{found['metadata']['name']}")

    async def reconcile(self, key: str) -> float | None:
        kind, namespace, name = key.split("/")
        resource = next(item for item in self.follows if item.kind == kind)
        found = self.mirror.get(resource, name, namespace=namespace)
        if found is None or name in self.held_back:
            return None
        status = self._status(found)
        if any((found.get("status") or {}).get(field) != value for field, value in status.items()):
            await self.client.patch(resource, name, {"status": status}, namespace=namespace, subresource="status")
        return None

    def _status(self, found: Object) -> dict[str, Any]:
        if found["kind"] == "Job":
            return {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
        generation = {"observedGeneration": found["metadata"].get("generation", 1)}
        if found["kind"] == "DaemonSet":
            fields = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberReady")
            return {**generation, **dict.fromkeys(fields, self.nodes)}
        fields = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        return {**generation, **dict.fromkeys(fields, found["spec"].get("replicas", 1))}


@dataclass
class Platform:
    """The two API servers and what a test asks of them."""

    seed: ApiServer
    user: ApiServer
    faults: Faults
    workloads: ReadyWorkloads

    async def cluster(self) -> Object:
        return await self.seed.client.get(CLUSTERS, CLUSTER)

    async def patch_cluster(self, patch: dict[str, Any]) -> Object:
        return await self.seed.client.patch(CLUSTERS, CLUSTER, patch)

    async def switch(self, cni_type: str, version: str, **metadata: Any) -> Object:
        labels = {"unsafe-cni-migration": "true"}
        return await self.patch_cluster(
            {"metadata": {"labels": labels, **metadata}, "spec": {"cniPlugin": {"type": cni_type, "version": version}}}
        )

    async def find(self, resource: Resource, name: str, namespace: str = "kube-system") -> Object | None:
        client = self.seed.client if namespace == NAMESPACE else self.user.client
        try:
            return await client.get(resource, name, namespace=namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def addon(self, name: str) -> Object | None:
        return await self.find(ADDONS, name, NAMESPACE)

    async def installation(self) -> Object | None:
        return await self.find(APPLICATION_INSTALLATIONS, "cilium")

    async def releases(self) -> list[Object]:
        found, _ = await self.user.client.list(SECRETS, label_selector="owner=helm,name=kube-system-cilium")
        return found

    async def condition(self, name: str) -> dict[str, Any]:
        return dict((await self.cluster())["status"]["conditions"].get(name) or {})

    async def until(self, what: Callable[[], Any], *, seconds: float = 20.0) -> Any:
        """Return what the coroutine function `what` returns once it is true."""
        async with asyncio.timeout(seconds):
            while not (found := await what()):
                await asyncio.sleep(0.01)
        return found

    async def is_ready(self, version: str = "") -> bool:
        found = await self.installation()
        status = (found or {}).get("status") or {}
        ready = (status.get("conditions") or {}).get("Ready") or {}
        is_current = found is not None and ready.get("observedGeneration") == found["metadata"]["generation"]
        is_wanted = found is not None and version in ("", found["spec"]["applicationRef"]["version"])
        return is_current and is_wanted and ready.get("status") == "True"

    async def is_settled(self) -> bool:
        """Tell whether both addons are applied."""
        addons = [await self.addon(name) for name in ("canal", "kube-proxy")]
        return all(addon is not None and (addon.get("status") or {}).get("phase") == "Healthy" for addon in addons)


@contextlib.asynccontextmanager
async def running_platform(
    *, cni_type: str = "canal", cni_version: str = "v3.30", proxy_mode: str = "iptables", delays: Delays = NO_DELAYS,
    nodes: int = 1, profile: Profile = TODAY,
) -> AsyncIterator[Platform]:  # fmt: skip
    """Run KKP's controllers on a fresh seed and user cluster."""
    faults = Faults()
    seed, user = ApiServer("lab", tokens={}, faults=faults), ApiServer(CLUSTER, tokens={}, faults=faults)
    register_seed_admission(seed, profile)
    if profile.has_applications:
        register_user_cluster_admission(user)
    await _create(seed, seed_objects(profile))
    await _create(user, user_cluster_definitions(profile))
    objects = cluster_objects(
        CLUSTER, human_readable_name="stage", project="q7mdz4w8sn", cni_type=cni_type, cni_version=cni_version,
        proxy_mode=proxy_mode, version=profile.first_cluster.kubernetes, url="https://lab.example:6443/clusters/x",
        labels={"team": "shop"}, profile=profile,
    )  # fmt: skip
    await _create(seed, objects)
    for index in range(nodes):
        await user.client.create(NODES, {"metadata": {"name": f"node-{index}"}})
    seed_site, user_site = (
        Site("lab", seed.client, Mirror(seed.client)),
        Site(CLUSTER, user.client, Mirror(user.client)),
    )
    clock = Clock(speed=SPEED)
    workloads = ReadyWorkloads(user_site, clock)
    controllers = kkp_controllers(
        seed_site, user_site, cluster=CLUSTER, clock=clock, delays=delays, faults=faults, profile=profile
    )
    namespaces = NamespaceController(client=user.client, mirror=user_site.mirror, clock=clock)
    running = asyncio.create_task(run_together([*controllers, workloads, namespaces]))
    try:
        yield Platform(seed, user, faults, workloads)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await seed_site.mirror.close()
        await user_site.mirror.close()


async def _create(server: ApiServer, objects: list[tuple[Resource, Object]]) -> None:
    for resource, body in objects:
        created = await server.client.create(resource, body)
        if "status" in body and "status" in resource.subresources:
            await server.client.update(resource, {**created, "status": body["status"]}, subresource="status")


async def names(server: ApiServer, resource: Resource, selector: str = "") -> set[str]:
    """Return the names of the selected objects."""
    found, _ = await server.client.list(resource, label_selector=selector)
    return {name_of(item) for item in found}
