"""Which rights the runbook needs, and which of them its accounts lack. Refuses to grant or to guess any.

The manifests in deployments/rbac hold exactly these; tests/unit/test_rbac_manifests.py compares the two. What every
account may do (ask these questions) is not among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from clusters.api import KubeApi
from clusters.kinds import ACCESS_REVIEWS
from migration.journal import NAME, NAMESPACE
from migration.models import MigrationRequest, RestartStrategy

REVIEWS_AT_A_TIME: Final = 16
CLUSTER: Final = "CLUSTER_ID"
"""Stands for the name of the Cluster, in the table below as in the seed's manifest."""
MIGRATION_KUBECONFIG: Final = "cni-migration-kubeconfig"
# KKP 2.31, pkg/resources/kubeconfig.go.
ADMIN_KUBECONFIG: Final = "admin-kubeconfig"

# KKP 2.31, addons/canal/canal_<version>.yaml, of all versions together (docs/platform.md 6.1).
_KUBE_CONTROLLERS: Final = "calico-kube-controllers"
_ROLES: Final = (_KUBE_CONTROLLERS, "calico-node", "flannel", "calico-cni-plugin", "calico-tier-getter")
_BINDINGS: Final = (_KUBE_CONTROLLERS, "canal-flannel", "canal-calico", "calico-cni-plugin", "calico-tier-getter")
_ACCOUNTS: Final = ("canal", _KUBE_CONTROLLERS, "calico-cni-plugin")
_CALICO_DEFINITIONS: Final = (
    *("bgpconfigurations", "bgpfilters", "bgppeers", "blockaffinities", "caliconodestatuses", "clusterinformations"),
    *("felixconfigurations", "globalnetworkpolicies", "globalnetworksets", "hostendpoints", "ipamblocks"),
    *("ipamconfigs", "ipamhandles", "ippools", "ipreservations", "kubecontrollersconfigurations", "networkpolicies"),
    *(
        "networksets",
        "stagedglobalnetworkpolicies",
        "stagedkubernetesnetworkpolicies",
        "stagednetworkpolicies",
        "tiers",
    ),
)
_POLICY_DEFINITIONS: Final = ("adminnetworkpolicies", "baselineadminnetworkpolicies")


@dataclass(frozen=True, kw_only=True)
class Access:
    """One right: a verb on a resource, everywhere or in a namespace, on every object or on one."""

    verb: str
    group: str = ""
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """Return it as people read it: `delete configmaps "canal-config" in kube-system`."""
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        resource = f"{resource}.{self.group}" if self.group else resource
        name = f' "{self.name}"' if self.name else ""
        place = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {resource}{name}{place}"

    @property
    def attributes(self) -> dict[str, str]:
        """The right as `resourceAttributes` of a SelfSubjectAccessReview."""
        fields = ("verb", "group", "resource", "subresource", "namespace", "name")
        return {field: value for field in fields if (value := getattr(self, field))}


def _rights(
    verbs: str, resources: str, *, group: str = "", namespace: str = "", names: Sequence[str] = ("",)
) -> tuple[Access, ...]:
    """Return every verb on every resource and name; verbs and resources are separated by blanks."""
    return tuple(
        Access(
            verb=verb,
            group=group,
            resource=resource.partition("/")[0],
            subresource=resource.partition("/")[2],
            namespace=namespace,
            name=name,
        )
        for resource in resources.split()
        for verb in verbs.split()
        for name in names
    )


_SEED: Final = (
    *_rights("get list watch patch", "clusters", group="kubermatic.k8c.io", names=(CLUSTER,)),
    *_rights("get", "applicationdefinitions", group="apps.kubermatic.k8c.io", names=("cilium",)),
    *_rights("get", "secrets", namespace=f"cluster-{CLUSTER}", names=(MIGRATION_KUBECONFIG,)),
)
_SEED_ADMIN: Final = _rights("get", "secrets", namespace=f"cluster-{CLUSTER}", names=(ADMIN_KUBECONFIG,))

_EVERYWHERE: Final = (
    *_rights("get list watch create delete", "pods"),
    *_rights("list watch", "nodes"),
    *_rights("list", "daemonsets deployments statefulsets", group="apps"),
    *_rights("list", "jobs", group="batch"),
    *_rights("list", "poddisruptionbudgets", group="policy"),
    *_rights("list", "endpointslices", group="discovery.k8s.io"),
    *_rights(
        "list",
        "validatingwebhookconfigurations mutatingwebhookconfigurations",
        group="admissionregistration.k8s.io",
    ),
    *_rights("list watch", "customresourcedefinitions", group="apiextensions.k8s.io"),
    *_rights("list", "*", group="crd.projectcalico.org"),
    *_rights("list", "*", group="policy.networking.k8s.io"),
    *_rights("list watch", "ciliumendpoints ciliumnodes", group="cilium.io"),
    *_rights("list watch", "clusterroles clusterrolebindings", group="rbac.authorization.k8s.io"),
    *_rights("delete", "clusterroles", group="rbac.authorization.k8s.io", names=_ROLES),
    *_rights("delete", "clusterrolebindings", group="rbac.authorization.k8s.io", names=_BINDINGS),
)
_IN_KUBE_SYSTEM: Final = (
    *_rights("list watch create", "configmaps", namespace=NAMESPACE),
    *_rights("get update", "configmaps", namespace=NAMESPACE, names=(NAME,)),
    *_rights("delete", "configmaps", namespace=NAMESPACE, names=("canal-config",)),
    *_rights("get list create patch delete", "secrets", namespace=NAMESPACE),
    *_rights("create", "leases", group="coordination.k8s.io", namespace=NAMESPACE),
    *_rights("get update patch", "leases", group="coordination.k8s.io", namespace=NAMESPACE, names=(NAME,)),
    *_rights("list watch", "serviceaccounts", namespace=NAMESPACE),
    *_rights("delete", "serviceaccounts", namespace=NAMESPACE, names=_ACCOUNTS),
    *_rights("watch", "daemonsets deployments", group="apps", namespace=NAMESPACE),
    *_rights("delete", "daemonsets", group="apps", namespace=NAMESPACE, names=("canal",)),
    *_rights("delete", "deployments", group="apps", namespace=NAMESPACE, names=(_KUBE_CONTROLLERS,)),
    *_rights("watch", "poddisruptionbudgets", group="policy", namespace=NAMESPACE),
    *_rights("delete", "poddisruptionbudgets", group="policy", namespace=NAMESPACE, names=(_KUBE_CONTROLLERS,)),
    *_rights("list watch", "networkpolicies", group="networking.k8s.io", namespace=NAMESPACE),
    *_rights("delete", "networkpolicies", group="networking.k8s.io", namespace=NAMESPACE, names=("calico",)),
    *_rights(
        "get list watch patch delete",
        "applicationinstallations",
        group="apps.kubermatic.k8c.io",
        namespace=NAMESPACE,
        names=("cilium",),
    ),
    *_rights("list", "machinedeployments", group="cluster.k8s.io", namespace=NAMESPACE),
)
_EVICTION: Final = _rights("create", "pods/eviction")
_ROTATION: Final = (
    *_rights("get watch patch", "machinedeployments", group="cluster.k8s.io", namespace=NAMESPACE),
    *_rights("list watch", "machines", group="cluster.k8s.io", namespace=NAMESPACE),
)
_DEFINITIONS: Final = _rights(
    "delete",
    "customresourcedefinitions",
    group="apiextensions.k8s.io",
    names=(
        *(f"{plural}.crd.projectcalico.org" for plural in _CALICO_DEFINITIONS),
        *(f"{plural}.policy.networking.k8s.io" for plural in _POLICY_DEFINITIONS),
    ),
)


def on_seed(cluster: str, namespace: str, *, as_admin: bool) -> tuple[Access, ...]:
    """Return what a migration does on the seed; `as_admin` if it reads KKP's own kubeconfig, not one made for it."""
    return tuple(
        replace(
            access,
            namespace=access.namespace and namespace,
            name=cluster if access.name == CLUSTER else access.name,
        )
        for access in (*_SEED, *(_SEED_ADMIN if as_admin else ()))
    )


def in_user_cluster(request: MigrationRequest) -> tuple[Access, ...]:
    """Return what a migration does in the user cluster: what only some requests need, for those alone."""
    found = (*_EVERYWHERE, *_IN_KUBE_SYSTEM)
    if request.pods.strategy is RestartStrategy.EVICT:
        found += _EVICTION
    if request.rotate_nodes:
        found += _ROTATION
    return found + _DEFINITIONS if request.remove_crds else found


async def denied(api: KubeApi, wanted: Iterable[Access]) -> tuple[str, ...]:
    """Return which of these rights the account lacks, with where."""
    slots = asyncio.Semaphore(REVIEWS_AT_A_TIME)

    async def is_allowed(access: Access) -> bool:
        async with slots:
            return await _is_allowed(api, access)

    wanted = tuple(wanted)
    answers = await asyncio.gather(*(is_allowed(access) for access in wanted))
    return tuple(f"{access} on {api.where}" for access, allowed in zip(wanted, answers, strict=True) if not allowed)


async def _is_allowed(api: KubeApi, access: Access) -> bool:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": access.attributes},
    }
    answer = await api.create(ACCESS_REVIEWS, body)
    return bool((answer.get("status") or {}).get("allowed"))
