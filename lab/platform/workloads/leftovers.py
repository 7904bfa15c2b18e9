"""What a terminating namespace says of the content that still keeps it. Refuses to delete anything.

Kubernetes v1.35: pkg/controller/namespace/deletion/status_condition_utils.go.
"""

from __future__ import annotations

from collections import Counter

from lab.objects import Object, timestamp

_FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


def conditions_of(namespace: Object, left: dict[str, list[Object]]) -> list[Object]:
    """Return the conditions of a namespace in which some objects are left, by `plural.group`."""
    troubles = {}
    counts = {f"{name if '.' in name else f'{name}.'}": len(items) for name, items in left.items() if items}
    if counts:
        listed = ", ".join(sorted(f"{name} has {count} resource instances" for name, count in counts.items()))
        troubles["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {listed}")
    finalizers = Counter(f for items in left.values() for item in items for f in item["metadata"].get("finalizers", ()))
    if finalizers:
        listed = ", ".join(sorted(f"{name} in {count} resource instances" for name, count in finalizers.items()))
        text = f"Some content in the namespace has finalizers remaining: {listed}"
        troubles["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", text)
    held = {c["type"]: c for c in (namespace.get("status") or {}).get("conditions") or ()}
    return [_condition(kind, troubles.get(kind), held.get(kind)) for kind in _FINE]


def _condition(kind: str, trouble: tuple[str, str] | None, held: Object | None) -> Object:
    reason, message = trouble or _FINE[kind]
    condition = {"type": kind, "status": "True" if trouble else "False", "reason": reason, "message": message}
    same = held is not None and {key: held.get(key) for key in condition} == condition
    since = held["lastTransitionTime"] if same and held is not None else timestamp()
    return {**condition, "lastTransitionTime": since}
