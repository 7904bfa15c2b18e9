"""Kubernetes NetworkPolicies, ingress only: may this pod be reached by that one? Pure.

Refuses to look at ports (a rule for any port counts as open) and at egress rules.
https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from lab.network.reachability import Place
from lab.objects import Object


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod as policies see it."""

    namespace: str
    namespace_labels: Mapping[str, str]
    labels: Mapping[str, str]
    address: str
    place: Place


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


def allows_ingress(policies: Iterable[Object], *, source: Peer, target: Peer) -> bool:
    """Tell whether the policies of the target's namespace let the source in.

    The host's network is under no policy, and a node always reaches its own pods.
    """
    if target.place.cni is None or (source.place.cni is None and source.place.node == target.place.node):
        return True
    selecting = [policy["spec"] for policy in policies if _isolates(policy["spec"], target)]
    return not selecting or any(_lets_in(spec, source, target) for spec in selecting)


def _isolates(spec: Mapping[str, Any], target: Peer) -> bool:
    types = spec.get("policyTypes") or ["Ingress"]
    return "Ingress" in types and are_labels_selected(spec.get("podSelector") or {}, target.labels)


def _lets_in(spec: Mapping[str, Any], source: Peer, target: Peer) -> bool:
    for rule in spec.get("ingress") or ():
        allowed = rule.get("from")
        if not allowed or any(_is_peer(peer, source, target) for peer in allowed):
            return True
    return False


def _is_peer(peer: Mapping[str, Any], source: Peer, target: Peer) -> bool:
    if "ipBlock" in peer:
        return _is_in_block(peer["ipBlock"], source, target)
    if source.place.cni is None:
        return False
    if "namespaceSelector" in peer:
        if not are_labels_selected(peer["namespaceSelector"] or {}, source.namespace_labels):
            return False
    elif source.namespace != target.namespace:
        return False
    return are_labels_selected(peer.get("podSelector") or {}, source.labels)


def _is_in_block(block: Mapping[str, Any], source: Peer, target: Peer) -> bool:
    """Cilium never matches pods by address (docs/platform.md 5.6); Canal matches whatever the address is."""
    if target.place.cni == "cilium" and source.place.cni is not None:
        return False
    if not source.address:
        return False
    address = ip_address(source.address)
    inside = address in ip_network(block["cidr"], strict=False)
    return inside and not any(address in ip_network(hole, strict=False) for hole in block.get("except") or ())
