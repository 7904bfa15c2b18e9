"""Which pod may run on which node. Pure; refuses to know how full a node is.

Rules: kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration and .../assign-pod-node.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.objects import Object, labels_of, name_of

NOT_READY = "node.kubernetes.io/not-ready"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NETWORK_UNAVAILABLE = "node.kubernetes.io/network-unavailable"
CONDITION_TAINTS = frozenset({NOT_READY, UNSCHEDULABLE, NETWORK_UNAVAILABLE})
"""The taints that follow from a node's state and come and go with it."""

NODE_AFFINITY_MISMATCH = "node(s) didn't match Pod's node affinity/selector"


def is_node_ready(node: Object) -> bool:
    """Tell whether the node's Ready condition is True."""
    return condition_status(node, "Ready") == "True"


def condition_status(found: Object, kind: str) -> str:
    """Return the status of a condition, `Unknown` when it was never reported."""
    for condition in (found.get("status") or {}).get("conditions") or ():
        if condition["type"] == kind:
            return str(condition["status"])
    return "Unknown"


def condition_taints(node: Object) -> list[str]:
    """Return the keys of the NoSchedule taints that the node's state calls for."""
    due = [] if is_node_ready(node) else [NOT_READY]
    if condition_status(node, "NetworkUnavailable") == "True":
        due.append(NETWORK_UNAVAILABLE)
    if node["spec"].get("unschedulable"):
        due.append(UNSCHEDULABLE)
    return due


def repelling_taints(node: Object) -> list[Object]:
    """Return the taints that keep pods away, those that the node's state calls for included."""
    due: list[Object] = [{"key": key, "effect": "NoSchedule"} for key in condition_taints(node)]
    given = (taint for taint in node["spec"].get("taints") or () if taint["effect"] in ("NoSchedule", "NoExecute"))
    return due + [taint for taint in given if taint["key"] not in CONDITION_TAINTS]


def tolerates(tolerations: Iterable[Object], taint: Object) -> bool:
    """Tell whether one of the tolerations covers the taint."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def why_not(pod: Object, node: Object) -> str | None:
    """Return why the pod may not run on the node, in the scheduler's words; None if it may."""
    spec = pod["spec"]
    if not _selects(spec, node):
        return NODE_AFFINITY_MISMATCH
    tolerations = spec.get("tolerations") or ()
    for taint in repelling_taints(node):
        if not tolerates(tolerations, taint):
            if taint["key"] == UNSCHEDULABLE:
                return "node(s) were unschedulable"
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return None


def _selects(spec: dict[str, Any], node: Object) -> bool:
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(_matches_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def _matches_term(term: Object, node: Object) -> bool:
    fields = {"metadata.name": name_of(node)}
    expressions = [(rule, labels_of(node)) for rule in term.get("matchExpressions") or ()]
    expressions += [(rule, fields) for rule in term.get("matchFields") or ()]
    return bool(expressions) and all(_matches(rule, values) for rule, values in expressions)


def _matches(rule: Object, values: dict[str, str]) -> bool:
    found, wanted = values.get(rule["key"]), list(rule.get("values") or ())
    match rule["operator"]:
        case "In":
            return found in wanted
        case "NotIn":
            return found not in wanted
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt":
            return found is not None and int(found) > int(wanted[0])
        case _:
            return found is not None and int(found) < int(wanted[0])
