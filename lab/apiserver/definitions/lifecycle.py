"""What becomes of a CustomResourceDefinition: its defaults and its status.

Source: apiextensions-apiserver of Kubernetes v1.35 (pkg/registry/customresourcedefinition, pkg/controller/status).
Refuses to serve anything: the catalog and the registry do.
"""

from __future__ import annotations

from lab.apiserver.metadata import now
from lab.apiserver.patches.merge import copied
from lab.objects import Object

KIND = "CustomResourceDefinition"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer of a definition whose objects are being deleted."""
DELETION_PENDING = (
    "InstanceDeletionPending",
    "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
)
DELETION_IN_PROGRESS = ("InstanceDeletionInProgress", "CustomResource deletion is in progress")


def fill_definition(new: Object, old: Object | None) -> None:
    """Fill in, in place, what a definition leaves open, and the versions that objects may be stored in."""
    if not isinstance(new.get("spec"), dict):
        new["spec"] = {}
    spec = new["spec"] = copied(new["spec"])
    names = spec.setdefault("names", {})
    if names.get("kind"):
        if not names.get("singular"):
            names["singular"] = names["kind"].lower()
        if not names.get("listKind"):
            names["listKind"] = f"{names['kind']}List"
    spec.setdefault("conversion", {"strategy": "None"})
    if spec.get("preserveUnknownFields") is False:
        del spec["preserveUnknownFields"]
    stored = [version["name"] for version in spec.get("versions") or () if version.get("storage")][:1]
    if old is None:
        new["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}
    else:
        status = old.get("status") or {}
        held = status.get("storedVersions") or []
        new["status"] = {**status, "storedVersions": [*held, *(name for name in stored if name not in held)]}


def is_established(definition: Object) -> bool:
    """Tell whether a definition is, or has been, served."""
    return _condition(definition, "Established").get("status") == "True"


def is_terminating(definition: Object) -> bool:
    """Tell whether the objects of a definition are being deleted."""
    return "deletionTimestamp" in definition["metadata"]


def accepted(definition: Object, conflict: tuple[str, str] | None) -> Object:
    """Return the status of a definition: served, or not for the conflict's reason and message."""
    status = definition.get("status") or {}
    if conflict is None:
        names, outcome = definition["spec"]["names"], ("True", "NoConflicts", "no conflicts found")
        served = ("True", "InitialNamesAccepted", "the initial names have been accepted")
    else:
        names, outcome = {"plural": definition["spec"]["names"]["plural"], "kind": ""}, ("False", *conflict)
        served = ("False", "NotAccepted", "not all names are accepted")
    if is_established(definition):
        served = ("True", "InitialNamesAccepted", "the initial names have been accepted")
    conditions = [_changed(definition, "NamesAccepted", *outcome), _changed(definition, "Established", *served)]
    known = {"NamesAccepted", "Established"}
    others = [found for found in status.get("conditions") or () if found["type"] not in known]
    return {**status, "conditions": [*conditions, *others], "acceptedNames": names}


def terminating(definition: Object, reason: str, message: str) -> Object:
    """Return the status of a definition whose objects are being deleted."""
    status = definition.get("status") or {}
    others = [found for found in status.get("conditions") or () if found["type"] != "Terminating"]
    return {**status, "conditions": [*others, _changed(definition, "Terminating", "True", reason, message)]}


def _condition(definition: Object, kind: str) -> Object:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return next((found for found in conditions if found["type"] == kind), {})


def _changed(definition: Object, kind: str, status: str, reason: str, message: str) -> Object:
    held = _condition(definition, kind)
    since = held["lastTransitionTime"] if held.get("status") == status else now()
    return {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
