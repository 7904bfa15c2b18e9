"""What of a manifest may be removed with the old CNI, in which order, and what stays for which reason.

A manifest is a list of names that somebody gave: it is believed only as far as the names are the old CNI's own. One
that names what KKP needs, or the CNI that the cluster is to run, is refused as a whole: it is not the right one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from migration.errors import InvalidRequest
from migration.manifests import Manifested
from migration.models import CniType, Finding, Severity
from migration.text import listing

NAMESPACE: Final = "kube-system"
"""Where objects are whose manifest says no namespace, as what `helm template` renders may."""
DEFINITION: Final = "CustomResourceDefinition"
ADDON_LABEL: Final = "kubermatic-addon"
RELEASE_ANNOTATION: Final = "meta.helm.sh/release-name"

LEAVES: Final = "manifest-leaves"

_RBAC: Final = "rbac.authorization.k8s.io"
# Workloads first, so that nothing runs without its rights; then what leads to them, configuration, rights, accounts.
# Kinds: canal.yaml of Calico 3.21 to 3.31, and `helm template` of Cilium's charts 1.11 to 1.19.
_ORDER: Final = (
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("", "Service"),
    ("networking.k8s.io", "Ingress"),
    ("policy", "PodDisruptionBudget"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("", "ConfigMap"),
    ("", "Secret"),
    ("", "ResourceQuota"),
    ("cert-manager.io", "Certificate"),
    ("monitoring.coreos.com", "ServiceMonitor"),
    ("monitoring.coreos.com", "PodMonitor"),
    ("monitoring.coreos.com", "PrometheusRule"),
    ("networking.k8s.io", "IngressClass"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    (_RBAC, "RoleBinding"),
    (_RBAC, "ClusterRoleBinding"),
    (_RBAC, "Role"),
    (_RBAC, "ClusterRole"),
    ("", "ServiceAccount"),
)
_PLACES: Final = {kind: place for place, kind in enumerate(_ORDER)}
_CLUSTER_SCOPED: Final = frozenset({"IngressClass", "GatewayClass", "ClusterRoleBinding", "ClusterRole"})
GROUPS: Final = frozenset(group for group, _ in _ORDER)
"""The API groups of what can be removed, definitions apart."""
BUILT_IN_GROUPS: Final = frozenset({"", "apps", "batch", "networking.k8s.io", "policy", _RBAC})

_WORDS: Final = {
    CniType.CANAL: ("canal", "calico", "flannel"),
    CniType.CILIUM: ("cilium", "hubble", "clustermesh"),
    CniType.NONE: (),
}
_DEFINED: Final = {
    CniType.CANAL: ("crd.projectcalico.org", "policy.networking.k8s.io"),
    CniType.CILIUM: ("cilium.io",),
    CniType.NONE: (),
}
# docs/platform.md 6.2, 6.4; KKP 2.31, pkg/controller/user-cluster-controller-manager/resources.
_PLATFORM: Final = re.compile(
    r"(coredns|kube-dns|kube-proxy|konnectivity|metrics-server|user-ssh-keys-agent|node-local-dns|envoy-agent"
    r"|openvpn-client|dashboard-metrics-scraper|kubernetes-dashboard|kube-state-metrics|machine-controller"
    r"|operating-system-manager|kubermatic|kkp|cni-migration|csi)([-.:_].*)?|(system|kubeadm):.*"
)
_PLATFORM_GROUPS: Final = re.compile(r"(.*\.)?(k8c\.io|cluster\.k8s\.io|machine\.k8s\.io|operatingsystemmanager.*)")
# Cilium's charts: what `helm template` makes itself, and what the certificate jobs write.
_CERTIFICATES: Final = re.compile(r"cilium-ca|(hubble|clustermesh)-[a-z-]+-(cert|certs|secret)|hubble-ca-secret")
_CLUSTER_S_OWN: Final = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_NEVER: Final = {
    "Namespace": "a Namespace is never removed, for everything in it would go along",
    "Node": "a Node is never removed",
    "PersistentVolume": "storage is never removed",
    "PersistentVolumeClaim": "storage is never removed",
    "Pod": "pods go with what made them",
}


@dataclass(frozen=True)
class Refused:
    """An object of a manifest that stays, and why."""

    what: Manifested
    reason: str


@dataclass(frozen=True)
class RemovalPlan:
    """What of a manifest is to be removed, in this order; definitions last, and only if they were asked for."""

    old_cni: CniType
    objects: tuple[Manifested, ...]
    definitions: tuple[Manifested, ...]
    refused: tuple[Refused, ...]


def removal_plan(
    manifested: Sequence[Manifested], *, old_cni: CniType, source: str, default_namespace: str = NAMESPACE
) -> RemovalPlan:
    """Return what to remove of what a manifest names. Raises InvalidRequest if it can't be the old CNI's."""
    _require_right_one(manifested, old_cni, source)
    objects, definitions, refused = set(), set(), []
    for what in manifested:
        if reason := _why_it_stays(what, old_cni):
            refused.append(Refused(what, reason))
        elif what.kind == DEFINITION:
            definitions.add(replace(what, namespace=""))
        else:
            namespace = "" if what.kind in _CLUSTER_SCOPED else what.namespace or default_namespace
            objects.add(replace(what, namespace=namespace))
    ordered = sorted(objects, key=lambda item: (_PLACES[item.group, item.kind], item.namespace, item.name))
    return RemovalPlan(old_cni, tuple(ordered), tuple(sorted(definitions, key=lambda item: item.name)), tuple(refused))


def another_owner(
    *, labels: Mapping[str, str], annotations: Mapping[str, str], controllers: Sequence[str], old_cni: CniType
) -> str | None:
    """Return to whom an object of the cluster belongs, if that is not the old CNI; controllers as `Kind name`."""
    if controllers:
        return f"{controllers[0]} controls it"
    addon = labels.get(ADDON_LABEL)
    if addon is not None and addon != old_cni:
        return f"it is of KKP's addon {addon}"
    release = annotations.get(RELEASE_ANNOTATION)
    if release is not None and not is_named_for(release.removeprefix(f"{NAMESPACE}-"), old_cni):
        return f"it is of the Helm release {release}"
    return None


def _require_right_one(manifested: Sequence[Manifested], old_cni: CniType, source: str) -> None:
    if of_platform := [str(what) for what in manifested if _is_of_the_platform(what)]:
        raise InvalidRequest(
            f"manifest {source} names {listing(of_platform)}, which KKP needs and keeps: nothing of it is removed. "
            f"Name a manifest that has objects of {old_cni} alone"
        )
    others = [cni for cni in _WORDS if cni is not old_cni]
    workloads = [what for what in manifested if what.is_workload]
    of_others = [str(what) for what in workloads if any(is_named_for(what.name, cni) for cni in others)]
    if of_others:
        raise InvalidRequest(
            f"manifest {source} names {listing(of_others)}, which is not of {old_cni}: nothing of it is removed. "
            f"Name the manifest that {old_cni} was installed from"
        )


def _is_of_the_platform(what: Manifested) -> bool:
    if what.kind == "Namespace":
        return False  # stays in any case, and many manifests name theirs
    if what.kind == DEFINITION:
        return _PLATFORM_GROUPS.fullmatch(_group_defined(what)) is not None
    return _PLATFORM.fullmatch(what.name) is not None


def _why_it_stays(what: Manifested, old_cni: CniType) -> str | None:
    if what.kind in _NEVER:
        return _NEVER[what.kind]
    if (what.group, what.kind) == ("apiextensions.k8s.io", DEFINITION):
        return None if _group_defined(what) in _DEFINED[old_cni] else f"it defines nothing of {old_cni}"
    if what.group in _DEFINED[old_cni]:
        return "it goes with its definition, if at all"
    if (what.group, what.kind) not in _PLACES:
        return f"{old_cni} brings no {what.kind}"
    if what.kind == "Secret" and not (old_cni is CniType.CILIUM and _CERTIFICATES.fullmatch(what.name)):
        return f"it is no certificate of {old_cni}"
    return None if is_named_for(what.name, old_cni) else f"its name is not one of {old_cni}'s"


def _group_defined(what: Manifested) -> str:
    """Return the group of what a definition defines, which its name has behind the plural."""
    return what.name.partition(".")[2]


def is_named_for(name: str, cni: CniType) -> bool:
    """Tell whether an object has the name of a CNI: one of its words, and what hangs on it."""
    return any(re.fullmatch(rf"{word}([-.:_].*)?", name) for word in _WORDS[cni])


def left_behind(what: Manifested, reason: str) -> Finding:
    """Return the finding of an object that a manifest names and that stays."""
    advice = "If it is the old CNI's all the same, remove it by hand once the migration is over."
    if what.kind == "Namespace" and what.name not in _CLUSTER_S_OWN:
        advice = f"Once it is empty, remove it by hand: kubectl delete namespace {what.name}."
    elif what.kind in _NEVER:
        advice = "It is left as it is."
    elif what.kind == DEFINITION:
        advice = "If nobody needs its objects, which are in the backup, remove them and then it by hand."
    return Finding(code=LEAVES, severity=Severity.INFO, subject=str(what), seen=f"it stays: {reason}", advice=advice)
