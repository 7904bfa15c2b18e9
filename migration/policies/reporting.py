"""Turns changes into findings: how much each matters, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from migration.models import Finding, Severity
from migration.policies.model import Effect, Family, PolicyChange
from migration.policies.workloads import shortened

NAMED: Final = 5
_CODES: Final[dict[Family, str]] = {
    "calico": "calico-policy",
    "cilium": "cilium-policy",
    "admin": "admin-policy",
    "kubernetes": "policy-changes-meaning",
}
# Warnings whoever they select: they guard nodes, direct traffic, or nobody knows what they do.
_ALWAYS_WARN: Final[frozenset[Effect]] = frozenset({"host-unprotected", "feature-lost", "unclear"})
_WARN_IF_SELECTING: Final[frozenset[Effect]] = frozenset({"not-enforced", "starts", "changed"})

_ADVICE: Final[dict[tuple[Family, Effect], str]] = {
    ("calico", "not-enforced"): (
        "Where it only allows, write it as a NetworkPolicy and apply that before the migration; what it denies needs "
        "a CiliumNetworkPolicy (a CiliumClusterwideNetworkPolicy for a global one), applied once Cilium runs."
    ),
    ("calico", "host-unprotected"): (
        "Guard the nodes outside the cluster (security groups, firewall), or with Cilium's host firewall and a "
        "CiliumClusterwideNetworkPolicy that has a nodeSelector."
    ),
    ("calico", "starts"): "Read it anew before the migration, and delete it if it is not wanted any more.",
    ("calico", "staged"): "Nothing to do, unless it was to be enforced one day.",
    ("cilium", "not-enforced"): (
        "Write what it does by labels, ports and addresses as a NetworkPolicy and apply that before the migration; "
        "what it denies needs a Calico NetworkPolicy; rules of layer 7 and DNS names need a proxy or mesh of your own."
    ),
    ("cilium", "feature-lost"): "Provide it by other means before the migration, or accept that it ends.",
    ("cilium", "host-unprotected"): (
        "Guard the nodes outside the cluster (security groups, firewall), or with a HostEndpoint and a "
        "GlobalNetworkPolicy of Calico."
    ),
    ("cilium", "starts"): "Read it anew before the migration, and delete it if it is not wanted any more.",
    ("admin", "not-enforced"): (
        "Write it as a CiliumClusterwideNetworkPolicy: egressDeny and ingressDeny for what it denies, and "
        "enableDefaultDeny false so that it isolates nobody."
    ),
    ("admin", "starts"): "Read it anew before the migration, and delete it if it is not wanted any more.",
    ("kubernetes", "changed"): (
        "Write it so that both CNIs read it alike: pods by podSelector and namespaceSelector instead of addresses, "
        "workloads by labels that all their pods share, ports one by one; nodes' addresses need "
        "policyCIDRMatchMode: nodes on Cilium."
    ),
    ("kubernetes", "unclear"): "Write the number of the port instead of its name.",
    ("kubernetes", "matches-nothing"): "Replace the addresses by a podSelector of the pods behind the Service.",
    (
        "kubernetes",
        "needs-setting",
    ): "Restart the agents if DNS fails: kubectl -n kube-system rollout restart ds/cilium.",
    ("kubernetes", "host-networked"): "Nothing changes: guard host-networked pods by other means.",
}
_UNREADABLE_ADVICE: Final = "Look at the object, and mend or delete it."


def findings(changes: Iterable[PolicyChange]) -> tuple[Finding, ...]:
    """Return a finding for each change: a warning where it concerns running workloads, else an information."""
    return tuple(_finding(change) for change in changes)


def _finding(change: PolicyChange) -> Finding:
    return Finding(
        code=_CODES[change.family],
        severity=_severity(change),
        subject=change.policy,
        seen=f"{change.reason} ({_workloads(change)})",
        advice=_ADVICE.get((change.family, change.effect), _UNREADABLE_ADVICE),
    )


def _severity(change: PolicyChange) -> Severity:
    warns = change.effect in _ALWAYS_WARN or (change.effect in _WARN_IF_SELECTING and bool(change.workloads))
    return Severity.WARNING if warns else Severity.INFO


def _workloads(change: PolicyChange) -> str:
    if not change.workloads:
        return "workloads selected: none"
    return f"workloads selected: {shortened(change.workloads, NAMED)}"
