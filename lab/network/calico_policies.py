"""Calico's NetworkPolicies and GlobalNetworkPolicies, which Canal's agent enforces and Cilium does not read. Pure.

https://docs.tigera.io/calico/latest/reference/resources/networkpolicy. Left out: tiers (there is the default one),
service accounts and Services in rules (such a rule fits nothing), host endpoints, ICMP and HTTP matches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.network.calico_selectors import Labels, Selector, parsed
from lab.network.flows import Direction, Flow, Peer, Verdict
from lab.network.policies import is_inside, network
from lab.network.reachability import Cni
from lab.objects import Object, name_of, namespace_of

_CANAL = frozenset({Cni.CANAL})
_ACTIONS = {"Allow": Verdict.ALLOW, "Deny": Verdict.DENY, "Pass": Verdict.PASS}
_PROTOCOLS = {6: "TCP", 17: "UDP", 132: "SCTP"}
_NOT_KNOWN = ("serviceAccounts", "services", "domains")
_FOR_HOST_ENDPOINTS = ("preDNAT", "doNotTrack", "applyOnForward")


@dataclass(frozen=True)
class _Side:
    """The source or the destination of a rule."""

    namespace: str
    """Where pods have to be, empty for anywhere."""
    selector: Selector | None
    no_selector: Selector | None
    namespaces: Selector | None
    nets: tuple[str, ...]
    not_nets: tuple[str, ...]
    ports: tuple[Any, ...]
    not_ports: tuple[Any, ...]
    is_known: bool

    def fits(self, peer: Peer, port: int | None, action: Verdict) -> bool:
        """Tell whether the peer, and the port if one is asked for, are those of the rule."""
        if not self.is_known or not self._fits_pod(peer):
            return False
        if self.nets and not any(is_inside(peer.address, cidr) for cidr in self.nets):
            return False
        if any(is_inside(peer.address, cidr) for cidr in self.not_nets):
            return False
        return self._fits_port(port, action)

    def _fits_pod(self, peer: Peer) -> bool:
        if self.selector is None and self.no_selector is None and self.namespaces is None:
            return True
        if peer.cni is None or (self.namespace and peer.namespace != self.namespace):
            return False
        labels = _labels(peer)
        if self.namespaces is not None and not self.namespaces(_namespace_labels(peer)):
            return False
        if self.no_selector is not None and self.no_selector(labels):
            return False
        return self.selector is None or self.selector(labels)

    def _fits_port(self, port: int | None, action: Verdict) -> bool:
        if not self.ports and not self.not_ports:
            return True
        if port is None:
            return action is not Verdict.DENY
        return (not self.ports or _is_among(port, self.ports)) and not _is_among(port, self.not_ports)


@dataclass(frozen=True)
class _Rule:
    action: Verdict
    protocol: str
    source: _Side
    destination: _Side

    def fits(self, flow: Flow) -> bool:
        """Tell whether the rule is about this flow."""
        if self.protocol and self.protocol != flow.protocol:
            return False
        return self.source.fits(flow.source, None, self.action) and self.destination.fits(
            flow.target, flow.port, self.action
        )


@dataclass(frozen=True)
class CalicoPolicy:
    """A NetworkPolicy, or without a namespace a GlobalNetworkPolicy, of crd.projectcalico.org."""

    name: str
    namespace: str
    order: float
    directions: frozenset[Direction]
    selector: Selector
    namespaces: Selector
    rules: Mapping[Direction, tuple[_Rule, ...]]
    cnis: frozenset[Cni] = _CANAL

    def selects(self, subject: Peer, direction: Direction) -> bool:
        """Tell whether the pod is under this policy."""
        if direction not in self.directions or (self.namespace and self.namespace != subject.namespace):
            return False
        return self.selector(_labels(subject)) and self.namespaces(_namespace_labels(subject))

    def verdict(self, flow: Flow, direction: Direction) -> Verdict | None:
        """Return the action of the first rule that fits. Pass leaves the only tier, behind which all is open."""
        return next((rule.action for rule in self.rules[direction] if rule.fits(flow)), None)


def calico_policies(found: Object) -> list[CalicoPolicy]:
    """Return the policy that an object is, none for one about host endpoints; raises ValueError for what is not one."""
    spec, namespace = found["spec"], namespace_of(found)
    if any(spec.get(field) for field in _FOR_HOST_ENDPOINTS):
        return []
    order = spec.get("order")
    rules = {
        direction: tuple(
            _rule(rule, namespace) for rule in spec.get(direction.lower()) or () if rule["action"] != "Log"
        )
        for direction in Direction
    }
    return [
        CalicoPolicy(
            name=f"{namespace}/{name_of(found)}",
            namespace=namespace,
            order=math.inf if order is None else float(order),
            directions=_directions(spec),
            selector=parsed(spec.get("selector") or ""),
            namespaces=parsed(spec.get("namespaceSelector") or ""),
            rules=rules,
        )
    ]


def _directions(spec: Mapping[str, Any]) -> frozenset[Direction]:
    """Return what `types` says; without it, what there are rules for, ingress at least."""
    if spec.get("types"):
        return frozenset(Direction(kind) for kind in spec["types"])
    if spec.get("egress"):
        return frozenset(Direction) if spec.get("ingress") else frozenset({Direction.EGRESS})
    return frozenset({Direction.INGRESS})


def _rule(rule: Mapping[str, Any], namespace: str) -> _Rule:
    protocol = rule.get("protocol", "")
    return _Rule(
        action=_ACTIONS[rule["action"]],
        protocol=_PROTOCOLS.get(protocol, str(protocol)).upper(),
        source=_side(rule.get("source") or {}, namespace),
        destination=_side(rule.get("destination") or {}, namespace),
    )


def _side(side: Mapping[str, Any], namespace: str) -> _Side:
    def selector(field: str) -> Selector | None:
        return parsed(side[field]) if side.get(field) else None

    for cidr in (*(side.get("nets") or ()), *(side.get("notNets") or ())):
        network(cidr)
    return _Side(
        namespace="" if side.get("namespaceSelector") else namespace,
        selector=selector("selector"),
        no_selector=selector("notSelector"),
        namespaces=selector("namespaceSelector"),
        nets=tuple(side.get("nets") or ()),
        not_nets=tuple(side.get("notNets") or ()),
        ports=tuple(side.get("ports") or ()),
        not_ports=tuple(side.get("notPorts") or ()),
        is_known=not any(side.get(field) for field in _NOT_KNOWN),
    )


def _is_among(port: int, ports: tuple[Any, ...]) -> bool:
    """Tell whether a port is one of these numbers and ranges `first:last`; names count as fitting."""
    for allowed in ports:
        first, _, last = str(allowed).partition(":")
        if not first.isdecimal() or int(first) <= port <= int(last or first):
            return True
    return False


def _labels(peer: Peer) -> Labels:
    """Return a pod's labels as Calico sees them, which adds two of its own."""

    def label(key: str) -> str | None:
        if key == "projectcalico.org/namespace":
            return peer.namespace or None
        if key == "projectcalico.org/orchestrator":
            return "k8s"
        return peer.labels.get(key)

    return label


def _namespace_labels(peer: Peer) -> Labels:
    def label(key: str) -> str | None:
        return peer.namespace if key == "projectcalico.org/name" else peer.namespace_labels.get(key)

    return label
