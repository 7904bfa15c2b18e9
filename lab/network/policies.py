"""Kubernetes NetworkPolicies, as both CNIs enforce them. Pure.

https://kubernetes.io/docs/concepts/services-networking/network-policies/. Named ports count as open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from lab.network.flows import Direction, Flow, Peer, Verdict
from lab.network.reachability import Cni
from lab.objects import Object, name_of, namespace_of

KUBERNETES_ORDER = 1000.0
"""Where Calico puts Kubernetes' policies among its own (libcalico-go, conversion of NetworkPolicy)."""
BOTH = frozenset(Cni)
_PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}


def are_labels_selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a LabelSelector selects these labels; an empty one selects everything."""
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_is_met(expression, labels) for expression in selector.get("matchExpressions") or ())


def _is_met(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    present = expression["key"] in labels
    among = labels.get(expression["key"]) in (expression.get("values") or ())
    return {
        "In": present and among,
        "NotIn": not (present and among),
        "Exists": present,
        "DoesNotExist": not present,
    }.get(expression["operator"], False)


@lru_cache(maxsize=4096)
def network(cidr: str) -> IPv4Network | IPv6Network:
    """Return a CIDR read; raises ValueError."""
    return ip_network(cidr, strict=False)


def is_inside(address: str, cidr: str) -> bool:
    """Tell whether an address lies in a CIDR; none lies in any."""
    return bool(address) and ip_address(address) in network(cidr)


@dataclass(frozen=True)
class KubernetesPolicy:
    """A NetworkPolicy of networking.k8s.io."""

    name: str
    namespace: str
    directions: frozenset[Direction]
    spec: Mapping[str, Any]
    order: float = KUBERNETES_ORDER
    cnis: frozenset[Cni] = BOTH

    def selects(self, subject: Peer, direction: Direction) -> bool:
        """Tell whether the pod is under this policy."""
        return (
            direction in self.directions
            and subject.namespace == self.namespace
            and are_labels_selected(self.spec.get("podSelector") or {}, subject.labels)
        )

    def verdict(self, flow: Flow, direction: Direction) -> Verdict | None:
        """Return Allow when a rule fits; a NetworkPolicy never denies by a rule."""
        rules = self.spec.get(direction.lower()) or ()
        return Verdict.ALLOW if any(self._allows(rule, flow, direction) for rule in rules) else None

    def _allows(self, rule: Mapping[str, Any], flow: Flow, direction: Direction) -> bool:
        if not _is_port_among(rule.get("ports") or (), flow):
            return False
        peers = rule.get(_PEERS[direction])
        return not peers or any(self._is_peer(peer, flow, direction) for peer in peers)

    def _is_peer(self, peer: Mapping[str, Any], flow: Flow, direction: Direction) -> bool:
        other = flow.other(direction)
        if "ipBlock" in peer:
            return _is_in_block(peer["ipBlock"], other, seen_by=flow.subject(direction).cni)
        if other.cni is None:
            return False
        if "namespaceSelector" in peer:
            if not are_labels_selected(peer["namespaceSelector"] or {}, other.namespace_labels):
                return False
        elif other.namespace != self.namespace:
            return False
        return are_labels_selected(peer.get("podSelector") or {}, other.labels)


def kubernetes_policies(found: Object) -> list[KubernetesPolicy]:
    """Return the policy that a NetworkPolicy is; raises ValueError for an address block that is none."""
    spec = found["spec"]
    kinds = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for peer in (*(rule.get("from") or ()), *(rule.get("to") or ())):
            if "ipBlock" in peer:
                network(peer["ipBlock"]["cidr"])
    return [KubernetesPolicy(name_of(found), namespace_of(found), frozenset(Direction(kind) for kind in kinds), spec)]


def _is_port_among(ports: Any, flow: Flow) -> bool:
    if not ports or flow.port is None:
        return True
    return any(port.get("protocol", "TCP") == flow.protocol and _is_port(port, flow.port) for port in ports)


def _is_port(allowed: Mapping[str, Any], port: int) -> bool:
    first = allowed.get("port")
    if first is None or not isinstance(first, int):
        return True
    return first <= port <= int(allowed.get("endPort", first))


def _is_in_block(block: Mapping[str, Any], other: Peer, *, seen_by: Cni | None) -> bool:
    """Cilium matches nothing of the cluster by address (docs/platform.md 5.6); Canal whatever the address is."""
    if seen_by is Cni.CILIUM and other.place is not None:
        return False
    if not is_inside(other.address, block["cidr"]):
        return False
    return not any(is_inside(other.address, hole) for hole in block.get("except") or ())
