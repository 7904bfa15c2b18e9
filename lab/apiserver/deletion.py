"""What a DELETE makes of an object: gone at once, or marked with a deletionTimestamp. Refuses to store anything.

Follows k8s.io/apiserver/pkg/registry/rest/delete.go and the pod strategy of Kubernetes v1.34.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.apiserver.decoding import decoded_message
from lab.apiserver.metadata import after, wrong_uid
from lab.apiserver.problems import bad_request, conflict
from lab.objects import Object
from lab.resources import Resource

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

PROTECTED_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})


@dataclass(frozen=True, kw_only=True)
class DeleteOptions:
    """How to delete, as metav1.DeleteOptions. An empty `propagation` leaves it to the resource."""

    grace_period_seconds: int | None = None
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""

    @staticmethod
    def from_body(body: Object) -> DeleteOptions:
        """Return the options of a request's body; 400 for what is of a wrong type or out of range."""
        body = decoded_message("DeleteOptions", body)
        preconditions = body.get("preconditions") or {}
        propagation = body.get("propagationPolicy") or ""
        if body.get("orphanDependents") is not None and not propagation:
            propagation = "Orphan" if body["orphanDependents"] else "Background"
        if propagation not in ("", "Background", "Foreground", "Orphan"):
            raise bad_request(f'invalid DeleteOptions: propagationPolicy: Unsupported value: "{propagation}"')
        grace = body.get("gracePeriodSeconds")
        if grace is not None and grace < 0:
            raise bad_request(f"invalid DeleteOptions: gracePeriodSeconds: Invalid value: {grace}: is negative")
        return DeleteOptions(
            grace_period_seconds=grace,
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            propagation=propagation,
        )


def check_preconditions(resource: Resource, found: Object, options: DeleteOptions) -> None:
    """Raise the 409 for an object that is not the one, or not the version, that is to be deleted."""
    metadata = found["metadata"]
    if options.uid and options.uid != metadata["uid"]:
        raise wrong_uid(resource, metadata["name"], options.uid, metadata["uid"])
    if options.resource_version and options.resource_version != metadata["resourceVersion"]:
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, "
            f"ResourceVersion in object meta: {metadata['resourceVersion']}"
        )
        raise conflict(resource, metadata["name"], why)


def marked(resource: Resource, found: Object, options: DeleteOptions) -> Object:
    """Return the object as its deletion leaves it, the same if it is on its way already. `is_gone` tells if it ends."""
    metadata: dict[str, Any] = dict(found["metadata"])
    finalizers = _finalizers(resource, metadata.get("finalizers") or [], options.propagation)
    metadata.pop("finalizers", None)
    if finalizers:
        metadata["finalizers"] = finalizers
    grace = _grace(resource, found, options)
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = after(grace)
        metadata["deletionGracePeriodSeconds"] = grace
        if metadata.get("generation"):
            metadata["generation"] += 1
    elif options.grace_period_seconds is not None and grace < metadata.get("deletionGracePeriodSeconds", 0):
        metadata["deletionTimestamp"] = after(grace)
        metadata["deletionGracePeriodSeconds"] = grace
    ended = {**found, "metadata": metadata}
    if resource.plural == "namespaces":
        ended["status"] = {**(found.get("status") or {}), "phase": "Terminating"}
    return ended


def is_gone(found: Object) -> bool:
    """Tell whether a terminating object has nothing left to wait for."""
    metadata = found["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if found["kind"] == "Namespace" and (found.get("spec") or {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


def _grace(resource: Resource, found: Object, options: DeleteOptions) -> int:
    """Only pods end gracefully; those that never reached a node, or have finished, end at once."""
    if resource.plural != "pods" or resource.group:
        return 0
    spec = found.get("spec") or {}
    if not spec.get("nodeName") or (found.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = options.grace_period_seconds
    if grace is None:
        grace = spec.get("terminationGracePeriodSeconds", 30)
    return 1 if grace < 0 else int(grace)


def _finalizers(resource: Resource, held: list[str], propagation: str) -> list[str]:
    if not propagation:
        # batch/v1 Jobs orphan their pods unless told otherwise (pkg/registry/batch/job/strategy.go).
        propagation = "Orphan" if (resource.group, resource.plural) == ("batch", "jobs") and not held else ""
    if not propagation:
        return held
    others = [name for name in held if name not in (FOREGROUND, ORPHAN)]
    return {"Foreground": [*others, FOREGROUND], "Orphan": [*others, ORPHAN]}.get(propagation, others)
