"""Raw Kubernetes objects and how to read them. Refuses to interpret any particular kind."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as JSON. Objects that an API server hands out are shared: read them, never change them;
`draft` gives a copy to change."""


def draft(found: Object) -> Object:
    """Return a deep copy that may be changed and sent back."""
    return copy.deepcopy(found)


def name_of(found: Object) -> str:
    """Return `metadata.name`."""
    return str(found["metadata"]["name"])


def namespace_of(found: Object) -> str:
    """Return `metadata.namespace`, empty for a cluster-scoped object."""
    return str(found["metadata"].get("namespace", ""))


def uid_of(found: Object) -> str:
    """Return `metadata.uid`."""
    return str(found["metadata"]["uid"])


def key_of(found: Object) -> str:
    """Return `namespace/name`, the key that controllers queue (`/name` for a cluster-scoped object)."""
    return f"{namespace_of(found)}/{name_of(found)}"


def split_key(key: str) -> tuple[str, str]:
    """Return namespace and name of a key made by `key_of`."""
    namespace, _, name = key.partition("/")
    return namespace, name


def labels_of(found: Object) -> dict[str, str]:
    """Return the labels, empty when there are none."""
    return found["metadata"].get("labels") or {}


def annotations_of(found: Object) -> dict[str, str]:
    """Return the annotations, empty when there are none."""
    return found["metadata"].get("annotations") or {}


def is_being_deleted(found: Object) -> bool:
    """Tell whether the object has a deletionTimestamp."""
    return "deletionTimestamp" in found["metadata"]


def controller_of(found: Object) -> Object | None:
    """Return the owner reference with `controller: true`, if there is one."""
    for reference in found["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def owner_reference(owner: Object) -> Object:
    """Return a controller reference to `owner`, blocking its foreground deletion as controllers do."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def timestamp(moment: datetime | None = None, *, micro: bool = False) -> str:
    """Return a moment (now, by default) as metav1.Time, or as MicroTime with `micro`."""
    moment = moment or datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def is_pod_ready(pod: Object) -> bool:
    """Tell whether the pod's Ready condition is True."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_pod_finished(pod: Object) -> bool:
    """Tell whether the pod has Succeeded or Failed."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
