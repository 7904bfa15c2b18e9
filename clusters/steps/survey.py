"""Lists of what several steps look at, narrowed at once. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from clusters import narrowing
from clusters.api import KubeApi
from clusters.kinds import (
    CILIUM_ENDPOINTS,
    ENDPOINT_SLICES,
    MACHINE_DEPLOYMENTS,
    MUTATING_WEBHOOKS,
    NODES,
    PODS,
    VALIDATING_WEBHOOKS,
)
from migration.errors import Expired
from migration.facts import EndpointFacts, MachineDeploymentFacts, NodeFacts
from migration.journal import NAMESPACE
from migration.models import Pod

LIST_ATTEMPTS: Final = 4
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"


async def list_pods(api: KubeApi) -> list[Pod]:
    """Return all pods. Read in pages and narrowed at once: 10,000 pods fit into a few dozen megabytes."""
    for attempt in range(LIST_ATTEMPTS):
        try:
            return [narrowing.pod(item) async for items, _ in api.pages(PODS) for item in items]
        except Expired:
            # The list took longer than the API server keeps its state: start over.
            if attempt == LIST_ATTEMPTS - 1:
                raise
            await asyncio.sleep(attempt)
    raise AssertionError("unreachable")


async def list_cilium_endpoints(api: KubeApi) -> dict[str, EndpointFacts]:
    """Return the CiliumEndpoints by `namespace/name`. Empty before Cilium is there."""
    return {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}": narrowing.endpoint(item)
        for item in await api.list(CILIUM_ENDPOINTS)
    }


async def list_nodes(api: KubeApi) -> list[NodeFacts]:
    """Return all Nodes."""
    return [narrowing.node(item) for item in await api.list(NODES)]


async def list_machine_deployments(api: KubeApi) -> list[MachineDeploymentFacts]:
    """Return all MachineDeployments, by name; none where KKP manages no machines."""
    # KKP keeps them in kube-system alone (docs/platform.md 7).
    listed = await api.list(MACHINE_DEPLOYMENTS, namespace=NAMESPACE)
    found = [narrowing.machine_deployment(item) for item in listed]
    return sorted(found, key=lambda deployment: (deployment.namespace, deployment.name))


async def webhook_backends(api: KubeApi, pods: Iterable[Pod]) -> frozenset[str]:
    """Return the workloads (`Pod.workload`) behind admission webhooks that fail closed."""
    services: set[tuple[str, str]] = set()
    for kind in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS):
        for configuration in await api.list(kind):
            for webhook in configuration.get("webhooks") or ():
                service = (webhook.get("clientConfig") or {}).get("service")
                if service and webhook.get("failurePolicy", "Fail") == "Fail":
                    services.add((service["namespace"], service["name"]))
    targets: set[str] = set()
    for namespace, name in sorted(services):
        for found in await api.list(ENDPOINT_SLICES, namespace=namespace, labels=f"{SERVICE_NAME_LABEL}={name}"):
            references = ((entry.get("targetRef") or {}).get("uid") for entry in found.get("endpoints") or ())
            targets.update(uid for uid in references if uid)
    return frozenset(pod.workload for pod in pods if pod.uid in targets)
