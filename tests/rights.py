"""Puts the manifests of deployments/rbac onto an API server, and takes rules out of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clusters.api import KubeApi
from clusters.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, SERVICE_ACCOUNTS, Kind
from tests.rbac import read_manifests

MANIFESTS = Path(__file__).parents[1] / "deployments/rbac"
ACCOUNT = "cni-migration"
KINDS = {
    "Namespace": Kind("", "v1", "namespaces", namespaced=False),
    "ServiceAccount": SERVICE_ACCOUNTS,
    "ClusterRole": CLUSTER_ROLES,
    "ClusterRoleBinding": CLUSTER_ROLE_BINDINGS,
    "Role": Kind("rbac.authorization.k8s.io", "v1", "roles"),
    "RoleBinding": Kind("rbac.authorization.k8s.io", "v1", "rolebindings"),
}


def seed_manifests(cluster: str) -> list[Any]:
    """Return the objects of the seed's manifest, made out for a cluster."""
    return read_manifests(MANIFESTS / "seed.yaml", CLUSTER_ID=cluster)


def fleet_manifests() -> list[Any]:
    """Return the objects that let a fleet's run list the Clusters of a seed."""
    return read_manifests(MANIFESTS / "fleet.yaml")


def user_cluster_manifests() -> list[Any]:
    """Return the objects of the user cluster's manifest."""
    return read_manifests(MANIFESTS / "user-cluster.yaml")


async def apply(api: KubeApi, manifests: Iterable[Mapping[str, Any]]) -> None:
    """Leave the objects on a server; those that several clusters share may be there."""
    for body in manifests:
        metadata, kind = body["metadata"], KINDS[body["kind"]]
        namespace = metadata.get("namespace", "")
        if await api.find(kind, metadata["name"], namespace=namespace) is None:
            await api.create(kind, body, namespace=namespace)


async def account_token(api: KubeApi, namespace: str) -> str:
    """Return a token of the manifests' account."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = await api.post(SERVICE_ACCOUNTS, ACCOUNT, "token", request, namespace=namespace)
    return str(made["status"]["token"])


async def set_rules(api: KubeApi, role: Mapping[str, Any], rules: list[Any]) -> None:
    """Leave a role of the manifests with these rules."""
    metadata = role["metadata"]
    namespace = metadata.get("namespace", "")
    await api.patch(KINDS[role["kind"]], metadata["name"], {"rules": rules}, namespace=namespace)


def without(rules: list[Any], index: int) -> list[Any]:
    """Return the rules but one."""
    return [rule for number, rule in enumerate(rules) if number != index]
