"""One user cluster of the lab: its API server, what it holds at first, and the parts of the platform that run it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import ApiError
from lab.hosting import install
from lab.landscape import Datacenter, site_of
from lab.network import ClusterNetwork
from lab.objects import name_of, namespace_of
from lab.platform.kkp import (
    CONTROLLER_MANAGER,
    Profile,
    allocates_pod_cidrs,
    cluster_objects,
    kkp_controllers,
    user_cluster_definitions,
)
from lab.platform.machines import machine_controllers
from lab.platform.nodes import NodePower, node_controllers
from lab.platform.nodes.node_status import MAX_PODS_ANNOTATION
from lab.platform.runtime import Controller, Mirror, Site, ignoring
from lab.platform.workloads import workload_controllers
from lab.resources import DEPLOYMENTS, JOBS, MACHINE_DEPLOYMENTS, SECRETS, Resource
from lab.settings import DEFAULT_SEED_NAME
from lab.viewers import viewer_objects
from lab.workload import calico_policies, job, workload_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.clock import Clock
    from lab.faults import Faults
    from lab.hosting import ClusterApi
    from lab.objects import Object
    from lab.platform.client import Client
    from lab.settings import LabSettings, UserClusterSize

LATE_SECONDS = 10.0

_NAME_LENGTH = 10
_FIRST_LETTERS = "bcdfghjklmnpqrstvwxz"
_LETTERS = _FIRST_LETTERS + "2456789"


def cluster_name(index: int, seed: str = DEFAULT_SEED_NAME) -> str:
    """Return the name of a seed's n-th user cluster: always the same, another on each seed, and formed like KKP's."""
    of_which = "" if seed == DEFAULT_SEED_NAME else f" of {seed}"
    chosen = random.Random(f"user cluster {index}{of_which}")  # noqa: S311 - a name, no secret
    return chosen.choice(_FIRST_LETTERS) + "".join(chosen.choices(_LETTERS, k=_NAME_LENGTH - 1))


@dataclass(frozen=True)
class Surroundings:
    """What all user clusters of a lab share."""

    settings: LabSettings
    profile: Profile
    seed: Site
    clock: Clock
    faults: Faults


class UserCluster:
    """A user cluster. Constructing it starts nothing."""

    def __init__(self, index: int, api: ClusterApi, surroundings: Surroundings) -> None:
        self.name = api.name
        self.human_readable_name = f"{surroundings.settings.seed_name}-{index}"
        self._place = site_of(index)
        self.api = api
        self._around = surroundings
        self.site = Site(self.name, api.client, Mirror(api.client))
        self.power = NodePower()
        self.network = ClusterNetwork(
            self.name, self.site, surroundings.clock, surroundings.settings.delays, surroundings.faults
        )

    async def create(self) -> None:
        """Leave the Cluster and its Secret on the seed, and definitions, machines and workloads in the user cluster."""
        size = self._around.settings.size
        await create_all(self.site.client, user_cluster_definitions(self._around.profile))
        await install(self.site.client, self.api.configurations)
        await create_all(self._around.seed.client, self._seed_objects())
        if self.api.viewer_kubeconfig:
            await create_all(self.site.client, viewer_objects())
        kubelet = self._around.profile.first_cluster.kubernetes
        await create_all(
            self.site.client, machine_deployments(size, kubelet=kubelet, datacenter=self._place.datacenter)
        )
        await create_all(
            self.site.client, workload_objects(pods=size.pods, nodes=size.nodes, grace_seconds=size.grace_seconds)
        )

    async def create_job(self) -> None:
        """Leave a Job that has just begun."""
        await create_all(self.site.client, [job(grace_seconds=self._around.settings.size.grace_seconds)])

    def job(self) -> Object | None:
        """Return that Job, once it is known."""
        _, body = job()
        return self.site.mirror.get(JOBS, name_of(body), namespace=namespace_of(body))

    async def create_calico_policies(self) -> None:
        """Leave policies that only Calico reads; its definitions must be there."""
        await create_all(self.site.client, calico_policies())

    def controllers(self) -> list[Controller]:
        """Return the controllers of every part that is not left out."""
        around, site = self._around, self.site
        clock, delays, faults, network = around.clock, around.settings.delays, around.faults, self.network
        parts: dict[str, list[Controller]] = {
            "kkp": kkp_controllers(
                around.seed,
                site,
                cluster=self.name,
                clock=clock,
                delays=delays,
                faults=faults,
                profile=around.profile,
            ),
            "workloads": workload_controllers(site, clock),
            "nodes": node_controllers(
                site,
                clock,
                delays,
                network=network,
                programs=network.programs,
                faults=faults,
                allocate_pod_cidrs=self._allocates_pod_cidrs,
                power=self.power,
            ),
            "machines": machine_controllers(site, clock, delays, network=network, faults=faults),
            "network": list(network.controllers),
        }
        return [item for part, found in parts.items() if part not in around.settings.without for item in found]

    def _allocates_pod_cidrs(self) -> bool:
        manager = self._around.seed.mirror.get(DEPLOYMENTS, CONTROLLER_MANAGER, namespace=f"cluster-{self.name}")
        return manager is not None and allocates_pod_cidrs(manager)

    def _seed_objects(self) -> list[tuple[Resource, Object]]:
        first = self._around.profile.first_cluster
        objects = cluster_objects(
            self.name,
            human_readable_name=self.human_readable_name,
            project=self._place.project.id,
            datacenter=self._place.datacenter.name,
            provider=self._place.datacenter.provider,
            cni_type="canal",
            cni_version=first.cni_version,
            proxy_mode=self._around.settings.size.proxy_mode or first.proxy_mode,
            version=first.kubernetes,
            url=self.api.url,
            labels=self._place.labels,
            profile=self._around.profile,
        )
        return [*objects, *((SECRETS, self._secret(name, content)) for name, content in self._kubeconfigs())]

    def _kubeconfigs(self) -> Iterator[tuple[str, str]]:
        """Yield the external kubeconfigs, by bearer token, as KKP names them (K pkg/resources/resources.go)."""
        yield "admin-kubeconfig", self.api.kubeconfig
        if self.api.viewer_kubeconfig:
            yield "viewer-kubeconfig", self.api.viewer_kubeconfig

    def _secret(self, name: str, kubeconfig: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": f"cluster-{self.name}"},
            "type": "Opaque",
            "stringData": {"kubeconfig": kubeconfig},
        }


async def create_all(client: Client, objects: list[tuple[Resource, Object]]) -> None:
    """Leave these objects, with their status where they come with one; what exists already stays as it is."""
    for resource, body in objects:
        with ignoring(409):
            created = await _create_patiently(client, resource, body)
            if "status" in body and "status" in resource.subresources:
                await client.update(resource, {**created, "status": body["status"]}, subresource="status")


async def _create_patiently(client: Client, resource: Resource, body: Object) -> Object:
    """Create an object; what it needs may be a moment late, as its definition or its namespace's ServiceAccount."""
    deadline = asyncio.get_running_loop().time() + LATE_SECONDS
    while True:
        try:
            return await client.create(resource, body)
        except ApiError as error:
            if error.code not in (403, 404) or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)


def machine_deployments(
    size: UserClusterSize, *, kubelet: str, datacenter: Datacenter
) -> list[tuple[Resource, Object]]:
    """Return MachineDeployments that share the nodes as evenly as can be."""
    count = size.machine_deployments
    shares = [size.nodes // count + (index < size.nodes % count) for index in range(count)]
    return [
        (MACHINE_DEPLOYMENTS, _machine_deployment(f"workers-{number}", share, _machine(size, kubelet, datacenter)))
        for number, share in enumerate(shares, start=1)
    ]


def _machine(size: UserClusterSize, kubelet: str, datacenter: Datacenter) -> Object:
    # machine-controller sdk/apis/cluster/v1alpha1 and its examples/*-machinedeployment.yaml.
    provider = {
        "cloudProvider": datacenter.provider,
        "cloudProviderSpec": dict(datacenter.machines),
        "operatingSystem": "ubuntu",
        "operatingSystemSpec": {"distUpgradeOnBoot": False},
    }
    annotations = {MAX_PODS_ANNOTATION: str(size.max_pods_per_node)}
    return {
        "metadata": {"labels": {"workload": "user"}, "annotations": annotations},
        "providerSpec": {"value": provider},
        "versions": {"kubelet": kubelet},
    }


def _machine_deployment(name: str, replicas: int, machine: Object) -> Object:
    return {
        "apiVersion": "cluster.k8s.io/v1alpha1",
        "kind": "MachineDeployment",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {
            "replicas": replicas,
            "minReadySeconds": 0,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": {"machine": name}},
            "template": {"metadata": {"labels": {"machine": name}}, "spec": machine},
        },
    }
