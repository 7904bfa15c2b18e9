"""The user workloads of a lab cluster: a small shop with a payment and a data side, as large as asked for.

Deployments call each other as their annotation says, so that the network can tell who is cut off from whom. Refuses to
create anything itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.network.watch import CALLS
from lab.objects import Object
from lab.resources import (
    CALICO_GLOBAL_NETWORK_POLICIES,
    CALICO_NETWORK_POLICIES,
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
    Resource,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Created = tuple[Resource, Object]

NAMES = ("shop", "payments", "data", "batch")
_TIERS = (
    # namespace, name, replicas, port, calls
    ("shop", "frontend", 3, 8080, ("shop/cart", "shop/catalog")),
    ("shop", "cart", 2, 8080, ("payments/gateway", "data/cache")),
    ("shop", "catalog", 3, 8080, ("data/store",)),
    ("payments", "gateway", 2, 8443, ("payments/ledger",)),
    ("payments", "ledger", 2, 5432, ("data/store",)),
    ("data", "cache", 2, 6379, ()),
    ("batch", "reports", 2, 8080, ("data/store", "payments/ledger")),
)
_STORE_REPLICAS = 3
_LONE_PODS = 2  # the Job's and the bare one
JOB_SECONDS = 400
"""How long the Job runs, in platform seconds: a migration that begins soon meets it, and can wait for its end."""


def workload_objects(*, pods: int, nodes: int, grace_seconds: int = 5) -> list[Created]:
    """Return what to create for about this many pods on this many nodes, one of them `job`'s, in the order to do so."""
    fixed = sum(replicas for _, _, replicas, _, _ in _TIERS) + _STORE_REPLICAS + _LONE_PODS + nodes
    return [
        *((NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}) for name in NAMES),
        (CONFIG_MAPS, _config_map()),
        *_policies(),
        *_shop(grace_seconds),
        *_fillers(max(pods - fixed, 0), grace_seconds),
        (DAEMON_SETS, _calling(_daemon_set(grace_seconds), "data/cache")),
        (PODS, _bare_pod(grace_seconds)),
    ]


def _shop(grace_seconds: int) -> Iterator[Created]:
    for namespace, name, replicas, port, calls in _TIERS:
        yield SERVICES, _service(namespace, name, port)
        deployment = _deployment(namespace, name, replicas, _template(name, grace_seconds, port=port))
        yield DEPLOYMENTS, _calling(deployment, *calls)
    yield SERVICES, _service("data", "store", 5432, headless=True)
    yield STATEFUL_SETS, _stateful_set(grace_seconds)
    yield POD_DISRUPTION_BUDGETS, _budget("shop", "frontend")
    yield POD_DISRUPTION_BUDGETS, _budget("data", "store")


def _fillers(pods: int, grace_seconds: int) -> Iterator[Created]:
    """Yield Deployments of 2 to 5 replicas, or larger ones when thousands are asked for, until the pods are used up."""
    scale = max(1, pods // 1000)
    index = 0
    while pods > 0:
        index += 1
        replicas = min((2 + (index - 1) % 4) * scale, pods)
        pods -= replicas
        namespace, name = NAMES[index % len(NAMES)], f"worker-{index}"
        called = "data/cache" if index == 1 else f"{NAMES[(index - 1) % len(NAMES)]}/worker-{index - 1}"
        yield SERVICES, _service(namespace, name, 8080)
        deployment = _deployment(namespace, name, replicas, _template(name, grace_seconds, port=8080))
        yield DEPLOYMENTS, _calling(deployment, called)


def _labels(name: str) -> dict[str, str]:
    return {"app": name}


def _metadata(namespace: str, name: str) -> Object:
    return {"name": name, "namespace": namespace, "labels": _labels(name)}


def _calling(workload: Object, *called: str) -> Object:
    if called:
        workload["metadata"]["annotations"] = {CALLS: ",".join(called)}
    return workload


def _template(name: str, grace_seconds: int, *, port: int | None = None) -> Object:
    container: Object = {"name": name, "image": f"registry.example.test/shop/{name.partition('-')[0]}:2.4.1"}
    if port is not None:
        container["ports"] = [{"containerPort": port, "protocol": "TCP"}]
    spec = {"containers": [container], "terminationGracePeriodSeconds": grace_seconds}
    return {"metadata": {"labels": _labels(name)}, "spec": spec}


def _deployment(namespace: str, name: str, replicas: int, template: Object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(namespace, name),
        "spec": {"replicas": replicas, "selector": {"matchLabels": _labels(name)}, "template": template},
    }


def _stateful_set(grace_seconds: int) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata("data", "store"),
        "spec": {
            "replicas": _STORE_REPLICAS,
            "serviceName": "store",
            "selector": {"matchLabels": _labels("store")},
            "template": _template("store", grace_seconds, port=5432),
        },
    }


def _daemon_set(grace_seconds: int) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": _metadata("batch", "log-shipper"),
        "spec": {
            "selector": {"matchLabels": _labels("log-shipper")},
            "template": _template("log-shipper", grace_seconds),
        },
    }


def _bare_pod(grace_seconds: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata("shop", "debug-shell"),
        "spec": _template("debug-shell", grace_seconds)["spec"],
    }


def _service(namespace: str, name: str, port: int, *, headless: bool = False) -> Object:
    spec: Object = {"selector": _labels(name), "ports": [{"name": "main", "port": port, "protocol": "TCP"}]}
    if headless:
        spec["clusterIP"] = "None"
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(namespace, name), "spec": spec}


def _budget(namespace: str, name: str) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(namespace, name),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(name)}},
    }


def _config_map() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata("shop", "shop-settings"),
        "data": {"currency": "EUR", "features.json": '{"wishlist": true}'},
    }


def _policies() -> Iterator[Created]:
    yield (
        NETWORK_POLICIES,
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": _metadata("payments", "ledger-from-gateway"),
            "spec": {
                "podSelector": {"matchLabels": _labels("ledger")},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [
                            {"podSelector": {"matchLabels": _labels("gateway")}},
                            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "batch"}}},
                        ]
                    }
                ],
            },
        },
    )


def job(*, grace_seconds: int = 5) -> Created:
    """Return the Job that runs for a while, to create once time passes as it is to."""
    template = _template("nightly-import", grace_seconds)
    template["spec"]["containers"][0]["command"] = ["sleep", str(JOB_SECONDS)]
    template["spec"]["restartPolicy"] = "Never"
    body: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata("batch", "nightly-import"),
        "spec": {"backoffLimit": 4, "template": template},
    }
    return JOBS, body


def calico_policies() -> list[Created]:
    """Return policies that only Calico enforces, to create once its definitions are there."""
    return [
        (
            CALICO_GLOBAL_NETWORK_POLICIES,
            {
                "apiVersion": "crd.projectcalico.org/v1",
                "kind": "GlobalNetworkPolicy",
                "metadata": {"name": "deny-metadata-service"},
                "spec": {
                    "order": 10,
                    "selector": "all()",
                    "types": ["Egress"],
                    "egress": [
                        {"action": "Deny", "destination": {"nets": ["169.254.169.254/32"]}},
                        {"action": "Allow"},
                    ],
                },
            },
        ),
        (
            CALICO_NETWORK_POLICIES,
            {
                "apiVersion": "crd.projectcalico.org/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "cache-from-shop", "namespace": "data"},
                "spec": {
                    "order": 100,
                    "selector": "app == 'cache'",
                    "types": ["Ingress"],
                    "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [6379]}}],
                },
            },
        ),
    ]
