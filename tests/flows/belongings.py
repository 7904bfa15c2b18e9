"""What people own in a cluster, object by object, so that a round trip can be held against it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from clusters import narrowing
from clusters.backups import portable
from clusters.kinds import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
    Kind,
)
from clusters.steps.addon_inventory import calico_objects, cilium_objects
from clusters.steps.custom_resources import place_of
from clusters.watching import Live, watching

if TYPE_CHECKING:
    from clusters.api import KubeApi

NAMESPACE: Final = "keep"
CILIUM_POLICIES: Final = Kind("cilium.io", "v2", "ciliumnetworkpolicies", custom=True)
CILIUM_CLUSTER_POLICIES: Final = Kind(
    "cilium.io", "v2", "ciliumclusterwidenetworkpolicies", namespaced=False, custom=True
)
_KINDS: Final = (
    (DEPLOYMENTS, "Deployment"),
    (STATEFUL_SETS, "StatefulSet"),
    (DAEMON_SETS, "DaemonSet"),
    (JOBS, "Job"),
    (POD_DISRUPTION_BUDGETS, "PodDisruptionBudget"),
    (SERVICES, "Service"),
    (CONFIG_MAPS, "ConfigMap"),
    (NETWORK_POLICIES, "NetworkPolicy"),
    (VALIDATING_WEBHOOKS, "ValidatingWebhookConfiguration"),
)
_PLATFORM: Final = ("kube-system", "kube-node-lease", "kube-public", "kubernetes-dashboard", "cilium-secrets")
_BARE_POD: Final = ("shop", "debug-shell")


async def plant(api: KubeApi) -> None:
    """Add what a lab cluster doesn't have by itself: a hostPort, and a webhook on pods that fails closed."""
    await api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    container = {
        "name": "ingress",
        "image": "registry.example.test/ingress:1.0",
        "ports": [{"containerPort": 8080, "hostPort": 8088, "protocol": "TCP"}],
    }
    labels = {"app": "ingress"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "ingress", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }
    await api.create(DEPLOYMENTS, deployment, namespace=NAMESPACE)
    await api.create(VALIDATING_WEBHOOKS, _webhook())
    await _until_ready(api)


async def _until_ready(api: KubeApi) -> None:
    deployments = Live(api, DEPLOYMENTS, lambda item: narrowing.workload(item, "Deployment"), namespace=NAMESPACE)

    def unready() -> str | None:
        return None if [item.ready for item in deployments.values()] == [1] else "the Deployment to be ready"

    async with watching(deployments) as view:
        await view.until(unready, what="what was planted", deadline=timedelta(seconds=30), tell=lambda _: None)


def _webhook() -> dict[str, Any]:
    """Fails closed, for pods of a namespace that isn't there: no real API server could call a pod of the lab."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "pod-guard"},
        "webhooks": [
            {
                "name": "pods.guard.example.test",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "namespaceSelector": {"matchLabels": {"guarded": "yes"}},
                "clientConfig": {"service": {"namespace": "shop", "name": "frontend", "port": 8080}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            }
        ],
    }


async def plant_cilium_policies(api: KubeApi) -> None:
    """Add policies that only Cilium reads."""
    policy = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "cart-from-frontend", "namespace": "shop", "annotations": {"owner": "shop team"}},
        "spec": {
            "endpointSelector": {"matchLabels": {"app": "cart"}},
            "ingress": [{"fromEndpoints": [{"matchLabels": {"app": "frontend"}}]}],
        },
    }
    whole = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": {"name": "no-metadata-service"},
        "spec": {
            "endpointSelector": {},
            "egress": [{"toEntities": ["cluster", "world"]}],
            "egressDeny": [{"toCIDR": ["169.254.169.254/32"]}],
        },
    }
    await api.create(CILIUM_POLICIES, policy, namespace="shop")
    await api.create(CILIUM_CLUSTER_POLICIES, whole)


async def belongings(api: KubeApi) -> dict[str, Any]:
    """Return what people own, by kind and place, without what the server sets."""
    found: dict[str, Any] = {}
    for kind, name in _KINDS:
        api_version = f"{kind.group}/{kind.version}" if kind.group else kind.version
        for item in await api.list(kind):
            if item["metadata"].get("namespace") not in _PLATFORM and not _is_of_the_platform(item):
                found[f"{name} {place_of(item)}"] = portable(item, api_version=api_version, kind=name)
    for item in [*await calico_objects(api), *await cilium_objects(api)]:
        found[f"{item['apiVersion']} {item['kind']} {place_of(item)}"] = item
    pod = await api.get(PODS, _BARE_POD[1], namespace=_BARE_POD[0])
    found["Pod"] = {"labels": pod["metadata"]["labels"], "containers": [c["image"] for c in pod["spec"]["containers"]]}
    return found


def _is_of_the_platform(item: Any) -> bool:
    """KKP's own webhooks belong to nobody in the cluster."""
    return str(item["metadata"]["name"]).startswith("kubermatic")
