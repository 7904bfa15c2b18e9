"""Reads the label selectors of Kubernetes and of Cilium.

Source: Kubernetes documentation, labels and selectors; Cilium `pkg/policy/api/selector.go` (docs/platform.md 5.8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from migration.policies.reading import Unreadable, mapping, mappings, string_map, text, texts
from migration.policies.selectors import Compared, Has, In, Not, Nothing, Selector, every

POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
NAMESPACE_LABELS: Final = "io.cilium.k8s.namespace.labels."

# Cilium, pkg/labelsfilter/filter.go: labels that a pod's identity has not by default, so that no policy sees them.
_UNSEEN: Final = re.compile(
    r"io\.kubernetes|kubernetes\.io|statefulset\.kubernetes\.io/pod-name|apps\.kubernetes\.io/pod-index"
    r"|batch\.kubernetes\.io/(job-completion-index|controller-uid)|.*beta\.kubernetes\.io|k8s\.io"
    r"|pod-template-generation|pod-template-hash|controller-revision-hash|controller-uid|annotation|etcd_node"
)


def unseen_by_cilium(key: str) -> bool:
    """Tell whether Cilium, with its default settings, leaves this label of a pod out of the pod's identity."""
    return _UNSEEN.match(key) is not None and not key.startswith(POD_NAMESPACE)


def label_selector(value: Any, where: str, *, key: Callable[[str], str | None] = lambda key: key) -> Selector:
    """Return a LabelSelector; an absent one is empty and selects everything.

    `key` says which of a pod's labels a key means; None for one that no pod can have.
    """
    found = mapping(value, where)
    exact = (
        _about(key(name), lambda own, wanted=wanted: Compared(own, "==", wanted))  # type: ignore[misc]
        for name, wanted in string_map(found.get("matchLabels"), f"{where}.matchLabels").items()
    )
    expressions = mappings(found.get("matchExpressions"), f"{where}.matchExpressions")
    return every((*exact, *(_expression(entry, f"{where}.matchExpressions", key) for entry in expressions)))


def cilium_selector(value: Any, where: str, *, own_namespace: bool = False) -> Selector:
    """Return an EndpointSelector; with `own_namespace`, Cilium passes over what it says of the namespace."""
    found = mapping(value, where)
    if own_namespace:
        found = _without_namespace(found, where)
    return label_selector(found, where, key=_pod_label)


def _expression(entry: Mapping[str, Any], where: str, key: Callable[[str], str | None]) -> Selector:
    operator, values = text(entry.get("operator"), where), texts(entry.get("values"), where)
    own = key(text(entry.get("key"), where))
    if operator == "In":
        return _about(own, lambda name: In(name, values))
    if operator == "NotIn":
        return Not(_about(own, lambda name: In(name, values)))
    if operator == "Exists":
        return _about(own, Has)
    if operator == "DoesNotExist":
        return Not(_about(own, Has))
    raise Unreadable(f"{where} has the operator {operator[:40]!r}")


def _about(key: str | None, make: Callable[[str], Selector]) -> Selector:
    return Nothing() if key is None else make(key)


def _pod_label(key: str) -> str | None:
    """Cilium writes `source:key`; pods have labels of the source k8s alone."""
    source, separator, name = key.partition(":")
    if not separator:
        return key
    return name if source in ("k8s", "any") else None


def _without_namespace(found: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    exact = string_map(found.get("matchLabels"), f"{where}.matchLabels")
    expressions = mappings(found.get("matchExpressions"), f"{where}.matchExpressions")
    return {
        "matchLabels": {name: value for name, value in exact.items() if _pod_label(name) != POD_NAMESPACE},
        "matchExpressions": [
            entry for entry in expressions if _pod_label(text(entry.get("key"), where)) != POD_NAMESPACE
        ],
    }
