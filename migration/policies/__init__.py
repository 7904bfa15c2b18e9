"""What of a cluster's network policies will mean something else, or nothing, on the other CNI. Pure.

`policy_changes` compares what is enforced today with what will be, policy by policy; `findings` tells it to people.
It never raises for what a policy contains: one that can't be read is itself a change, because it may matter.
Traffic is not simulated: whether some other policy allows what this one no longer does is for people to see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from migration.models import CniType, Pod
from migration.policies import admin, calico, cilium, kubernetes
from migration.policies.blocks import territory
from migration.policies.judged import Judged, ends, isolated_by, starts, unreadable
from migration.policies.model import Family, NetworkRanges, Policy, PolicyChange, PolicyFacts
from migration.policies.reading import Unreadable
from migration.policies.reporting import findings
from migration.policies.workloads import Workloads

__all__ = ["NetworkRanges", "Policy", "PolicyChange", "PolicyFacts", "findings", "policy_changes"]


def policy_changes(
    facts: PolicyFacts,
    pods: Iterable[Pod],
    ranges: NetworkRanges,
    *,
    target: CniType,
    cilium_version: str = "",
) -> tuple[PolicyChange, ...]:
    """Return all that will be otherwise on the target CNI, sorted by policy.

    `cilium_version` is the version to come, or the one to be left; without it, what depends on it is reported.
    Raises ValueError for a target that is no CNI, and for addresses in `ranges` that are none.
    """
    if target is CniType.NONE:
        raise ValueError("policies can be compared for Canal and for Cilium only")
    found = list(_changes(facts, Workloads(pods, facts.namespaces), ranges, target, cilium_version))
    return tuple(sorted(found, key=lambda change: (change.family, change.policy, change.effect)))


def _changes(
    facts: PolicyFacts, workloads: Workloads, ranges: NetworkRanges, target: CniType, cilium_version: str
) -> Iterator[PolicyChange]:
    to_cilium = target is CniType.CILIUM
    world, addresses = calico.calico_world(facts.calico), territory(ranges)
    of_calico = [one for one in facts.calico if one.kind in calico.POLICIES]
    calicos, broken = _judged(of_calico, "calico", lambda one: calico.judge(one, workloads, world))
    yield from broken
    ciliums, broken = _judged(facts.cilium, "cilium", lambda one: cilium.judge(one, workloads))
    yield from broken
    admins, broken = _judged(facts.admin, "admin", lambda one: admin.judge(one, workloads))
    yield from broken

    common: list[Judged] = []
    for policy in facts.kubernetes:
        try:
            found = kubernetes.read(policy, workloads)
        except Unreadable as error:
            yield unreadable(policy, "kubernetes", error)
            continue
        common.append(kubernetes.judged(found, target=target))
        yield from kubernetes.changes(found, addresses, target=target, cilium_version=cilium_version)

    leaving, coming = ([*calicos, *admins], ciliums) if to_cilium else (ciliums, [*calicos, *admins])
    staying = isolated_by([*common, *(one for one in coming if one.effect != "staged")])
    yield from (ends(one, staying) for one in leaving)
    yield from (starts(one) for one in coming)
    if to_cilium:
        yield from calico.other_losses(facts.calico, calicos, world)


def _judged(
    policies: Iterable[Policy], family: Family, judge: Callable[[Policy], Judged]
) -> tuple[list[Judged], list[PolicyChange]]:
    found, broken = [], []
    for policy in policies:
        try:
            found.append(judge(policy))
        except Unreadable as error:
            broken.append(unreadable(policy, family, error))
    return found, broken
