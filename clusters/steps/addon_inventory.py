"""What KKP's addons `canal` and `cilium` have brought into a user cluster. Source: docs/platform.md 6.1, 11.2."""

from __future__ import annotations

from typing import Any, Final

from clusters.api import KubeApi
from clusters.backups import portable
from clusters.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SERVICE_ACCOUNTS,
    Kind,
)
from clusters.steps.custom_resources import custom_objects, place_of

# KKP 2.31, addons/canal: all that has a namespace has this one.
NAMESPACE: Final = "kube-system"
CALICO_GROUPS: Final = ("crd.projectcalico.org", "policy.networking.k8s.io")
CILIUM_GROUPS: Final = ("cilium.io",)

# Workloads first, so that nothing runs without its rights; then configuration, rights and accounts.
ADDON_KINDS: Final = (
    (DAEMON_SETS, "DaemonSet"),
    (DEPLOYMENTS, "Deployment"),
    (POD_DISRUPTION_BUDGETS, "PodDisruptionBudget"),
    (NETWORK_POLICIES, "NetworkPolicy"),
    (CONFIG_MAPS, "ConfigMap"),
    (CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding"),
    (CLUSTER_ROLES, "ClusterRole"),
    (SERVICE_ACCOUNTS, "ServiceAccount"),
)
_CALICO_POLICIES: Final = frozenset(
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
# Cilium's own records of pods, nodes and peers: made anew by its agents and operator, and of no use afterwards.
_CILIUM_RECORDS: Final = frozenset(
    {"ciliumendpoints", "ciliumendpointslices", "ciliumidentities", "ciliumnodes", "ciliumbgpnodeconfigs"}
)


def addon_label(addon: str) -> str:
    """Return the selector of an addon's objects.

    Every object carries it, their pods don't (KKP 2.31, pkg/controller/seed-controller-manager/addon).
    """
    return f"kubermatic-addon={addon}"


async def addon_objects(api: KubeApi, addon: str) -> list[dict[str, Any]]:
    """Return the objects of an addon, ready to be applied again."""
    found = []
    for kind, name in ADDON_KINDS:
        api_version = f"{kind.group}/{kind.version}" if kind.group else kind.version
        found += [portable(item, api_version=api_version, kind=name) for item in await labelled(api, kind, addon)]
    return found


async def labelled(api: KubeApi, kind: Kind, addon: str) -> list[Any]:
    """Return the objects of one kind that are an addon's."""
    return await api.list(kind, namespace=namespace_of(kind), labels=addon_label(addon))


def namespace_of(kind: Kind) -> str:
    """Return where an addon's objects of a kind are; empty if they have no namespace."""
    return NAMESPACE if kind.namespaced else ""


async def calico_policies(api: KubeApi) -> list[str]:
    """Return the policies that only Calico reads, as `kind namespace/name`."""
    found = await custom_objects(api, CALICO_GROUPS, wanted=_CALICO_POLICIES.__contains__)
    return [f"{item['kind']} {place_of(item)}" for item in found]


async def calico_objects(api: KubeApi) -> list[dict[str, Any]]:
    """Return every custom resource of Calico and of AdminNetworkPolicy, ready to be applied again."""
    return await custom_objects(api, CALICO_GROUPS)


async def cilium_objects(api: KubeApi) -> list[dict[str, Any]]:
    """Return every custom resource of Cilium that people wrote, ready to be applied again."""
    return await custom_objects(api, CILIUM_GROUPS, wanted=lambda plural: plural not in _CILIUM_RECORDS)
