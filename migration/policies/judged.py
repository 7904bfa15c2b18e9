"""What a policy does to which pods, whoever enforces it; and what it means that nobody does any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from migration.policies.model import DIRECTIONS, Direction, Effect, Family, Policy, PolicyChange
from migration.policies.workloads import Group, names_of, shortened

_ENFORCER = {"calico": "Calico", "cilium": "Cilium", "admin": "Calico (from v3.29 on)", "kubernetes": "each CNI"}
_DEAF = {"calico": "Cilium", "cilium": "Canal", "admin": "Cilium", "kubernetes": "no CNI"}
_NAMED_AS_OPEN = 3

Isolation = Mapping[Direction, frozenset[Group]]
"""Whom policies cut off from all that they don't allow, by direction."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A policy that was read."""

    policy: Policy
    family: Family
    groups: frozenset[Group]
    """Whom it selects, among the pods on the pod network."""
    isolates: Isolation = field(default_factory=dict)
    does: str
    """In words that follow `today it`."""
    notes: tuple[str, ...] = ()
    effect: Effect = "not-enforced"


def title(policy: Policy, family: Family) -> str:
    """Return how a policy is called; only Calico's NetworkPolicy shares its name with Kubernetes' own."""
    own = "Calico " if family == "calico" and policy.kind == "NetworkPolicy" else ""
    return f"{own}{policy.kind} {policy.place}"


def change(policy: Policy, family: Family, effect: Effect, reason: str, groups: Iterable[Group] = ()) -> PolicyChange:
    """Return a change of this policy."""
    return PolicyChange(
        policy=title(policy, family), family=family, effect=effect, reason=reason, workloads=names_of(groups)
    )


def unreadable(policy: Policy, family: Family, error: ValueError) -> PolicyChange:
    """Return that a policy can't be judged: what can't be read may matter."""
    return change(policy, family, "unclear", f"it can't be judged: {error}")


def ends(judged: Judged, staying: Isolation) -> PolicyChange:
    """Return that a policy is enforced no longer, and who becomes open by that."""
    deaf, effect = _DEAF[judged.family], judged.effect
    if effect == "staged":
        return change(judged.policy, judged.family, effect, "it is staged and enforces nothing today", judged.groups)
    verb = "does nothing with it" if effect == "feature-lost" else "doesn't enforce it"
    sentences = (f"{deaf} {verb}; today it {judged.does}", *judged.notes, *_opened(judged, staying))
    return change(judged.policy, judged.family, effect, "; ".join(sentences), judged.groups)


def starts(judged: Judged) -> PolicyChange:
    """Return that a policy, left from an earlier time, is enforced again."""
    if judged.effect == "staged":
        return ends(judged, {})
    enforcer = _ENFORCER[judged.family]
    sentences = (f"nobody enforces it today, {enforcer} will: it {judged.does}", *judged.notes)
    return change(judged.policy, judged.family, "starts", "; ".join(sentences), judged.groups)


def isolated_by(judged: Iterable[Judged]) -> Isolation:
    """Return whom these policies isolate together."""
    found: dict[Direction, set[Group]] = {direction: set() for direction in DIRECTIONS}
    for one in judged:
        for direction, groups in one.isolates.items():
            found[direction] |= groups
    return {direction: frozenset(groups) for direction, groups in found.items()}


def _opened(judged: Judged, staying: Isolation) -> Iterable[str]:
    opened: dict[tuple[str, ...], list[str]] = {}
    for direction in DIRECTIONS:
        groups = judged.isolates.get(direction, frozenset()) - staying.get(direction, frozenset())
        if groups:
            opened.setdefault(names_of(groups), []).append(direction)
    for names, directions in opened.items():
        yield (
            f"no policy that stays isolates {shortened(names, _NAMED_AS_OPEN)}: "
            f"open to all {' and '.join(directions)} traffic afterwards"
        )
