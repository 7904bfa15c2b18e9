"""Everything that the readiness check and the verification look at, gathered concurrently. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from clusters import access, narrowing
from clusters.api import KubeApi
from clusters.journal import read_journal
from clusters.kinds import (
    CILIUM_ENDPOINTS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    JOBS,
    MACHINE_DEPLOYMENTS,
    MUTATING_WEBHOOKS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
)
from clusters.seed import OpenedCluster, open_cluster, open_seed
from clusters.steps.canal_inventory import calico_policies
from clusters.watching import Tell
from migration import readiness
from migration.errors import Expired, Forbidden, PreflightFailed
from migration.facts import ClusterSurvey, MachineDeploymentFacts, NodeFacts
from migration.journal import NAMESPACE
from migration.models import ClusterRef, MigrationRequest, Pod
from migration.restart import is_bare
from migration.verification import Baseline

LIST_ATTEMPTS: Final = 4
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"


async def survey(opened: OpenedCluster, request: MigrationRequest) -> ClusterSurvey:
    """Return what is to be known about a cluster before it is changed.

    Raises PreflightFailed with every missing right if one of them is needed to look at the cluster at all.
    """
    denied = await _denied(opened, request)
    try:
        return await _look(opened, denied)
    except Forbidden as error:
        if not denied:
            raise
        raise _preflight_failed(opened.ref, denied) from error


async def survey_cluster(request: MigrationRequest, tell: Tell) -> ClusterSurvey:
    """Open a cluster and return its survey.

    Raises PreflightFailed with every right that is missing on the seed, if one of them keeps the cluster closed.
    """
    try:
        async with open_cluster(request.cluster, tell) as opened:
            return await survey(opened, request)
    except Forbidden as error:
        if missing := await _denied_on_seed(request.cluster):
            raise _preflight_failed(request.cluster, missing) from error
        raise


async def _look(opened: OpenedCluster, denied: tuple[str, ...]) -> ClusterSurvey:
    api, seed = opened.api, opened.seed
    platform = asyncio.gather(seed.cluster(opened.ref.name), seed.offered_cilium_versions(), read_journal(api))
    machines = asyncio.gather(list_nodes(api), list_machine_deployments(api))
    workloads = asyncio.gather(
        list_pods(api), api.list(POD_DISRUPTION_BUDGETS), calico_policies(api), _unfinished_jobs(api)
    )
    (cluster, versions, journal), (nodes, deployments), (pods, budgets, policies, jobs) = await asyncio.gather(
        platform, machines, workloads
    )
    return ClusterSurvey(
        cluster=cluster,
        offered_versions=versions,
        nodes=tuple(nodes),
        machine_deployments=tuple(deployments),
        pods=tuple(pods),
        denied=denied,
        blocked_budgets=tuple(_blocked(budgets)),
        calico_policies=tuple(policies),
        open_migration=journal.open_migration(),
        last_migration=journal.last_finished(),
        unfinished_jobs=jobs,
        reached_url="" if opened.is_administrator_s else api.url,
    )


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


async def list_cilium_endpoints(api: KubeApi) -> dict[str, frozenset[str]]:
    """Return the CiliumEndpoints: mapping of `namespace/name` to addresses. Empty before Cilium is there."""
    return {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}": narrowing.endpoint_addresses(item)
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


async def observe_baseline(api: KubeApi) -> Baseline:
    """Return how many pods and endpoints are ready now, outside of what the platform itself replaces."""
    workloads: list[Any] = []
    for kind, name in ((DEPLOYMENTS, "Deployment"), (STATEFUL_SETS, "StatefulSet"), (DAEMON_SETS, "DaemonSet")):
        workloads += [narrowing.workload(item, name) for item in await api.list(kind) if not _is_of_a_cni(item)]
    bare = [pod for pod in await list_pods(api) if is_bare(pod)]
    return Baseline(
        ready_pods={found.workload: found.ready for found in workloads},
        desired_pods={found.workload: found.desired for found in workloads},
        services=await _ready_endpoints(api),
        bare_pods=tuple(sorted(pod.key for pod in bare if not pod.finished and pod.ready)),
        ended_pods=tuple(sorted(pod.key for pod in bare if pod.phase == "Succeeded")),
    )


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


async def _ready_endpoints(api: KubeApi) -> dict[str, int]:
    ready: dict[str, int] = {}
    for found in await api.list(ENDPOINT_SLICES):
        metadata = found["metadata"]
        service = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL)
        if service and not (metadata["namespace"] == "kube-system" and service.startswith("hubble")):
            key = f"{metadata['namespace']}/{service}"
            count = sum(
                1 for entry in found.get("endpoints") or () if (entry.get("conditions") or {}).get("ready", True)
            )
            ready[key] = ready.get(key, 0) + count
    return ready


async def _unfinished_jobs(api: KubeApi) -> frozenset[str]:
    return frozenset(
        f"{job['metadata']['namespace']}/{job['metadata']['name']}"
        for job in await api.list(JOBS)
        if (job.get("status") or {}).get("active")
    )


def _preflight_failed(cluster: ClusterRef, denied: Iterable[str]) -> PreflightFailed:
    return PreflightFailed(str(cluster), [readiness.missing_permission(right) for right in denied])


async def _denied_on_seed(cluster: ClusterRef) -> tuple[str, ...]:
    """Return what is missing of the rights that every migration needs, when the Cluster itself may be out of reach."""
    async with open_seed(cluster.seed) as seed:
        # KKP 2.31, pkg/resources: a user cluster's namespace is its name behind `cluster-`.
        return await access.denied(seed.api, access.on_seed(cluster.name, f"cluster-{cluster.name}", as_admin=False))


async def _denied(opened: OpenedCluster, request: MigrationRequest) -> tuple[str, ...]:
    namespace = opened.kubeconfig_secret.partition("/")[0]
    on_seed = access.on_seed(opened.ref.name, namespace, as_admin=opened.is_administrator_s)
    seed, user_cluster = await asyncio.gather(
        access.denied(opened.seed.api, on_seed), access.denied(opened.api, access.in_user_cluster(request))
    )
    return seed + user_cluster


def _blocked(budgets: Iterable[Any]) -> Iterable[str]:
    for budget in budgets:
        status = budget.get("status") or {}
        if status.get("expectedPods") and not status.get("disruptionsAllowed"):
            yield f"{budget['metadata']['namespace']}/{budget['metadata']['name']}"


def _is_of_a_cni(found: Any) -> bool:
    """Whether a workload comes or goes with a CNI, so that its absence later is no regression."""
    metadata = found["metadata"]
    labels = metadata.get("labels") or {}
    by_helm = (metadata.get("annotations") or {}).get("meta.helm.sh/release-name") == "kube-system-cilium"
    return metadata["namespace"] == "kube-system" and (labels.get("kubermatic-addon") == "canal" or by_helm)
