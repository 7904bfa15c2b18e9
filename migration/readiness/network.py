"""The pod network: tunnels, address ranges, and what else has a hand in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_network

from migration.asking import is_replacing_nodes, is_under_way, may_keep_cni_file, new_cni
from migration.manifest_findings import manifest_findings
from migration.models import CniType, Finding, MigrationRequest
from migration.patches import removal_values, tunnel_port
from migration.readiness.codes import blocker, info, warning
from migration.restart import needs_network
from migration.survey import ClusterSurvey
from migration.versions import DEFAULT_TUNNEL_PORT, FLANNEL_VXLAN_PORT

# What a node keeps of its range for itself: network, broadcast, gateway; Cilium's router and health endpoint.
KEPT_ADDRESSES = 4
# KKP 2.31, CNI controller: the chaining that it sets itself, for host ports.
_OWN_CHAINING = ("", "none", "portmap")


def tunnels(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find both tunnels on one port, and tell which port the firewalls have to let through (docs/platform.md 5.1)."""
    if new_cni(request) is CniType.CILIUM and request.tunnel_port == FLANNEL_VXLAN_PORT:
        # cilium/cilium#8990: the agent crashes next to flannel.1 on the same port.
        yield blocker(
            "tunnel-port-clash",
            f"tunnel port {request.tunnel_port}",
            "Canal's flannel uses the same VXLAN port on every node",
            "Leave the tunnel port on automatic, or choose another one and open it between the nodes.",
        )
    elif new_cni(request) is CniType.CILIUM:
        yield info(
            "tunnel-port",
            f"UDP port {request.tunnel_port or DEFAULT_TUNNEL_PORT}",
            "Cilium's tunnel uses it between the nodes, and no API tells whether a firewall lets it through",
            "Make sure that security groups and firewalls allow it from node to node.",
        )
    values = survey.application.values if survey.application else None
    if new_cni(request) is CniType.CANAL and values is not None and tunnel_port(values) == FLANNEL_VXLAN_PORT:
        port = tunnel_port(removal_values(values, uninstall=False))
        yield info(
            "tunnel-port-moves",
            f"UDP port {port}",
            f"Cilium's tunnel is on {FLANNEL_VXLAN_PORT}, where Canal's flannel will be: it is moved first, which "
            "interrupts traffic between nodes for some seconds as its agents restart",
            f"Make sure that security groups and firewalls allow {port} and {FLANNEL_VXLAN_PORT} from node to node.",
        )


def old_cni(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find what speaks against taking out the CNI that is to go, or against what is left of the one to come."""
    if survey.old_cni is not None:
        yield from manifest_findings(survey.old_cni)
    if is_under_way(survey, request):
        return
    is_left_over = survey.application is not None and survey.cluster.cni.type is CniType.CANAL
    if new_cni(request) is CniType.CILIUM and is_left_over:
        yield info(
            "stale-cilium",
            "ApplicationInstallation kube-system/cilium",
            "an earlier Cilium was never uninstalled, and KKP would not install it again",
            "Nothing to do: it is removed before the switch.",
        )
    if new_cni(request) is CniType.CANAL and survey.cluster.cni.type is CniType.CILIUM:
        yield from _leaving_cilium(survey)


def _leaving_cilium(survey: ClusterSurvey) -> Iterable[Finding]:
    if not survey.endpoints and any(needs_network(pod) for pod in survey.pods):
        yield blocker(
            "no-cilium-endpoints",
            f"Cluster {survey.cluster.name}",
            "it is on Cilium, but no pod has a CiliumEndpoint: its pods are on another CNI, or on none",
            "Find out who gave them their network before you take anything out; finish an earlier migration first.",
        )
    if may_keep_cni_file(survey):
        yield warning(
            "pods-move-with-nodes",
            f"Cluster {survey.cluster.name}",
            "Cilium was always without kube-proxy here, and KKP won't let its agents take their CNI file along",
            "Pods are not restarted but move as their nodes are replaced: the outage lasts until the last one is.",
        )
    chaining = str(
        (((survey.application and survey.application.values) or {}).get("cni") or {}).get("chainingMode", "")
    )
    if chaining not in _OWN_CHAINING:
        yield warning(
            "cilium-chaining",
            f"chaining mode {chaining}",
            "Cilium is chained to another CNI, which gives the pods their addresses",
            "Find out who else configures the network: Canal doesn't know of it.",
        )


def surroundings(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find what a change of CNI has to be told to people about."""
    if request.probes.enabled:
        yield info(
            "probe-image",
            request.probes.image,
            "whether nodes can pull it can't be known beforehand",
            "In an air-gapped site name a copy of it in a registry that they reach.",
        )
    if new_cni(request) is None:
        return
    if len({":" in cidr for cidr in survey.cluster.pod_cidrs}) > 1:
        yield info(
            "dual-stack",
            f"Cluster {survey.cluster.name}",
            "pods have addresses of both families",
            "Both are migrated; look at both afterwards.",
        )
    if survey.multus:
        yield warning(
            "multus",
            "Multus",
            "pods may have further interfaces, which name the CNI that they are made by",
            "Look through the NetworkAttachmentDefinitions, and restart Multus once the new CNI runs.",
        )
    if new_cni(request) is CniType.CILIUM and "kubeSystemNetworkPolicies" in survey.cluster.features:
        yield warning(
            "hubble-blocked",
            f"Cluster {survey.cluster.name}",
            "its feature kubeSystemNetworkPolicies denies what no rule allows in kube-system, and none is for Hubble",
            "The job hubble-generate-certs may hang, and Helm with it: allow it by a NetworkPolicy of your own.",
        )


def ranges(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find too few node ranges, or too small ones, in the pods' range, from which both CNIs give them out."""
    masks = dict(survey.cluster.node_mask_bits)
    four = [ip_network(cidr, strict=False) for cidr in survey.cluster.pod_cidrs if ":" not in cidr]
    if not four or 4 not in masks:
        return
    is_replacing = is_replacing_nodes(survey, request)
    wanted = max(len(survey.nodes), survey.cilium_nodes) + _surge_to_come(survey, request, is_replacing=is_replacing)
    there = sum(2 ** (masks[4] - found.prefixlen) for found in four if masks[4] >= found.prefixlen)
    if wanted > there:
        make, advice = (
            (warning, "Nodes that are drained give theirs back. If the rotation stands still, see which has none.")
            if is_replacing
            else (blocker, "Remove nodes, or run with rotate_nodes off: a node without a range starts no pod.")
        )
        yield make(
            "pod-ranges-short",
            ", ".join(map(str, four)),
            f"it has {there} ranges for nodes, and {wanted} are needed (nodes, and those that replace them)",
            advice,
        )
    room = 2 ** (32 - masks[4]) - KEPT_ADDRESSES
    used = Counter(pod.node for pod in survey.pods if needs_network(pod))
    if full := sorted(node for node, count in used.items() if node and count > room):
        yield warning(
            "node-range-short",
            f"Node {full[0]}" + (f" and {len(full) - 1} more" if len(full) > 1 else ""),
            f"it has {used[full[0]]} pods on the pod network, and a node's range has room for {room}",
            "Spread the pods over more nodes: some won't get an address from the new CNI.",
        )


def _surge_to_come(survey: ClusterSurvey, request: MigrationRequest, *, is_replacing: bool) -> int:
    """Return how many more nodes there may be during the rotation, without those that it has brought already."""
    if not request.rotate_nodes:
        return 0
    rolling = [deployment for deployment in survey.machine_deployments if deployment.replicas]
    surge = sum(deployment.surge for deployment in rolling)
    if not is_replacing:
        return surge
    owned = sum(node.owned_by_machine for node in survey.nodes)
    return max(0, surge - max(0, owned - sum(deployment.replicas for deployment in rolling)))


RULES = (tunnels, old_cni, surroundings, ranges)
