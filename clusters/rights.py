"""Every right in a user cluster, by the steps that need it. Refuses to grant or to ask for any.

deployments/rbac/user-cluster.yaml grants the same; tests/unit/test_rbac_manifests.py compares the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from migration.journal import NAME, NAMESPACE
from migration.models import MigrationRequest, RestartStrategy, Runbook


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


Rights = tuple[Access, ...]


def rights(verbs: str, resources: str, *, group: str = "", namespace: str = "", names: Sequence[str] = ("",)) -> Rights:
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


def _here(verbs: str, resources: str, *, group: str = "", names: Sequence[str] = ("",)) -> Rights:
    return rights(verbs, resources, group=group, namespace=NAMESPACE, names=names)


_RBAC: Final = "rbac.authorization.k8s.io"
_CALICO: Final = "crd.projectcalico.org"
_ADMIN_POLICIES: Final = "policy.networking.k8s.io"
_DEFINITIONS: Final = "apiextensions.k8s.io"

# KKP 2.31, addons/canal/canal_<version>.yaml, of all versions together (docs/platform.md 6.1).
_KUBE_CONTROLLERS: Final = "calico-kube-controllers"
_CANAL_ROLES: Final = (_KUBE_CONTROLLERS, "calico-node", "flannel", "calico-cni-plugin", "calico-tier-getter")
_CANAL_BINDINGS: Final = (
    *(_KUBE_CONTROLLERS, "canal-flannel", "canal-calico"),
    *("calico-cni-plugin", "calico-tier-getter"),
)
_CANAL_ACCOUNTS: Final = ("canal", _KUBE_CONTROLLERS, "calico-cni-plugin")
_CANAL_DEFINITIONS: Final = (
    *("bgpconfigurations", "bgpfilters", "bgppeers", "blockaffinities", "caliconodestatuses", "clusterinformations"),
    *("felixconfigurations", "globalnetworkpolicies", "globalnetworksets", "hostendpoints", "ipamblocks"),
    *("ipamconfigs", "ipamhandles", "ippools", "ipreservations", "kubecontrollersconfigurations", "networkpolicies"),
    *("networksets", "stagedglobalnetworkpolicies", "stagedkubernetesnetworkpolicies", "stagednetworkpolicies"),
    "tiers",
)
_POLICY_DEFINITIONS: Final = ("adminnetworkpolicies", "baselineadminnetworkpolicies")

# Charts 1.13 to 1.19 with KKP's values, and the addon of KKP 2.19 to 2.21 (docs/platform.md 6.3, 11.2).
_CILIUM_ROLES: Final = ("cilium", "cilium-operator", "hubble-ui")
_CILIUM_LOCAL_ROLES: Final = ("cilium-config-agent", "hubble-generate-certs", "hubble-cli")
_CILIUM_ACCOUNTS: Final = (
    "cilium",
    "cilium-envoy",
    "cilium-operator",
    "hubble-generate-certs",
    "hubble-relay",
    "hubble-ui",
)
_CILIUM_SERVICES: Final = ("cilium-agent", "cilium-envoy", "hubble-metrics", "hubble-peer", "hubble-relay", "hubble-ui")
_CILIUM_CONFIG: Final = ("cilium-config", "cilium-envoy-config", "hubble-relay-config", "hubble-ui-nginx")
# Cilium 1.19, pkg/k8s/apis/cilium.io register.go, with those of older versions.
_CILIUM_DEFINITIONS: Final = (
    *("ciliumbgpadvertisements", "ciliumbgpclusterconfigs", "ciliumbgpnodeconfigoverrides", "ciliumbgpnodeconfigs"),
    *("ciliumbgppeerconfigs", "ciliumbgppeeringpolicies", "ciliumcidrgroups", "ciliumclusterwideenvoyconfigs"),
    *("ciliumclusterwidenetworkpolicies", "ciliumegressgatewaypolicies", "ciliumegressnatpolicies"),
    *("ciliumendpoints", "ciliumendpointslices", "ciliumenvoyconfigs", "ciliumexternalworkloads"),
    *("ciliumgatewayclassconfigs", "ciliumidentities", "ciliuml2announcementpolicies", "ciliumloadbalancerippools"),
    *("ciliumlocalredirectpolicies", "ciliumnetworkpolicies", "ciliumnodeconfigs", "ciliumnodes"),
    "ciliumpodippools",
)

# Looking, the journal, backups, the lock, the baseline, bare pods, and where a failed run stands.
_ALWAYS: Final = (
    *rights("get list watch create", "pods"),
    *rights("list watch", "nodes"),
    *rights("list", "daemonsets deployments statefulsets", group="apps"),
    *rights("list", "endpointslices", group="discovery.k8s.io"),
    *rights(
        "list", "validatingwebhookconfigurations mutatingwebhookconfigurations", group="admissionregistration.k8s.io"
    ),
    *rights("list", "apiservices", group="apiregistration.k8s.io"),
    *rights("list", "*", group="cilium.io"),
    *_here("list watch create", "configmaps"),
    *_here("get update", "configmaps", names=(NAME,)),
    *_here("get list create patch delete", "secrets"),
    *_here("create", "leases", group="coordination.k8s.io"),
    *_here("get update patch", "leases", group="coordination.k8s.io", names=(NAME,)),
    *_here("watch", "daemonsets deployments", group="apps"),
    *_here("get", "daemonsets", group="apps", names=("canal", "cilium")),
    *_here("get list watch", "applicationinstallations", group="apps.kubermatic.k8c.io", names=("cilium",)),
    *_here("list", "machinedeployments", group="cluster.k8s.io"),
)
# Without these the readiness check sees less, and says so.
_VIEW: Final = (
    *rights("list", "jobs", group="batch"),
    *rights("list", "poddisruptionbudgets", group="policy"),
    *rights("list", "persistentvolumes"),
)
_POLICY_VIEW: Final = rights("list", "namespaces")

# Pods are moved, the old CNI's objects are found by their label, backed up, removed, and watched until they are gone.
_ANOTHER_CNI: Final = (
    *rights("delete", "pods"),
    *rights("list watch", "customresourcedefinitions", group=_DEFINITIONS),
    *rights("list", "*", group=_CALICO),
    *rights("list", "*", group=_ADMIN_POLICIES),
    *rights("watch", "ciliumendpoints ciliumnodes", group="cilium.io"),
    *rights("list", "networkpolicies", group="networking.k8s.io"),
    *rights("list", "poddisruptionbudgets", group="policy"),
    *rights("list watch", "clusterroles clusterrolebindings", group=_RBAC),
    *_here("list watch", "serviceaccounts"),
    *_here("watch", "poddisruptionbudgets", group="policy"),
    *_here("watch", "networkpolicies", group="networking.k8s.io"),
    *_here("patch delete", "applicationinstallations", group="apps.kubermatic.k8c.io", names=("cilium",)),
)
_REMOVE_CANAL: Final = (
    *rights("delete", "clusterroles", group=_RBAC, names=_CANAL_ROLES),
    *rights("delete", "clusterrolebindings", group=_RBAC, names=_CANAL_BINDINGS),
    *_here("delete", "configmaps", names=("canal-config",)),
    *_here("delete", "serviceaccounts", names=_CANAL_ACCOUNTS),
    *_here("delete", "daemonsets", group="apps", names=("canal",)),
    *_here("delete", "deployments", group="apps", names=(_KUBE_CONTROLLERS,)),
    *_here("delete", "poddisruptionbudgets", group="policy", names=(_KUBE_CONTROLLERS,)),
    *_here("delete", "networkpolicies", group="networking.k8s.io", names=("calico",)),
)
_REMOVE_CILIUM: Final = (
    *rights("patch", "nodes"),
    *rights("list", "namespaces"),
    *rights("watch delete", "namespaces", names=("cilium-secrets",)),
    *rights("list", "jobs", group="batch"),
    *rights("delete", "clusterroles clusterrolebindings", group=_RBAC, names=_CILIUM_ROLES),
    *_here("list watch", "services"),
    *_here("list watch", "cronjobs", group="batch"),
    # Its name ends in a checksum of the chart's, but for 1.14 to 1.18.
    *_here("watch delete", "jobs", group="batch"),
    *_here("list watch", "roles rolebindings", group=_RBAC),
    *_here("delete", "services", names=_CILIUM_SERVICES),
    *_here("delete", "configmaps", names=_CILIUM_CONFIG),
    *_here("delete", "serviceaccounts", names=_CILIUM_ACCOUNTS),
    *_here("delete", "daemonsets", group="apps", names=("cilium", "cilium-envoy")),
    *_here("delete", "deployments", group="apps", names=("cilium-operator", "hubble-relay", "hubble-ui")),
    *_here("delete", "cronjobs", group="batch", names=("hubble-generate-certs",)),
    *_here("delete", "roles rolebindings", group=_RBAC, names=_CILIUM_LOCAL_ROLES),
    *_here("delete", "networkpolicies", group="networking.k8s.io", names=("cilium",)),
)
_CANAL_CRDS: Final = rights(
    "delete",
    "customresourcedefinitions",
    group=_DEFINITIONS,
    names=(
        *(f"{plural}.{_CALICO}" for plural in _CANAL_DEFINITIONS),
        *(f"{plural}.{_ADMIN_POLICIES}" for plural in _POLICY_DEFINITIONS),
    ),
)
_CILIUM_CRDS: Final = rights(
    "delete",
    "customresourcedefinitions",
    group=_DEFINITIONS,
    names=tuple(f"{plural}.cilium.io" for plural in _CILIUM_DEFINITIONS),
)
_RESTORE_CALICO: Final = (
    *rights("get create", "*", group=_CALICO),
    *rights("get create", "*", group=_ADMIN_POLICIES),
)
# Nodes that were closed on the way to Canal are opened again, but for those whose machines are going.
_RESTORE_CILIUM: Final = (
    *rights("get create", "*", group="cilium.io"),
    *rights("patch", "nodes"),
    *_here("list", "machines", group="cluster.k8s.io"),
)
# kube-proxy, Cilium's agents and operator are rolled where KKP doesn't.
_ROLL: Final = (
    *_here("get patch", "deployments", group="apps", names=("cilium-operator",)),
    *_here("get", "daemonsets", group="apps", names=("kube-proxy",)),
    *_here("patch", "daemonsets", group="apps", names=("cilium", "kube-proxy")),
)
# The probes' namespace is made and removed by each round, so nothing can be granted inside of it.
_PROBES: Final = (
    *rights("list create", "namespaces"),
    *rights("get watch delete", "namespaces", names=("cni-migration-probes",)),
    *rights("get create", "services"),
    *rights("get create", "networkpolicies", group="networking.k8s.io"),
    *rights("watch", "endpointslices", group="discovery.k8s.io"),
)
_EVICTION: Final = rights("create", "pods/eviction")
_ROTATION: Final = (
    *_here("get watch patch", "machinedeployments", group="cluster.k8s.io"),
    *_here("list watch", "machines", group="cluster.k8s.io"),
)
_ADDITIONS: Final = {
    Runbook.CANAL_TO_CILIUM: (_REMOVE_CANAL, _CANAL_CRDS, _RESTORE_CILIUM),
    Runbook.CILIUM_TO_CANAL: (_REMOVE_CILIUM, _CILIUM_CRDS, _RESTORE_CALICO),
}
"""What is removed, its definitions, and what a revert restores, for each runbook that changes the CNI."""


def user_cluster_rights(request: MigrationRequest) -> Rights:
    """Return what one request needs."""
    found = _ALWAYS
    if request.runbook in _ADDITIONS:
        removal, definitions, restored = _ADDITIONS[request.runbook]
        found += _ANOTHER_CNI + removal
        found += definitions if request.remove_crds else ()
        found += restored if request.reverts else ()
        found += _EVICTION if request.pods.strategy is RestartStrategy.EVICT else ()
    if request.runbook is not Runbook.CANAL_TO_CILIUM or request.desired_proxy_mode is not None:
        found += _ROLL
    found += _PROBES if request.probes.enabled else ()
    found += _ROTATION if request.rotate_nodes else ()
    return tuple(dict.fromkeys(found))


def view_rights(request: MigrationRequest) -> Rights:
    """Return what only the readiness check needs, which goes on without."""
    needed = set(user_cluster_rights(request))
    view = _VIEW + (_POLICY_VIEW if request.runbook in _ADDITIONS else ())
    return tuple(access for access in view if access not in needed)
