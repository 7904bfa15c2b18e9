"""The control plane of one user cluster on its seed: what its Deployments run, how far they are rolled out, its health.

Source: KKP main, August 2026, pkg/controller/seed-controller-manager/kubernetes, pkg/resources/health.go and
pkg/resources/controllermanager/deployment.go (docs/platform.md 3.4 and 3.5). The lab's seed runs no pods, so a
rollout is only a matter of time here. Refuses to touch the user cluster.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from lab.objects import Object, draft, name_of, namespace_of
from lab.platform.kkp.context import CONFLICT, Context, KkpController
from lab.platform.kkp.profiles import Profile
from lab.platform.runtime import Change, Controller, ignoring
from lab.resources import CLUSTERS, DEPLOYMENTS, STATEFUL_SETS, Resource

CONTROLLER_MANAGER = "controller-manager"
_STUCK_ROLLOUT_LOOK = 5.0
_HEALTH_SOURCES = {
    "apiserver": "apiserver",
    "scheduler": "scheduler",
    "controller": CONTROLLER_MANAGER,
    "machineController": "machine-controller",
    "etcd": "etcd",
    "konnectivity": "apiserver",
    "userClusterControllerManager": "usercluster-controller",
    "applicationController": "usercluster-controller",
    "operatingSystemManager": "operating-system-manager",
    "kubernetesDashboard": "kubernetes-dashboard",
}
"""Whose rollout each key of extendedHealth tells of; the Konnectivity server is a sidecar of the apiserver."""
ALLOCATE = "--allocate-node-cidrs=true"
_OF_APPLICATIONS = "applicationController"
_ETCD_QUORUM = 2


def components(profile: Profile) -> list[str]:
    """Return the keys of extendedHealth; those of releases without applications are concluded."""
    found = [*_HEALTH_SOURCES, "cloudProviderInfrastructure"]
    return [key for key in found if key != _OF_APPLICATIONS or profile.has_applications]


def controller_manager_arguments(cluster: Object) -> list[str]:
    """Return the flags of the controller-manager; with Cilium it hands out no pod CIDRs (docs/platform.md 3.4)."""
    arguments = ["--use-service-account-credentials=true", "--controllers=*,bootstrapsigner,tokencleaner"]
    network = cluster["spec"]["clusterNetwork"]
    if (cluster["spec"].get("cniPlugin") or {}).get("type") == "cilium":
        return arguments
    return [
        *arguments,
        ALLOCATE,
        f"--cluster-cidr={','.join(network['pods']['cidrBlocks'])}",
        f"--service-cluster-ip-range={','.join(network['services']['cidrBlocks'])}",
        f"--node-cidr-mask-size={network.get('nodeCidrMaskSizeIPv4', 24)}",
        "--configure-cloud-routes=false",
    ]


def allocates_pod_cidrs(manager: Object) -> bool:
    """Tell whether the controller-manager that runs now, of this Deployment, gives nodes their podCIDR.

    While a new one rolls out, the old one still leads, and it was configured for the other kind of CNI. The Cluster
    doesn't tell: its health is that of before until somebody has looked at its new spec.
    """
    is_configured = ALLOCATE in manager["spec"]["template"]["spec"]["containers"][0].get("args", ())
    return is_configured if is_rolled_out(manager) else not is_configured


def rolled_out_status(workload: Object) -> dict[str, Any]:
    """Return the status of a workload of which every replica is updated and ready."""
    replicas = workload["spec"].get("replicas", 1)
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    return {"observedGeneration": workload["metadata"].get("generation", 1), **counts}


def is_rolled_out(workload: Object) -> bool:
    """Tell whether the latest generation runs in full."""
    status = workload.get("status") or {}
    return all(status.get(field) == value for field, value in rolled_out_status(workload).items())


def health_of(workload: Object | None, *, minimum: int = 1) -> str:
    """Return KKP's word for how a workload is."""
    status = (workload or {}).get("status") or {}
    if workload is None or status.get("readyReplicas", 0) < minimum:
        return "HealthStatusDown"
    return "HealthStatusUp" if is_rolled_out(workload) else "HealthStatusProvisioning"


class ControlPlaneRollouts(Controller):
    """Brings every Deployment and StatefulSet of the cluster's seed namespace from one generation to the next."""

    name: ClassVar[str] = "control-plane-rollouts"
    follows: ClassVar[tuple[Resource, ...]] = (DEPLOYMENTS, STATEFUL_SETS)

    def __init__(self, context: Context) -> None:
        super().__init__(client=context.seed.client, mirror=context.seed.mirror, clock=context.clock)
        self._context = context
        self._done_at: dict[str, tuple[int, float]] = {}

    def wire(self) -> None:
        """Look at a workload whenever it changes."""
        for resource in self.follows:
            self.mirror.subscribe(resource, self._on_change)

    def _on_change(self, change: Change) -> None:
        if namespace_of(change.object) == self._context.namespace and change.type != "DELETED":
            self.enqueue(f"{change.object['kind']}/{name_of(change.object)}")

    async def reconcile(self, key: str) -> float | None:
        """Begin a rollout, or end one whose time has come."""
        kind, _, name = key.partition("/")
        resource = DEPLOYMENTS if kind == DEPLOYMENTS.kind else STATEFUL_SETS
        workload = self.mirror.get(resource, name, namespace=self._context.namespace)
        if workload is None or is_rolled_out(workload):
            return None
        now = asyncio.get_running_loop().time()
        generation = workload["metadata"].get("generation", 1)
        begun, done_at = self._done_at.get(key, (0, 0.0))
        if begun != generation:
            delay = self._context.delays.controller_manager_rollout
            self._done_at[key] = (generation, now + self.clock.real_seconds(delay))
            await self._write(resource, workload, _rolling_status(workload))
            return delay
        if now < done_at:
            return (done_at - now) * self.clock.speed
        if self._is_held_up(name):
            return _STUCK_ROLLOUT_LOOK
        await self._write(resource, workload, rolled_out_status(workload))
        return None

    def _is_held_up(self, name: str) -> bool:
        cluster = self._context.cluster
        return name == CONTROLLER_MANAGER and bool(
            self._context.faults.for_platform("slow-control-plane", cluster=cluster, subject=cluster)
        )

    async def _write(self, resource: Resource, workload: Object, status: dict[str, Any]) -> None:
        with ignoring(CONFLICT):
            await self.client.update(resource, {**workload, "status": status}, subresource="status")


def _rolling_status(workload: Object) -> dict[str, Any]:
    """Return the status with the first new replica started and not ready, all the old ones still serving."""
    replicas = workload["spec"].get("replicas", 1)
    serving = min((workload.get("status") or {}).get("readyReplicas", 0), replicas)
    return {
        "observedGeneration": workload["metadata"].get("generation", 1),
        "replicas": serving + 1,
        "updatedReplicas": 1,
        "readyReplicas": serving,
        "availableReplicas": serving,
        "unavailableReplicas": 1,
    }


class ClusterController(KkpController):
    """Configures the control plane from the Cluster and reports its health there."""

    name: ClassVar[str] = "kkp-kubernetes-controller"
    condition: ClassVar[str] = "ClusterControllerReconciledSuccessfully"
    seed_follows: ClassVar[tuple[Resource, ...]] = (CLUSTERS, DEPLOYMENTS, STATEFUL_SETS)

    def wire(self) -> None:
        """Look whenever the Cluster or its control plane changes."""
        self.mirror.subscribe(CLUSTERS, self._on_cluster)
        for resource in (DEPLOYMENTS, STATEFUL_SETS):
            self.mirror.subscribe(resource, self._on_workload)

    def _on_cluster(self, change: Change) -> None:
        if self.concerns(change):
            self.enqueue(self.context.cluster)

    def _on_workload(self, change: Change) -> None:
        if namespace_of(change.object) == self.context.namespace:
            self.enqueue(self.context.cluster)

    async def act(self, key: str, cluster: Object) -> float | None:
        """Leave the controller-manager with the right flags and the Cluster's status true."""
        del key
        manager = await self.client.get(DEPLOYMENTS, CONTROLLER_MANAGER, namespace=self.context.namespace)
        manager = await self._configured(manager, cluster)
        await self._report(cluster, manager)
        self.context.control_plane_generation = cluster["metadata"].get("generation", 1)
        return None

    async def _configured(self, manager: Object, cluster: Object) -> Object:
        arguments = controller_manager_arguments(cluster)
        if manager["spec"]["template"]["spec"]["containers"][0].get("args") == arguments:
            return manager
        # Health first: the gate for the CNI's installation must not look open between the two writes.
        await self.patch_status({"extendedHealth": {"controller": "HealthStatusProvisioning"}})
        changed = draft(manager)
        changed["spec"]["template"]["spec"]["containers"][0]["args"] = arguments
        return await self.client.update(DEPLOYMENTS, changed)

    async def _report(self, cluster: Object, manager: Object) -> None:
        namespace = self.context.namespace
        workloads = {name_of(found): found for found in self.mirror.all(DEPLOYMENTS, namespace=namespace)}
        workloads |= {name_of(found): found for found in self.mirror.all(STATEFUL_SETS, namespace=namespace)}
        workloads[CONTROLLER_MANAGER] = manager
        await self._report_health(cluster, workloads)
        if all(is_rolled_out(workload) for workload in workloads.values()):
            reason, message = "ClusterUpdateSuccessful", "All control plane components are up to date"
            await self.set_condition("SeedResourcesUpToDate", is_true=True, reason=reason, message=message)
        else:
            reason, message = "ClusterUpdateInProgress", "Some control plane components did not finish updating"
            await self.set_condition("SeedResourcesUpToDate", is_true=False, reason=reason, message=message)

    async def _report_health(self, cluster: Object, workloads: dict[str, Object]) -> None:
        found = {
            key: health_of(workloads.get(source), minimum=_ETCD_QUORUM if key == "etcd" else 1)
            for key, source in _HEALTH_SOURCES.items()
        }
        health = {key: found.get(key, "HealthStatusUp") for key in components(self.context.profile)}
        live = await self.client.get(CLUSTERS, name_of(cluster))
        held = (live.get("status") or {}).get("extendedHealth") or {}
        changed = {key: value for key, value in health.items() if held.get(key) != value}
        if changed:
            await self.patch_status({"extendedHealth": changed})


def control_plane_controllers(context: Context) -> list[Controller]:
    """Return the controllers that keep the control plane of one cluster."""
    return [ControlPlaneRollouts(context), ClusterController(context)]
