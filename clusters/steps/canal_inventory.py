"""What of Canal and Calico there is in a user cluster, ready to be backed up. Source: docs/platform.md 6.1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from clusters.api import KubeApi
from clusters.backups import portable
from clusters.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SERVICE_ACCOUNTS,
    Kind,
)
from migration.errors import OperatorActionNeeded

# KKP 2.31, pkg/controller/seed-controller-manager/addon: every object of an addon carries this label, its pods don't.
CANAL_LABEL: Final = "kubermatic-addon=canal"
# KKP 2.31, addons/canal: all that has a namespace has this one.
NAMESPACE: Final = "kube-system"
CALICO_GROUPS: Final = ("crd.projectcalico.org", "policy.networking.k8s.io")

# Workloads first, so that nothing runs without its rights; then configuration, rights and accounts.
CANAL_KINDS: Final = (
    (DAEMON_SETS, "DaemonSet"),
    (DEPLOYMENTS, "Deployment"),
    (POD_DISRUPTION_BUDGETS, "PodDisruptionBudget"),
    (NETWORK_POLICIES, "NetworkPolicy"),
    (CONFIG_MAPS, "ConfigMap"),
    (CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding"),
    (CLUSTER_ROLES, "ClusterRole"),
    (SERVICE_ACCOUNTS, "ServiceAccount"),
)
_POLICY_KINDS: Final = frozenset(
    {
        "networkpolicies",
        "globalnetworkpolicies",
        "stagednetworkpolicies",
        "stagedglobalnetworkpolicies",
        "stagedkubernetesnetworkpolicies",
        "adminnetworkpolicies",
        "baselineadminnetworkpolicies",
    }
)


async def calico_policies(api: KubeApi) -> list[str]:
    """Return the policies that only Calico reads, as `kind namespace/name`."""
    found = await calico_objects(api, plurals=_POLICY_KINDS)
    return [f"{item['kind']} {place_of(item)}" for item in found]


async def calico_objects(api: KubeApi, *, plurals: frozenset[str] | None = None) -> list[dict[str, Any]]:
    """Return every custom resource of Calico and of AdminNetworkPolicy, ready to be applied again."""
    definitions = await api.list(CUSTOM_RESOURCE_DEFINITIONS)
    wanted = [
        definition
        for definition in definitions
        if definition["spec"]["group"] in CALICO_GROUPS
        and (plurals is None or definition["spec"]["names"]["plural"] in plurals)
    ]
    groups = await asyncio.gather(*(_instances(api, definition) for definition in wanted))
    return [item for group in groups for item in group]


async def canal_objects(api: KubeApi) -> list[dict[str, Any]]:
    """Return the objects of the Canal addon, ready to be applied again."""
    found = []
    for kind, name in CANAL_KINDS:
        api_version = f"{kind.group}/{kind.version}" if kind.group else kind.version
        found += [portable(item, api_version=api_version, kind=name) for item in await labelled_canal(api, kind)]
    return found


async def labelled_canal(api: KubeApi, kind: Kind) -> list[Any]:
    """Return the objects of one kind that are Canal's."""
    return await api.list(kind, namespace=namespace_of(kind), labels=CANAL_LABEL)


def namespace_of(kind: Kind) -> str:
    """Return where Canal's objects of a kind are; empty if they have no namespace."""
    return NAMESPACE if kind.namespaced else ""


async def _instances(api: KubeApi, definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    spec = definition["spec"]
    # Only a served version can be read; the stored one, if it is, needs no conversion.
    served = [entry for entry in spec["versions"] if entry.get("served", True)]
    version = next((entry["name"] for entry in served if entry.get("storage")), served[0]["name"] if served else "")
    if not version:
        raise OperatorActionNeeded(
            f"CustomResourceDefinition {definition['metadata']['name']} serves no version: nothing of it can be read"
        )
    kind = Kind(spec["group"], version, spec["names"]["plural"], namespaced=spec["scope"] == "Namespaced", custom=True)
    api_version = f"{kind.group}/{version}"
    return [portable(item, api_version=api_version, kind=spec["names"]["kind"]) for item in await api.list(kind)]


def place_of(found: Mapping[str, Any]) -> str:
    """Return `namespace/name`, or the name alone of what has no namespace."""
    metadata = found["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}".lstrip("/")
