"""Looking at everything that a migration must leave as good as it was. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from clusters import narrowing
from clusters.api import KubeApi
from clusters.kinds import (
    API_SERVICES,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    MUTATING_WEBHOOKS,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
)
from clusters.steps.probe_pods import PROBES_NAMESPACE
from clusters.steps.survey import SERVICE_NAME_LABEL, list_nodes, list_pods
from migration.facts import WorkloadFacts
from migration.models import CniType
from migration.removal_plans import is_named_for
from migration.restart import is_bare
from migration.verification import Baseline, bad_nodes, duplicate_addresses, owned_pods

_WORKLOADS: Final = ((DEPLOYMENTS, "Deployment"), (STATEFUL_SETS, "StatefulSet"), (DAEMON_SETS, "DaemonSet"))


async def observe_baseline(api: KubeApi) -> Baseline:
    """Return how everything is now, outside of what the platform itself replaces and of the probes' own pods."""
    workloads, services, extensions, listed = await asyncio.gather(
        _workloads(api),
        _ready_endpoints(api),
        asyncio.gather(_api_services(api), _webhooks(api)),
        asyncio.gather(list_pods(api), list_nodes(api)),
    )
    (api_services, webhooks), (all_pods, nodes) = extensions, listed
    pods = [pod for pod in all_pods if pod.namespace != PROBES_NAMESPACE]
    bare = [pod for pod in pods if is_bare(pod)]
    return Baseline(
        ready_pods={found.workload: found.ready for found in workloads},
        desired_pods={found.workload: found.desired for found in workloads},
        services=services,
        bare_pods=tuple(sorted(pod.key for pod in bare if not pod.finished and pod.ready)),
        ended_pods=tuple(sorted(pod.key for pod in bare if pod.phase == "Succeeded")),
        owned_pods=owned_pods(pods),
        nodes=tuple(sorted(node.name for node in nodes)),
        bad_nodes=bad_nodes(nodes),
        duplicates=duplicate_addresses(pods),
        api_services=api_services,
        webhooks=webhooks,
    )


async def wanted_pods(api: KubeApi, workloads: Iterable[str]) -> dict[str, int]:
    """Return how many pods each of these workloads (`namespace/Kind/name`) wants by now; none if it was removed.

    Those of other kinds than Deployment, StatefulSet and DaemonSet are left out, as nobody here can tell.
    """
    kinds = {name for _, name in _WORKLOADS}
    found = [narrowing.workload(item, name) for name, item in await _listed(api)]
    desired = {each.workload: each.desired for each in found}
    return {workload: desired.get(workload, 0) for workload in workloads if workload.split("/")[1] in kinds}


async def _workloads(api: KubeApi) -> list[WorkloadFacts]:
    return [narrowing.workload(item, name) for name, item in await _listed(api) if not _is_of_a_cni(item)]


async def _listed(api: KubeApi) -> list[tuple[str, Any]]:
    """Return all workloads, each with its kind, which items of a list don't carry."""
    listed = await asyncio.gather(*(api.list(kind) for kind, _ in _WORKLOADS))
    return [(name, item) for (_, name), items in zip(_WORKLOADS, listed, strict=True) for item in items]


async def _ready_endpoints(api: KubeApi) -> dict[str, int]:
    ready: dict[str, int] = {}
    for found in await api.list(ENDPOINT_SLICES):
        metadata = found["metadata"]
        service = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL)
        if service and not _is_left_out(metadata["namespace"], service):
            key = f"{metadata['namespace']}/{service}"
            ready[key] = ready.get(key, 0) + narrowing.ready_endpoints(found)
    return ready


async def _api_services(api: KubeApi) -> dict[str, bool]:
    """Return those that a Service stands behind; the others are the API server's own."""
    return {
        found["metadata"]["name"]: narrowing.is_available(found)
        for found in await api.list(API_SERVICES)
        if (found.get("spec") or {}).get("service")
    }


async def _webhooks(api: KubeApi) -> dict[str, str]:
    """Return the Services behind the webhooks that fail closed, by configuration and webhook."""
    found: dict[str, str] = {}
    for kind in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS):
        for configuration in await api.list(kind):
            for webhook in configuration.get("webhooks") or ():
                service = (webhook.get("clientConfig") or {}).get("service")
                if service and webhook.get("failurePolicy", "Fail") == "Fail":
                    name = f"{configuration['metadata']['name']}/{webhook['name']}"
                    found[name] = f"{service['namespace']}/{service['name']}"
    return found


def _is_left_out(namespace: str, service: str) -> bool:
    """Tell whether a Service comes and goes with Cilium, or with the probes."""
    return namespace == PROBES_NAMESPACE or (namespace == "kube-system" and service.startswith("hubble"))


def _is_of_a_cni(found: Any) -> bool:
    """Whether a workload comes or goes with a CNI, so that its absence later is no regression."""
    metadata = found["metadata"]
    labels = metadata.get("labels") or {}
    by_helm = (metadata.get("annotations") or {}).get("meta.helm.sh/release-name") == "kube-system-cilium"
    is_addon = labels.get("kubermatic-addon") in ("canal", "cilium")
    # Installed by hand, it has neither.
    by_name = any(is_named_for(metadata["name"], cni) for cni in CniType)
    return metadata["namespace"] == "kube-system" and (is_addon or by_helm or by_name)
