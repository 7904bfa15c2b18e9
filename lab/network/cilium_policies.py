"""CiliumNetworkPolicies and CiliumClusterwideNetworkPolicies, which Canal does not read. Pure.

https://docs.cilium.io/en/stable/security/policy/. Left out: node selectors, what is above TCP and UDP, Services, DNS
names and groups as peers (such a rule allows nobody), and `enableDefaultDeny`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.network.flows import Direction, Flow, Peer, Verdict
from lab.network.policies import are_labels_selected, is_inside, network
from lab.network.reachability import Cni
from lab.objects import Object, name_of, namespace_of

_CILIUM = frozenset({Cni.CILIUM})
_NAMESPACE = "io.kubernetes.pod.namespace"
_NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels."
_SOURCES = ("k8s:", "any:")
_PEERS = ("Endpoints", "CIDR", "CIDRSet", "Entities", "Services", "FQDNs", "Groups", "Nodes")


@dataclass(frozen=True)
class CiliumPolicy:
    """One rule of a policy, of the namespace if it has one; `selector` and rules are as in the object."""

    name: str
    namespace: str
    selector: Mapping[str, Any]
    spec: Mapping[str, Any]
    directions: frozenset[Direction]
    order: float = 0.0
    cnis: frozenset[Cni] = _CILIUM

    def selects(self, subject: Peer, direction: Direction) -> bool:
        """Tell whether the pod is under this policy."""
        if direction not in self.directions or (self.namespace and self.namespace != subject.namespace):
            return False
        return are_labels_selected(self.selector, _Identity(subject))

    def verdict(self, flow: Flow, direction: Direction) -> Verdict | None:
        """Return Deny when a denying rule fits, else Allow when an allowing one does."""
        for section, verdict in ((f"{direction.lower()}Deny", Verdict.DENY), (direction.lower(), Verdict.ALLOW)):
            if any(self._fits(rule, flow, direction, verdict) for rule in self.spec.get(section) or ()):
                return verdict
        return None

    def _fits(self, rule: Mapping[str, Any], flow: Flow, direction: Direction, verdict: Verdict) -> bool:
        """Tell whether a rule fits. An empty one fits nobody; one with ports alone fits everybody."""
        prefix = "from" if direction is Direction.INGRESS else "to"
        given = {kind: rule[prefix + kind] for kind in _PEERS if rule.get(prefix + kind) is not None}
        ports = rule.get("toPorts") or ()
        if not given and not ports:
            return False
        if ports and not _is_port_among(ports, flow, verdict):
            return False
        return not given or self._is_peer(given, flow, direction)

    def _is_peer(self, given: Mapping[str, Any], flow: Flow, direction: Direction) -> bool:
        other = flow.other(direction)
        return (
            any(self._is_endpoint(selector, other) for selector in given.get("Endpoints") or ())
            or any(_is_outside_in(other, cidr, ()) for cidr in given.get("CIDR") or ())
            or any(
                "cidr" in block and _is_outside_in(other, block["cidr"], block.get("except") or ())
                for block in given.get("CIDRSet") or ()
            )
            or any(_is_entity(name, flow, direction) for name in given.get("Entities") or ())
        )

    def _is_endpoint(self, selector: Mapping[str, Any], peer: Peer) -> bool:
        """A selector of a namespaced policy that names no namespace means its own."""
        if peer.cni is None:
            return False
        if self.namespace and not _names_namespace(selector) and peer.namespace != self.namespace:
            return False
        return are_labels_selected(_without_sources(selector), _Identity(peer))


class _Identity(Mapping[str, str]):
    """The labels of a pod's identity: its own, and those of its namespace under Cilium's names."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def __getitem__(self, key: str) -> str:
        if key == _NAMESPACE:
            return self._peer.namespace
        if key.startswith(_NAMESPACE_LABELS):
            return self._peer.namespace_labels[key.removeprefix(_NAMESPACE_LABELS)]
        return self._peer.labels[key]

    def __iter__(self) -> Any:
        yield from (_NAMESPACE, *self._peer.labels)
        yield from (_NAMESPACE_LABELS + key for key in self._peer.namespace_labels)

    def __len__(self) -> int:
        return 1 + len(self._peer.labels) + len(self._peer.namespace_labels)


def cilium_policies(found: Object) -> list[CiliumPolicy]:
    """Return a policy for each of an object's rules; raises ValueError for an address block that is none."""
    specs = [*([found["spec"]] if found.get("spec") else []), *(found.get("specs") or ())]
    return [
        CiliumPolicy(
            name=f"{namespace_of(found)}/{name_of(found)}/{index}",
            namespace=namespace_of(found),
            selector=_without_sources(spec["endpointSelector"]),
            spec=_checked(spec),
            directions=_directions(spec),
        )
        for index, spec in enumerate(specs)
        if spec.get("endpointSelector") is not None
    ]


def _directions(spec: Mapping[str, Any]) -> frozenset[Direction]:
    """Return the directions in which there are rules: in those the pods that are selected are closed."""
    return frozenset(item for item in Direction if spec.get(item.lower()) or spec.get(f"{item.lower()}Deny"))


def _checked(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    for section in ("ingress", "ingressDeny", "egress", "egressDeny"):
        for rule in spec.get(section) or ():
            for cidr in (*(rule.get("fromCIDR") or ()), *(rule.get("toCIDR") or ())):
                network(cidr)
    return spec


def _without_sources(selector: Mapping[str, Any]) -> dict[str, Any]:
    """Return the selector with label keys as Kubernetes has them: without `k8s:` and `any:`."""
    labels = {_plain(key): value for key, value in (selector.get("matchLabels") or {}).items()}
    rules = [{**rule, "key": _plain(rule["key"])} for rule in selector.get("matchExpressions") or ()]
    return {"matchLabels": labels, "matchExpressions": rules}


def _plain(key: str) -> str:
    for source in _SOURCES:
        key = key.removeprefix(source)
    return key


def _names_namespace(selector: Mapping[str, Any]) -> bool:
    keys = [*(selector.get("matchLabels") or ()), *(rule["key"] for rule in selector.get("matchExpressions") or ())]
    return any(_plain(key) == _NAMESPACE or _plain(key).startswith(_NAMESPACE_LABELS) for key in keys)


def _is_outside_in(peer: Peer, cidr: str, holes: Any) -> bool:
    """Tell whether something outside of the cluster is in a block; what is inside never is (docs/platform.md 5.6)."""
    if peer.place is not None or not is_inside(peer.address, cidr):
        return False
    return not any(is_inside(peer.address, hole) for hole in holes)


def _is_entity(entity: str, flow: Flow, direction: Direction) -> bool:
    """https://docs.cilium.io/en/stable/security/policy/language/#entities-based."""
    other = flow.other(direction)
    match entity:
        case "all":
            return True
        case "world":
            return other.place is None
        case "cluster":
            return other.place is not None
        case "host" | "remote-node":
            subject = flow.subject(direction).place
            is_same = subject is not None and other.place is not None and subject.node == other.place.node
            return other.is_host and is_same is (entity == "host")
        case "kube-apiserver":
            return other.is_api_server
        case _:
            return False


def _is_port_among(groups: Any, flow: Flow, verdict: Verdict) -> bool:
    if flow.port is None:
        return verdict is Verdict.ALLOW
    return any(_is_port(port, flow) for group in groups for port in group.get("ports") or ({"port": "0"},))


def _is_port(allowed: Mapping[str, Any], flow: Flow) -> bool:
    protocol = allowed.get("protocol", "ANY")
    if protocol not in ("ANY", flow.protocol):
        return False
    first = str(allowed.get("port", "0"))
    if not first.isdecimal() or first == "0":
        return True
    return flow.port is not None and int(first) <= flow.port <= max(int(first), int(allowed.get("endPort", 0)))
