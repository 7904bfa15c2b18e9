"""What a DELETE makes of an object: gone at once, or marked with a deletionTimestamp. Refuses to store anything.

Follows k8s.io/apiserver/pkg/registry/rest/delete.go and the pod strategy of Kubernetes v1.35.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.apiserver.bodies.decoding import decoded_message
from lab.apiserver.metadata import after
from lab.apiserver.problems import Violation, bad_request, invalid_deletion, other_object
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
        """Return the options of a request's body; 400 for what is of a wrong type, 422 for what makes no sense."""
        if body.get("kind", "DeleteOptions") != "DeleteOptions":
            version = body.get("apiVersion", "")
            raise bad_request(
                f'no kind "{body["kind"]}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
            )
        body = decoded_message("DeleteOptions", body)
        if violations := _violations(body):
            raise invalid_deletion(violations)
        preconditions = body.get("preconditions") or {}
        propagation = body.get("propagationPolicy") or ""
        if body.get("orphanDependents") is not None:
            propagation = "Orphan" if body["orphanDependents"] else "Background"
        return DeleteOptions(
            grace_period_seconds=body.get("gracePeriodSeconds"),
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            propagation=propagation,
        )


def check_preconditions(resource: Resource, found: Object, options: DeleteOptions) -> None:
    """Raise the 409 for an object that is not the one, or not the version, that is to be deleted."""
    metadata = found["metadata"]
    if options.uid and options.uid != metadata["uid"]:
        raise other_object(
            resource,
            metadata["name"],
            field="UID",
            wanted=options.uid,
            found=metadata["uid"],
            happened="deleted and then recreated",
        )
    if options.resource_version and options.resource_version != metadata["resourceVersion"]:
        raise other_object(
            resource,
            metadata["name"],
            field="ResourceVersion",
            wanted=options.resource_version,
            found=metadata["resourceVersion"],
            happened="modified",
        )


def _violations(body: Object) -> list[Violation]:
    """Return what makes no sense (k8s.io/apimachinery v0.35, meta/v1/validation, ValidateDeleteOptions)."""
    propagation, found = body.get("propagationPolicy"), []
    if propagation is not None and body.get("orphanDependents") is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        found.append(Violation.invalid("propagationPolicy", propagation, detail))
    elif propagation not in (None, "Background", "Foreground", "Orphan"):
        supported = ("Foreground", "Background", "Orphan", "nil")
        found.append(Violation.unsupported("propagationPolicy", propagation, supported))
    return [*found, *dry_run_violations(body.get("dryRun") or [])]


def dry_run_violations(asked: list[str]) -> list[Violation]:
    """Return what is wrong with the dryRun of a request: it is All or nothing."""
    return [] if set(asked) <= {"All"} else [Violation.unsupported("dryRun", asked, ("All",))]


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
        if resource.plural != "namespaces":  # they end by their own strategy (pkg/registry/core/namespace/storage)
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


def ends_gracefully(resource: Resource) -> bool:
    """Tell whether objects of a resource may take their time to end, as only pods do."""
    return resource.plural == "pods" and not resource.group


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
    if not ends_gracefully(resource):
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
