"""Cilium's own policies, and the features of it that direct traffic: nothing of it means anything to Canal.

Source: docs/platform.md 5.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from migration.policies.judged import Judged
from migration.policies.labels import cilium_selector
from migration.policies.model import DIRECTIONS, Direction, Policy
from migration.policies.reading import Unreadable, flag, mapping, mappings, text
from migration.policies.workloads import Group, Workloads, shortened

POLICIES: Final = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")

# What Kubernetes' NetworkPolicies have nothing for: fields of rules, and of the rules inside `toPorts`.
_BEYOND: Final = {
    "toFQDNs": "DNS names",
    "toEntities": "entities",
    "fromEntities": "entities",
    "toServices": "Services",
    "toGroups": "cloud groups",
    "fromGroups": "cloud groups",
    "toNodes": "nodes by label",
    "fromNodes": "nodes by label",
    "fromRequires": "required labels",
    "toRequires": "required labels",
    "icmps": "ICMP types",
    "authentication": "mutual authentication",
}
_BEYOND_PORTS: Final = {
    "terminatingTLS": "TLS interception",
    "originatingTLS": "TLS interception",
    "serverNames": "TLS server names",
    "listener": "an Envoy listener",
}
_LAYER_7: Final = {"http": "HTTP rules", "kafka": "Kafka rules", "dns": "DNS rules"}
_BALANCING: Final = ("CiliumLoadBalancerIPPool", "CiliumL2AnnouncementPolicy")


def judge(policy: Policy, workloads: Workloads) -> Judged:
    """Return what an object of Cilium does, and to whom. Raises Unreadable."""
    if policy.kind not in POLICIES:
        return _feature(policy, workloads)
    isolates: dict[Direction, frozenset[Group]] = {}
    groups: frozenset[Group] = frozenset()
    sides: list[str] = []
    beyond: list[str] = []
    rules = _rules(policy)
    for_nodes = [rule for rule in rules if rule.get("nodeSelector") is not None]
    for rule in rules:
        selected = _selected(policy, rule, workloads)
        groups |= selected
        for direction in _isolated(rule):
            isolates[direction] = isolates.get(direction, frozenset()) | selected
        sides += _described(rule)
        beyond += _beyond(rule)
    extra = f" with {', '.join(dict.fromkeys(beyond))}" if beyond else ""
    return Judged(
        policy=policy,
        family="cilium",
        groups=groups,
        isolates=isolates,
        does=f"{' and '.join(dict.fromkeys(sides)) or 'decides nothing'}{extra}",
        notes=("it is for nodes (host firewall)",) if for_nodes else (),
        effect="host-unprotected" if len(for_nodes) == len(rules) else "not-enforced",
    )


def _rules(policy: Policy) -> tuple[Mapping[str, Any], ...]:
    single = () if policy.spec is None else (mapping(policy.spec, "spec"),)
    rules = (*single, *mappings(policy.specs, "specs"))
    if not rules:
        raise Unreadable("it has neither spec nor specs")
    return rules


def _selected(policy: Policy, rule: Mapping[str, Any], workloads: Workloads) -> frozenset[Group]:
    if rule.get("nodeSelector") is not None:
        return frozenset()
    if rule.get("endpointSelector") is None:
        raise Unreadable("a rule has no endpointSelector")
    selector = cilium_selector(rule["endpointSelector"], "endpointSelector", own_namespace=bool(policy.namespace))
    return workloads.of(selector, namespaces=(policy.namespace,) if policy.namespace else None)


def _isolated(rule: Mapping[str, Any]) -> Iterator[Direction]:
    """A rule isolates in a direction that it has a rule for, be it empty, unless enableDefaultDeny says otherwise."""
    defaults = mapping(rule.get("enableDefaultDeny"), "enableDefaultDeny")
    for direction in DIRECTIONS:
        there = any(mappings(rule.get(name), name) for name in (direction, f"{direction}Deny"))
        if flag(defaults.get(direction), f"enableDefaultDeny.{direction}", default=there):
            yield direction


def _described(rule: Mapping[str, Any]) -> Iterator[str]:
    isolated = set(_isolated(rule))
    for direction in DIRECTIONS:
        allows = sum(bool(one) for one in mappings(rule.get(direction), direction))
        denies = len(mappings(rule.get(f"{direction}Deny"), f"{direction}Deny"))
        parts = [f"{count} {word}" for count, word in ((allows, "allow"), (denies, "deny")) if count]
        if parts:
            rest = ", denying the rest" if direction in isolated else ""
            yield f"decides {direction} by {' and '.join(parts)} rule(s){rest}"
        elif direction in isolated:
            yield f"denies all {direction}"


def _beyond(rule: Mapping[str, Any]) -> Iterator[str]:
    for direction in DIRECTIONS:
        for name in (direction, f"{direction}Deny"):
            for one in mappings(rule.get(name), name):
                yield from (words for field, words in _BEYOND.items() if one.get(field))
                yield from _cidr_groups(one)
                for port in mappings(one.get("toPorts"), "toPorts"):
                    yield from _on_ports(port)


def _cidr_groups(rule: Mapping[str, Any]) -> Iterator[str]:
    for field in ("toCIDRSet", "fromCIDRSet"):
        for block in mappings(rule.get(field), field):
            if name := text(block.get("cidrGroupRef"), "cidrGroupRef"):
                yield f"CiliumCIDRGroup {name[:63]}"
            elif block.get("cidrGroupSelector") is not None:
                yield "CiliumCIDRGroups by label"


def _on_ports(port: Mapping[str, Any]) -> Iterator[str]:
    yield from (words for field, words in _BEYOND_PORTS.items() if port.get(field))
    rules = mapping(port.get("rules"), "toPorts.rules")
    yield from (words for field, words in _LAYER_7.items() if rules.get(field))
    if rules.get("l7proto"):
        yield "rules of an Envoy filter"


def _feature(policy: Policy, workloads: Workloads) -> Judged:
    """What is no filter: where traffic goes instead of whether it may."""
    spec = mapping(policy.spec, "spec")
    describe = _FEATURES.get(policy.kind, _unknown)
    if policy.kind in _BALANCING or policy.kind.startswith("CiliumBGP"):
        describe = _balancing
    groups, does = describe(policy, spec, workloads)
    return Judged(policy=policy, family="cilium", groups=groups, does=does, effect="feature-lost")


_Described = tuple[frozenset[Group], str]


def _egress_gateway(_policy: Policy, spec: Mapping[str, Any], workloads: Workloads) -> _Described:
    groups: frozenset[Group] = frozenset()
    for entry in mappings(spec.get("selectors"), "spec.selectors"):
        inside = None
        if entry.get("namespaceSelector") is not None:
            inside = workloads.namespaces(cilium_selector(entry["namespaceSelector"], "namespaceSelector"))
        groups |= workloads.of(cilium_selector(entry.get("podSelector"), "podSelector"), namespaces=inside)
    return groups, "sends their egress through a gateway: afterwards it leaves with the address of each pod's own node"


def _local_redirect(policy: Policy, spec: Mapping[str, Any], workloads: Workloads) -> _Described:
    backend = mapping(spec.get("redirectBackend"), "spec.redirectBackend")
    selector = cilium_selector(
        backend.get("localEndpointSelector"), "spec.redirectBackend.localEndpointSelector", own_namespace=True
    )
    return workloads.of(selector, namespaces=(policy.namespace,)), "redirects traffic to these pods on each node"


def _envoy(_policy: Policy, spec: Mapping[str, Any], _workloads: Workloads) -> _Described:
    services = (*mappings(spec.get("services"), "services"), *mappings(spec.get("backendServices"), "backendServices"))
    names = tuple(sorted({text(one.get("name"), "services.name") for one in services}))
    return frozenset(), f"sends traffic through Envoy (Services: {shortened(names, 5) or 'none named'})"


def _balancing(_policy: Policy, _spec: Mapping[str, Any], _workloads: Workloads) -> _Described:
    return frozenset(), "gives Services of type LoadBalancer their addresses, or tells routers of them"


def _unknown(policy: Policy, _spec: Mapping[str, Any], _workloads: Workloads) -> _Described:
    return frozenset(), f"is read by Cilium alone ({policy.kind})"


_FEATURES: Final[Mapping[str, Callable[[Policy, Mapping[str, Any], Workloads], _Described]]] = {
    "CiliumEgressGatewayPolicy": _egress_gateway,
    "CiliumLocalRedirectPolicy": _local_redirect,
    "CiliumEnvoyConfig": _envoy,
    "CiliumClusterwideEnvoyConfig": _envoy,
}
