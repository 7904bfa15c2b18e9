"""AdminNetworkPolicies and the baseline one: Calico enforces them from v3.29 on, Cilium not at all.

Source: docs/platform.md 5.7 and 6.1; the API is network-policy-api's v1alpha1.
"""

from __future__ import annotations

from migration.policies.judged import Judged
from migration.policies.labels import label_selector
from migration.policies.model import DIRECTIONS, Policy
from migration.policies.reading import Unreadable, mapping, mappings, text
from migration.policies.workloads import Group, Workloads


def judge(policy: Policy, workloads: Workloads) -> Judged:
    """Return what an administrator's policy does, and to whom. Raises Unreadable.

    It isolates nobody: what none of its rules names goes on to the other policies.
    """
    spec = mapping(policy.spec, "spec")
    sides = []
    for direction in DIRECTIONS:
        actions = [text(rule.get("action"), "action") for rule in mappings(spec.get(direction), f"spec.{direction}")]
        counts = [f"{actions.count(action)} {action}" for action in dict.fromkeys(actions)]
        if counts:
            sides.append(f"{direction}: {' and '.join(counts)} rule(s)")
    return Judged(
        policy=policy,
        family="admin",
        groups=_subject(mapping(spec.get("subject"), "spec.subject"), workloads),
        does=f"decides before all NetworkPolicies ({', '.join(sides) or 'without a rule'})"
        if policy.kind == "AdminNetworkPolicy"
        else f"decides where no NetworkPolicy does ({', '.join(sides) or 'without a rule'})",
    )


def _subject(subject: dict[str, object] | object, workloads: Workloads) -> frozenset[Group]:
    found = mapping(subject, "spec.subject")
    if found.get("namespaces") is not None:
        namespaces = label_selector(found["namespaces"], "spec.subject.namespaces")
        return workloads.of(label_selector(None, ""), namespaces=workloads.namespaces(namespaces))
    if found.get("pods") is not None:
        pods = mapping(found["pods"], "spec.subject.pods")
        namespaces = label_selector(pods.get("namespaceSelector"), "spec.subject.pods.namespaceSelector")
        selector = label_selector(pods.get("podSelector"), "spec.subject.pods.podSelector")
        return workloads.of(selector, namespaces=workloads.namespaces(namespaces))
    raise Unreadable("spec.subject names neither namespaces nor pods")
