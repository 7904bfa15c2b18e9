"""Kubernetes' own NetworkPolicies: both CNIs enforce them, and read some parts of them differently.

Sources: docs/platform.md 5.6 and 5.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from migration.models import CniType
from migration.policies.blocks import Block, Territory, block
from migration.policies.judged import Isolation, Judged, change
from migration.policies.labels import label_selector, unseen_by_cilium
from migration.policies.model import DIRECTIONS, Direction, Effect, Policy, PolicyChange
from migration.policies.reading import Unreadable, entries, mapping, mappings, text, texts
from migration.policies.selectors import All, Selector
from migration.policies.workloads import Group, Workloads
from migration.versions import is_version, parse_version

# cilium/cilium#16622, release notes of Cilium 1.16: before, an endPort was accepted and ignored.
FIRST_WITH_PORT_RANGES: Final = (1, 16, 0)
# KKP 2.31: node-local-dns listens on this address of every node.
NODE_LOCAL_DNS: Final = block("169.254.20.10/32")

# kube-proxy and Cilium both put a pod's address in place of the Service's before policies are asked.
_TRANSLATED: Final = "which neither CNI ever compares: what counts is the pod behind the Service"
# Cilium, pkg/container/types: a name that means two numbers is an error, and the rule lets nothing through.
_AMBIGUOUS: Final = "lets nothing through on Cilium if pods use it for different numbers, which can't be told here"
_EXCLUDED: Final = "on Cilium that needs exclude-local-address, which KKP sets and agents read when they start"

Sentences = Iterator[tuple[Effect, str]]


@dataclass(frozen=True)
class Rule:
    """One ingress or egress rule: no peers means everybody, no ports every port."""

    name: str
    direction: Direction
    peers: tuple[Any, ...]
    ports: tuple[Any, ...]
    blocks: tuple[Block, ...]
    selectors: tuple[Selector, ...]
    every_pod: bool
    """Whether it lets all pods through, by other means than their addresses."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """A NetworkPolicy that was read."""

    policy: Policy
    selector: Selector
    directions: tuple[Direction, ...]
    rules: tuple[Rule, ...]
    groups: frozenset[Group]
    on_cilium: frozenset[Group]
    """Whom Cilium takes it to select."""
    host_networked: frozenset[Group]


def read(policy: Policy, workloads: Workloads) -> Read:
    """Return a NetworkPolicy with whom it selects. Raises Unreadable."""
    spec = mapping(policy.spec, "spec")
    selector = label_selector(spec.get("podSelector"), "spec.podSelector")
    inside = (policy.namespace,)
    groups = workloads.of(selector, namespaces=inside)
    on_cilium = groups
    if any(map(unseen_by_cilium, selector.label_keys())):
        around = workloads.of(All(), namespaces=inside)
        on_cilium = frozenset(group for group in around if selector.matches(group.seen_by_cilium))
    return Read(
        policy=policy,
        selector=selector,
        directions=_directions(spec),
        rules=tuple(_rules(spec)),
        groups=groups,
        on_cilium=on_cilium,
        host_networked=workloads.of(selector, namespaces=inside, host_network=True),
    )


def isolation(found: Read, *, target: CniType) -> Isolation:
    """Return whom the policy isolates on the other CNI."""
    groups = found.on_cilium if target is CniType.CILIUM else found.groups
    return dict.fromkeys(found.directions, groups)


def judged(found: Read, *, target: CniType) -> Judged:
    """Return the policy as one that is enforced on both CNIs."""
    return Judged(
        policy=found.policy,
        family="kubernetes",
        groups=found.groups,
        isolates=isolation(found, target=target),
        does="isolates its pods",
    )


def changes(found: Read, cluster: Territory, *, target: CniType, cilium_version: str) -> Iterator[PolicyChange]:
    """Yield what of the policy will be otherwise, one change for each kind of effect."""
    sentences: dict[Effect, list[str]] = {}
    rules = (
        _hidden_labels(found, target),
        _ip_blocks(found, cluster, target),
        _ports(found, target, cilium_version),
        _node_local_dns(found, target),
    )
    for effect, sentence in (pair for rule in rules for pair in rule):
        sentences.setdefault(effect, []).append(sentence)
    concerned = found.groups | found.on_cilium
    for effect, parts in sentences.items():
        yield change(found.policy, "kubernetes", effect, "; ".join(dict.fromkeys(parts)), concerned)
    if found.host_networked:
        reason = "some of the pods that it selects are on the host network: no CNI applies it to them"
        yield change(found.policy, "kubernetes", "host-networked", reason, found.host_networked)


def _directions(spec: Any) -> tuple[Direction, ...]:
    """Kubernetes sets policyTypes when it is absent: always Ingress, and Egress if there are such rules."""
    types = texts(spec.get("policyTypes"), "spec.policyTypes")
    if not types:
        return DIRECTIONS if entries(spec.get("egress"), "spec.egress") else ("ingress",)
    if unknown := set(types) - {"Ingress", "Egress"}:
        raise Unreadable(f"spec.policyTypes has {min(unknown)[:40]!r}")
    return tuple(direction for direction in DIRECTIONS if direction.capitalize() in types)


def _rules(spec: Any) -> Iterator[Rule]:
    for direction in DIRECTIONS:
        side = "from" if direction == "ingress" else "to"
        for number, rule in enumerate(mappings(spec.get(direction), f"spec.{direction}")):
            name = f"spec.{direction}[{number}]"
            peers = mappings(rule.get(side), f"{name}.{side}")
            pairs = [_selectors(peer, f"{name}.{side}") for peer in peers]
            yield Rule(
                name=f"{direction} rule {number + 1}",
                direction=direction,
                peers=peers,
                ports=mappings(rule.get("ports"), f"{name}.ports"),
                blocks=tuple(_blocks(peers, f"{name}.{side}")),
                selectors=tuple(pod for _, pod in pairs if pod is not None),
                every_pod=not peers or any(isinstance(all_, All) for all_, _ in pairs),
            )


def _selectors(peer: Any, where: str) -> tuple[Selector | None, Selector | None]:
    """Return what selects all pods if this peer does (else None), and the peer's pod selector."""
    pods = label_selector(peer["podSelector"], where) if peer.get("podSelector") is not None else None
    if peer.get("namespaceSelector") is None:
        return None, pods
    namespaces = label_selector(peer["namespaceSelector"], where)
    return (namespaces if pods is None or isinstance(pods, All) else None), pods


def _blocks(peers: Iterable[Any], where: str) -> Iterator[Block]:
    for peer in peers:
        if peer.get("ipBlock") is not None:
            found = mapping(peer["ipBlock"], f"{where}.ipBlock")
            exceptions = texts(found.get("except"), f"{where}.ipBlock.except")
            yield block(text(found.get("cidr"), f"{where}.ipBlock.cidr"), exceptions)


def _hidden_labels(found: Read, target: CniType) -> Sentences:
    """Cilium gives pods no identity by labels that change from pod to pod, so a policy by them finds nobody."""
    seen = "Cilium does not see" if target is CniType.CILIUM else "Cilium did not see but Canal does"
    if hidden := sorted(filter(unseen_by_cilium, found.selector.label_keys())):
        yield "changed", f"its podSelector asks for labels that {seen} ({', '.join(hidden)}): it selects other pods"
    for rule in found.rules:
        keys = {key for selector in rule.selectors for key in selector.label_keys() if unseen_by_cilium(key)}
        if keys:
            yield "changed", f"{rule.name} asks for labels that {seen} ({', '.join(sorted(keys))})"


def _ip_blocks(found: Read, cluster: Territory, target: CniType) -> Sentences:
    for rule in _effective(found):
        open_to_pods = any(other.every_pod and _as_wide(other, rule) for other in found.rules)
        open_to_all = any(not other.peers and _as_wide(other, rule) for other in found.rules)
        for one in rule.blocks:
            pods = cluster.has_pods(one) and not open_to_pods
            nodes = cluster.has_nodes(one) and not open_to_all
            if pods or nodes:
                yield "changed", _block_sentence(rule, one, target, pods=pods, nodes=nodes)
            elif cluster.has_services(one) and not (cluster.has_pods(one) or one.is_everything):
                yield "matches-nothing", f"{rule.name}: {one.text} covers addresses of Services, {_TRANSLATED}"


def _block_sentence(rule: Rule, one: Block, target: CniType, *, pods: bool, nodes: bool) -> str:
    covered = " and ".join(name for name, there in (("pods", pods), ("nodes", nodes)) if there)
    alone = ", and the rule has no other peers" if len(rule.peers) == len(rule.blocks) else ""
    if target is CniType.CANAL:
        return (
            f"{rule.name}: {one.text} covers addresses of {covered}, to which it begins to apply: it lets more through"
        )
    why = "Cilium compares addresses for the world outside the cluster alone"
    setting = " (nodes only with policyCIDRMatchMode)" if nodes else ""
    if one.is_everything:
        return f"{rule.name}: {one.text} no longer means everybody, {covered} are not in it: {why}{setting}{alone}"
    return (
        f"{rule.name}: {one.text} covers addresses of {covered}, which it no longer lets through: {why}{setting}{alone}"
    )


def _ports(found: Read, target: CniType, cilium_version: str) -> Sentences:
    ranges = not (is_version(cilium_version) and parse_version(cilium_version) >= FIRST_WITH_PORT_RANGES)
    unless = "" if is_version(cilium_version) else " (before 1.16)"
    less = "has" if target is CniType.CILIUM else "had"
    for rule in _effective(found):
        for port in rule.ports:
            first, last = port.get("port"), port.get("endPort")
            if last is not None and ranges:
                span = f"{first} to {last}"
                yield "changed", f"{rule.name}: of the ports {span}, Cilium{unless} {less} only the first"
            if port.get("protocol") == "SCTP":
                yield "changed", f"{rule.name}: Cilium {less} SCTP only with sctp.enabled, which is off by default"
            if isinstance(first, str) and rule.direction == "egress" and target is CniType.CILIUM:
                yield "unclear", f"{rule.name}: the port name {first[:63]} {_AMBIGUOUS}"


def _node_local_dns(found: Read, target: CniType) -> Sentences:
    """Cilium takes the address for the host's own, and so for no address at all, unless it is told otherwise."""
    if target is not CniType.CILIUM:
        return
    for rule in _effective(found):
        for one in rule.blocks:
            link_local = one.version == 4 and one.span[0] >> 16 == 0xA9FE  # 169.254.0.0/16
            if rule.direction == "egress" and link_local and one.covers(NODE_LOCAL_DNS.span):
                yield "needs-setting", f"{rule.name} allows node-local-dns by its address: {_EXCLUDED}"


def _effective(found: Read) -> Iterator[Rule]:
    """Kubernetes passes over rules of a direction that is not among policyTypes."""
    return (rule for rule in found.rules if rule.direction in found.directions)


def _as_wide(other: Rule, rule: Rule) -> bool:
    if other.direction != rule.direction:
        return False
    return not other.ports or (bool(rule.ports) and all(port in other.ports for port in rule.ports))
