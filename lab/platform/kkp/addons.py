"""What the default addons of the network consist of for a given Cluster. Refuses to apply or delete anything.

Source: KKP main, August 2026, addons/canal and addons/kube-proxy (docs/platform.md 6.1 and 6.2), and addons/cilium of
2.19 to 2.21 (docs/platform.md 11.2).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from lab.objects import Object
from lab.platform.kkp.cilium_addon import cilium_objects
from lab.platform.kkp.profiles import TODAY, Profile
from lab.platform.kkp.rendering import documents, render
from lab.platform.kkp.versions import minor_of

ADDON_LABEL = "kubermatic-addon"


@dataclass(frozen=True)
class CanalImages:
    """Which Calico and flannel one version of the addon runs."""

    calico: str
    flannel: str


_OLD_FLANNEL = "quay.io/coreos/flannel:v0.15.1"
# v3.19 and v3.20 are of KKP 2.19 to 2.21 (docs/platform.md 11.1), the flannel of v3.20 concluded. There is no v3.8: for
# that one the lab's addon renders empty.
CANAL_IMAGES = {
    "v3.19": CanalImages("v3.19.1", "quay.io/coreos/flannel:v0.13.0"),
    "v3.20": CanalImages("v3.20.5", _OLD_FLANNEL),
    "v3.21": CanalImages("v3.21.6", _OLD_FLANNEL),
    "v3.22": CanalImages("v3.22.4", _OLD_FLANNEL),
    "v3.23": CanalImages("v3.23.3", _OLD_FLANNEL),
    "v3.24": CanalImages("v3.24.5", _OLD_FLANNEL),
    "v3.25": CanalImages("v3.25.1", "docker.io/flannelcni/flannel:v0.16.3"),
    "v3.26": CanalImages("v3.26.1", "docker.io/flannel/flannel:v0.21.3"),
    "v3.27": CanalImages("v3.27.4", "docker.io/flannel/flannel:v0.21.3"),
    "v3.28": CanalImages("v3.28.1", "docker.io/flannel/flannel:v0.24.3"),
    "v3.29": CanalImages("v3.29.1", "docker.io/flannel/flannel:v0.24.4"),
    "v3.30": CanalImages("v3.30.3", "docker.io/flannel/flannel:v0.24.4"),
    "v3.31": CanalImages("v3.31.3", "docker.io/flannel/flannel:v0.24.4"),
}


def addon_objects(addon: str, cluster: Object, *, profile: Profile = TODAY) -> list[Object]:
    """Return the objects of an addon for this cluster, labelled; none for an addon that the lab does not know.

    The templates of a CNI render empty unless it *is* the cluster's CNI, which is why KKP orphans it
    (docs/platform.md 3.2 and 11.2). kube-proxy's have no such condition.
    """
    templates = {"canal": _canal, "cilium": cilium_objects, "kube-proxy": _kube_proxy}
    objects = templates.get(addon, _nothing)(cluster, profile)
    for found in objects:
        found["metadata"]["labels"] = {**(found["metadata"].get("labels") or {}), ADDON_LABEL: addon}
    return objects


def _nothing(_cluster: Object, _profile: Profile) -> list[Object]:
    return []


def _canal(cluster: Object, _profile: Profile) -> list[Object]:
    cni = cluster["spec"].get("cniPlugin") or {}
    images = CANAL_IMAGES.get(cni.get("version", ""))
    if cni.get("type") != "canal" or images is None:
        return []
    conditions = {known for known in CANAL_IMAGES if minor_of(known) <= minor_of(cni["version"])}
    if (cluster["spec"].get("features") or {}).get("kubeSystemNetworkPolicies"):
        conditions.add("kube-system-network-policies")
    pod_cidr = cluster["spec"]["clusterNetwork"]["pods"]["cidrBlocks"][0]
    values = {"calico": images.calico, "flannel": images.flannel, "pod_cidr": pod_cidr}
    return [*_canal_definitions(cni["version"]), *render("canal", values, conditions)]


def _canal_definitions(version: str) -> list[Object]:
    (entries,) = documents("canal-definitions")
    return [_definition(entry) for entry in entries if minor_of(entry.get("since", "v3.0")) <= minor_of(version)]


def _definition(entry: dict[str, Any]) -> Object:
    group, kind = entry.get("group", "crd.projectcalico.org"), entry["kind"]
    names = {"plural": entry["plural"], "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    version = {"name": entry.get("version", "v1"), "schema": {"openAPIV3Schema": _schema(entry)}}
    if "subresources" in entry:
        version["subresources"] = entry["subresources"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{entry['plural']}.{group}", "annotations": entry.get("annotations") or {}},
        "spec": {
            "group": group,
            "scope": entry.get("scope", "Cluster"),
            "names": {**names, **({"shortNames": entry["short"]} if "short" in entry else {})},
            "versions": [{**version, "served": True, "storage": True}],
        },
    }


def _schema(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a definition: what the data file says of `spec`, and that everything else there is kept."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    text = {"type": "string"}
    fields = {"apiVersion": text, "kind": text, "metadata": {"type": "object"}}
    return {
        "type": "object",
        "properties": {**fields, "spec": {**anything, **entry.get("spec", {})}, "status": anything},
        **({"required": entry["required"]} if "required" in entry else {}),
    }


def _kube_proxy(cluster: Object, profile: Profile) -> list[Object]:
    network = cluster["spec"]["clusterNetwork"]
    values = {
        "kubernetes": cluster["status"]["versions"]["controlPlane"],
        "url": cluster["status"]["address"]["url"],
        "cluster_cidr": ",".join(network["pods"]["cidrBlocks"]),
        "strict_arp": json.dumps(bool((network.get("ipvs") or {}).get("strictArp"))),
        "proxy_mode": network["proxyMode"],
        "checksum": _network_checksum(cluster),
    }
    return render("kube-proxy", values, profile.traits)


def _network_checksum(cluster: Object) -> str:
    """Return what makes the pods roll when the network settings change (KKP pkg/addon/types.go ConfigHash)."""
    network = cluster["spec"]["clusterNetwork"]
    hashed = {
        "DNSDomain": network.get("dnsDomain"),
        "PodCIDRBlocks": network["pods"]["cidrBlocks"],
        "ServiceCIDRBlocks": network["services"]["cidrBlocks"],
        "ProxyMode": network["proxyMode"],
        "StrictArp": (network.get("ipvs") or {}).get("strictArp"),
        "DualStack": network.get("ipFamily") == "IPv4+IPv6",
        "NodeCIDRMaskSizeIPv4": network.get("nodeCidrMaskSizeIPv4"),
        "NodeCIDRMaskSizeIPv6": network.get("nodeCidrMaskSizeIPv6"),
    }
    return hashlib.sha1(json.dumps(hashed).encode(), usedforsecurity=False).hexdigest()
