"""User clusters that stand still: API servers of a lab without controllers, holding just what a test puts there."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from clusters.api import MERGE_PATCH, KubeApi
from clusters.kinds import (
    APPLICATION_INSTALLATIONS,
    CLUSTERS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    MACHINE_DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    Kind,
)
from clusters.seed import OpenedCluster, open_cluster
from clusters.survey import survey_cluster
from migration.models import ClusterRef, MigrationRequest, Severity
from migration.readiness import findings
from tests.clusters.test_policies import definition
from tests.seed_api import seed_api

WITHOUT: Final = ("kkp", "workloads", "nodes", "machines", "network")
Json = dict[str, Any]


async def codes_of(request: MigrationRequest) -> dict[str, Severity]:
    """Survey a cluster as the flows do, and return the worst severity of each code that was found."""
    found = findings(await survey_cluster(request, lambda line: None), request)
    return {finding.code: finding.severity for finding in reversed(found)}


class Prepared:
    """A cluster that nobody acts on, opened by an administrator."""

    def __init__(self, opened: OpenedCluster) -> None:
        self.opened = opened
        self.api: KubeApi = opened.api
        self.seed: KubeApi = seed_api(opened.seed)
        self.name = opened.ref.name

    async def cluster(self, *, status: Json | None = None, **fields: Any) -> None:
        """Change the Cluster object."""
        await self.seed.patch(CLUSTERS, self.name, fields)
        if status is not None:
            await _patch_status(self.seed, CLUSTERS, self.name, status)

    async def remade(self, **network: Any) -> None:
        """Replace the Cluster object by one with another network, which no change could bring about."""
        found = await self.seed.get(CLUSTERS, self.name)
        await self.seed.delete(CLUSTERS, self.name, uid=found["metadata"]["uid"])
        metadata = {"name": self.name, "labels": found["metadata"]["labels"]}
        spec = {**found["spec"], "clusterNetwork": {**found["spec"]["clusterNetwork"], **network}}
        body = {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata, "spec": spec}
        await self.seed.create(CLUSTERS, body)
        await _patch_status(self.seed, CLUSTERS, self.name, found["status"])

    async def node(
        self, name: str = "node-1", *, labels: Json | None = None, spec: Json | None = None, **info: Any
    ) -> None:
        """Make a Node that is Ready, unless `ready` says otherwise."""
        is_ready = info.pop("ready", True)
        owned = {"machine-controller/owned-by": "a-machine"} if labels is None else labels
        await self.api.create(NODES, {"metadata": {"name": name, "labels": owned}, "spec": spec or {}})
        facts = {"kernelVersion": "6.8.0-45-generic", "architecture": "amd64", "osImage": "Ubuntu 24.04", **info}
        status = {
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
            "addresses": [{"type": "InternalIP", "address": "192.168.1.10"}],
            "nodeInfo": facts,
        }
        await _patch_status(self.api, NODES, name, status)

    async def machine_deployment(self, *, complete: bool = True, **spec: Any) -> None:
        """Leave the lab's MachineDeployment with this spec, and a status that says whether it is rolled out."""
        found = (await self.api.list(MACHINE_DEPLOYMENTS, namespace="kube-system"))[0]
        name = found["metadata"]["name"]
        found = await self.api.patch(MACHINE_DEPLOYMENTS, name, {"spec": spec}, namespace="kube-system")
        count = found["spec"]["replicas"] if complete else 0
        status = {
            "observedGeneration": found["metadata"]["generation"],
            **dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), count),
        }
        await _patch_status(self.api, MACHINE_DEPLOYMENTS, name, status, namespace="kube-system")

    async def pod(
        self, name: str = "web-1", *, owner: str | None = "web", status: Json | None = None, **spec: Any
    ) -> Any:
        """Make a running pod of a Deployment in namespace shop."""
        references = {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner, "uid": "x", "controller": True}
        metadata: Json = {"name": name, "labels": {"app": owner or name}, "finalizers": spec.pop("finalizers", [])}
        if owner is not None:
            metadata["ownerReferences"] = [references]
        container = {"name": "main", "image": "registry.example.test/web:1", "ports": spec.pop("ports", [])}
        body = {"metadata": metadata, "spec": {"nodeName": "node-1", "containers": [container], **spec}}
        made = await self.api.create(PODS, body, namespace="shop")
        running = {"phase": "Running", "podIPs": [{"ip": "172.25.0.7"}], **(status or {})}
        await _patch_status(self.api, PODS, name, running, namespace="shop")
        return made

    async def daemon_set(self, name: str, **metadata: Any) -> None:
        """Make a DaemonSet in kube-system."""
        template = {"metadata": {"labels": {"a": name}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
        body = {
            "metadata": {"name": name, **metadata},
            "spec": {"selector": {"matchLabels": {"a": name}}, "template": template},
        }
        await self.api.create(DAEMON_SETS, body, namespace="kube-system")

    async def define(self, group: str, plural: str, kind: str, **fields: Any) -> Kind:
        """Make a definition; returns the kind."""
        await self.api.create(
            CUSTOM_RESOURCE_DEFINITIONS, definition(group, plural, kind, ("v1", True, True), **fields)
        )
        return Kind(group, "v1", plural, namespaced=fields.get("scope") != "Cluster", custom=True)

    async def application(self, **values: Any) -> None:
        """Make the ApplicationInstallation of Cilium."""
        spec = {
            "namespace": {"name": "kube-system", "create": False},
            "applicationRef": {"name": "cilium", "version": "1.19.4"},
            "values": values,
        }
        await self.api.create(APPLICATION_INSTALLATIONS, {"metadata": {"name": "cilium"}, "spec": spec,
                              "apiVersion": "apps.kubermatic.k8c.io/v1", "kind": "ApplicationInstallation"},
                              namespace="kube-system")  # fmt: skip

    async def kubeconfig(self, text: str) -> None:
        """Leave a kubeconfig made for migrations on the seed."""
        body = {
            "metadata": {"name": "cni-migration-kubeconfig"},
            "data": {"kubeconfig": base64.b64encode(text.encode()).decode()},
        }
        await self.seed.create(SECRETS, body, namespace=f"cluster-{self.name}")


@asynccontextmanager
async def prepared(name: str) -> AsyncIterator[Prepared]:
    """Open a cluster; it has the namespace shop, one MachineDeployment, and neither nodes nor pods."""
    async with open_cluster(ClusterRef(seed="lab", name=name), lambda line: None) as opened:
        found = Prepared(opened)
        if await opened.api.find(NAMESPACES, "shop") is None:
            await opened.api.create(NAMESPACES, {"metadata": {"name": "shop"}})
        for pod in await opened.api.list(PODS):
            metadata = pod["metadata"]
            await opened.api.delete(PODS, metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
        await found.machine_deployment()
        yield found


async def _patch_status(api: KubeApi, kind: Kind, name: str, status: Json, *, namespace: str = "") -> None:
    path = kind.path(namespace=namespace, name=name, subresource="status")
    await api._retrying("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)
