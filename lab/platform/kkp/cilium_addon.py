"""What the addon `cilium` of KKP 2.19 to 2.21 consists of for a given Cluster. Refuses to apply or delete anything.

Source: KKP addons/cilium/cilium_v1.11.yaml and cilium_v1.12.yaml (docs/platform.md 11.2). Hubble is an addon of its own
there, which the lab has not.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from lab.objects import Object
from lab.platform.kkp.profiles import Profile
from lab.platform.kkp.rendering import OMIT, render

CILIUM_IMAGES = {"v1.11": "v1.11.16", "v1.12": "v1.12.8"}
"""v1.11 as of KKP 2.20.16 (docs/changelogs/CHANGELOG-2.20.md); the patch of v1.12 is concluded."""
_HTTPS_PORT = 443


def cilium_objects(cluster: Object, _profile: Profile) -> list[Object]:
    """Return the objects of the addon; none unless the cluster's CNI is a Cilium that the addon has."""
    cni, network = cluster["spec"].get("cniPlugin") or {}, cluster["spec"]["clusterNetwork"]
    image = CILIUM_IMAGES.get(cni.get("version", ""))
    if cni.get("type") != "cilium" or image is None:
        return []
    replaces = network["proxyMode"] == "ebpf"
    server = urlsplit(cluster["status"]["address"]["url"])
    values = {
        "image": image,
        "replacement": "strict" if replaces else "disabled",
        "pod_cidr": next(block for block in network["pods"]["cidrBlocks"] if ":" not in block),
        "mask_size": str(network.get("nodeCidrMaskSizeIPv4", 24)),
        # These two are all that a change to or from ebpf changes in the pods' templates, and so restarts every pod.
        "api_host": _variable("KUBERNETES_SERVICE_HOST", server.hostname or "", is_set=replaces),
        "api_port": _variable("KUBERNETES_SERVICE_PORT", str(server.port or _HTTPS_PORT), is_set=replaces),
    }
    features = cluster["spec"].get("features") or {}
    conditions = ("kube-system-network-policies",) if features.get("kubeSystemNetworkPolicies") else ()
    return render("cilium-addon", values, conditions)


def _variable(name: str, value: str, *, is_set: bool) -> object:
    return {"name": name, "value": value} if is_set else OMIT
