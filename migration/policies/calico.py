"""Calico's own policies, its tiers, network sets and host endpoints: only Canal reads them.

Source: docs/platform.md 5.7. That of a pod's ServiceAccount is not known here; a policy that asks for it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from migration.policies.expressions import parse
from migration.policies.judged import Judged, change, unreadable
from migration.policies.labels import label_selector
from migration.policies.model import DIRECTIONS, Direction, Policy, PolicyChange
from migration.policies.reading import Unreadable, entries, flag, mapping, mappings, text, texts
from migration.policies.selectors import All, Global, Selector
from migration.policies.workloads import Group, Workloads, shortened

STAGED: Final = ("StagedNetworkPolicy", "StagedGlobalNetworkPolicy", "StagedKubernetesNetworkPolicy")
POLICIES: Final = ("NetworkPolicy", "GlobalNetworkPolicy", *STAGED)
NETWORK_SETS: Final = ("NetworkSet", "GlobalNetworkSet")
DEFAULT_TIER: Final = "default"

_ACTIONS: Final = ("Allow", "Deny", "Log", "Pass")
_ENDS: Final = {"Allow": "allows", "Deny": "denies", "Pass": "passes on"}
# Of a rule's fields, those that don't narrow down what it matches.
_NOT_NARROWING: Final = frozenset({"action", "metadata"})
# Labels that Calico gives a pod by its ServiceAccount.
_ACCOUNT_LABELS: Final = ("projectcalico.org/serviceaccount", "pcsa.")


@dataclass(frozen=True, kw_only=True)
class CalicoWorld:
    """What Calico's policies refer to."""

    passing_tiers: frozenset[str]
    """Tiers whose end is not a denial."""
    network_sets: tuple[Policy, ...]
    host_endpoints: tuple[Policy, ...]


def calico_world(objects: Iterable[Policy]) -> CalicoWorld:
    """Return what policies refer to. A tier that can't be read counts as one that denies at its end."""
    found = tuple(objects)
    tiers = (one for one in found if one.kind == "Tier" and isinstance(one.spec, Mapping))
    return CalicoWorld(
        passing_tiers=frozenset(one.name for one in tiers if one.spec.get("defaultAction") == "Pass"),
        network_sets=tuple(one for one in found if one.kind in NETWORK_SETS),
        host_endpoints=tuple(one for one in found if one.kind == "HostEndpoint"),
    )


def judge(policy: Policy, workloads: Workloads, world: CalicoWorld) -> Judged:
    """Return what one of Calico's policies does, and to whom. Raises Unreadable."""
    spec = mapping(policy.spec, "spec")
    if policy.kind == "StagedKubernetesNetworkPolicy":
        selector = label_selector(spec.get("podSelector"), "spec.podSelector")
        groups = workloads.of(selector, namespaces=(policy.namespace,))
        return Judged(policy=policy, family="calico", groups=groups, does="is staged", effect="staged")
    groups = _selected(policy, spec, workloads)
    tier = text(spec.get("tier"), "spec.tier") or DEFAULT_TIER
    directions = _directions(spec)
    sides = {direction: _rules(spec, direction) for direction in directions}
    passes = tier in world.passing_tiers
    return Judged(
        policy=policy,
        family="calico",
        groups=groups,
        isolates={one: groups for one, rules in sides.items() if not passes and not _lets_the_rest(rules)},
        does=" and ".join(_described(one, rules, tier, passes=passes) for one, rules in sides.items()),
        notes=tuple(_notes(policy, spec, sides, world)),
        effect="staged" if policy.kind in STAGED else "not-enforced",
    )


def other_losses(objects: Iterable[Policy], judged: Iterable[Judged], world: CalicoWorld) -> Iterator[PolicyChange]:
    """Yield what goes with the policies: the order of tiers, and the protection of nodes."""
    enforced = [one for one in judged if one.effect != "staged"]
    for tier in objects:
        if tier.kind != "Tier" or tier.name == DEFAULT_TIER:
            continue
        inside = [one for one in enforced if mapping(one.policy.spec, "spec").get("tier") == tier.name]
        if inside:
            names = shortened(tuple(sorted(one.policy.place for one in inside)), 5)
            reason = f"Cilium knows no tiers: the order of its {len(inside)} policies is lost with them ({names})"
            yield change(tier, "calico", "not-enforced", reason, [group for one in inside for group in one.groups])
    for endpoint in world.host_endpoints:
        try:
            yield _host_endpoint(endpoint, enforced)
        except Unreadable as error:
            yield unreadable(endpoint, "calico", error)


def _host_endpoint(endpoint: Policy, enforced: Iterable[Judged]) -> PolicyChange:
    spec = mapping(endpoint.spec, "spec")
    node, interface = text(spec.get("node"), "spec.node"), text(spec.get("interfaceName"), "spec.interfaceName")
    policies = tuple(sorted(one.policy.name for one in enforced if _guards(one.policy, endpoint)))
    by = f"by {shortened(policies, 5)}" if policies else "by no policy, so that Calico lets nearly nothing through"
    reason = f"interface {interface or '(by address)'} of node {node or '?'} is guarded {by}: on Cilium by nothing"
    return change(endpoint, "calico", "host-unprotected", reason)


def _guards(policy: Policy, endpoint: Policy) -> bool:
    spec = mapping(policy.spec, "spec")
    narrowed = text(spec.get("namespaceSelector"), "spec.namespaceSelector")
    selector = _selector(spec, "selector")
    return policy.kind == "GlobalNetworkPolicy" and not narrowed and selector.matches(endpoint.labels)


def _selected(policy: Policy, spec: Mapping[str, Any], workloads: Workloads) -> frozenset[Group]:
    selector = _selector(spec, "selector")
    if any(key.startswith(_ACCOUNT_LABELS) for key in selector.label_keys()):
        selector = All()  # who it is can't be told; _notes says so
    if policy.namespace:
        return workloads.of(selector, namespaces=(policy.namespace,))
    namespaces = _selector(spec, "namespaceSelector")
    inside = None if isinstance(namespaces, All) else workloads.namespaces(namespaces)
    return workloads.of(selector, namespaces=inside)


def _selector(spec: Mapping[str, Any], name: str) -> Selector:
    return parse(text(spec.get(name), name))


def _directions(spec: Mapping[str, Any]) -> tuple[Direction, ...]:
    """Calico's default for absent types: Egress only if there are egress rules, Ingress unless there are only those."""
    types = texts(spec.get("types"), "spec.types")
    if unknown := set(types) - {"Ingress", "Egress"}:
        raise Unreadable(f"spec.types has {min(unknown)[:40]!r}")
    if types:
        return tuple(direction for direction in DIRECTIONS if direction.capitalize() in types)
    egress = bool(entries(spec.get("egress"), "spec.egress"))
    ingress = bool(entries(spec.get("ingress"), "spec.ingress")) or not egress
    return tuple(direction for direction, there in zip(DIRECTIONS, (ingress, egress), strict=True) if there)


def _rules(spec: Mapping[str, Any], direction: Direction) -> tuple[Mapping[str, Any], ...]:
    rules = mappings(spec.get(direction), f"spec.{direction}")
    for rule in rules:
        if text(rule.get("action"), f"spec.{direction}.action").capitalize() not in _ACTIONS:
            raise Unreadable(f"spec.{direction} has the action {str(rule.get('action'))[:40]!r}")
    return rules


def _action(rule: Mapping[str, Any]) -> str:
    """Calico's own tools write actions with a capital; older objects have none."""
    return str(rule["action"]).capitalize()


def _is_narrow(rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule matches some traffic only."""
    values = (value for name, value in rule.items() if name not in _NOT_NARROWING)
    return any(any(value.values()) if isinstance(value, Mapping) else value for value in values)


def _end(rules: tuple[Mapping[str, Any], ...]) -> str | None:
    """Return the action of the first rule that matches all that comes to it; None if there is none."""
    return next((_action(rule) for rule in rules if not _is_narrow(rule) and _action(rule) != "Log"), None)


def _lets_the_rest(rules: tuple[Mapping[str, Any], ...]) -> bool:
    return _end(rules) in ("Allow", "Pass")


def _described(direction: Direction, rules: tuple[Mapping[str, Any], ...], tier: str, *, passes: bool) -> str:
    narrow = [_action(rule) for rule in rules if _is_narrow(rule)]
    end = _end(rules) or ("Pass" if passes else "")
    if not narrow:
        implied = f"leaves all {direction} to the end of tier {tier}, which denies it"
        return f"{_ENDS[end]} all {direction}" if end else implied
    counts = [f"{narrow.count(action)} {action}" for action in dict.fromkeys(narrow)]
    nets = tuple(net for rule in rules if _action(rule) == "Deny" for net in _nets(rule, direction))
    rest = f"the end of tier {tier} denies"
    denied = f" (denied: {shortened(nets, 3)})" if nets else ""
    return f"matches {direction} by {' and '.join(counts)} rule(s){denied}, and {_ENDS[end] if end else rest} the rest"


def _nets(rule: Mapping[str, Any], direction: Direction) -> tuple[str, ...]:
    side = "source" if direction == "ingress" else "destination"
    return texts(mapping(rule.get(side), side).get("nets"), f"{side}.nets")


def _notes(
    policy: Policy,
    spec: Mapping[str, Any],
    sides: Mapping[Direction, tuple[Mapping[str, Any], ...]],
    world: CalicoWorld,
) -> Iterator[str]:
    accounts = text(spec.get("serviceAccountSelector"), "spec.serviceAccountSelector")
    by_account = any(key.startswith(_ACCOUNT_LABELS) for key in _selector(spec, "selector").label_keys())
    if by_account or (accounts and not isinstance(parse(accounts), All)):
        yield "it selects by ServiceAccount: which of these workloads it means can't be told"
    before = [name for name in ("doNotTrack", "preDNAT", "applyOnForward") if flag(spec.get(name), name, default=False)]
    if before:
        yield f"it is for host endpoints ({', '.join(before)})"
    sets = {one.name for rules in sides.values() for rule in rules for one in _network_sets(policy, rule, world)}
    if sets:
        yield f"it refers to network sets ({shortened(tuple(sorted(sets)), 5)})"


def _network_sets(policy: Policy, rule: Mapping[str, Any], world: CalicoWorld) -> Iterator[Policy]:
    for side in ("source", "destination"):
        entity = mapping(rule.get(side), side)
        selector, namespaces = _selector(entity, "selector"), _selector(entity, "namespaceSelector")
        if isinstance(selector, All):
            continue
        for one in world.network_sets:
            if selector.matches(one.labels) and _in_reach(one, policy, namespaces):
                yield one


def _in_reach(network_set: Policy, policy: Policy, namespaces: Selector) -> bool:
    """A rule of a namespaced policy means its own namespace unless it names others, or `global()`."""
    if isinstance(namespaces, Global):
        return not network_set.namespace
    if policy.namespace and isinstance(namespaces, All):
        return network_set.namespace == policy.namespace
    return isinstance(namespaces, All) or bool(network_set.namespace)
