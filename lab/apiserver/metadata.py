"""What an API server makes of `metadata`: the fields that it alone sets, and the generation.

Refuses to store: it only prepares drafts.
"""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import replace
from typing import Any

from lab.apiserver.problems import Violation, bad_request, conflict, invalid
from lab.errors import ApiError
from lab.objects import Object
from lab.resources import Resource

_SET_BY_SERVER = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_DROPPED_IF_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences", "generateName")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names, k8s.io/apimachinery/pkg/util/rand."""

_GROUPS_WITH_GENERATION = frozenset(
    {"apps", "batch", "policy", "networking.k8s.io", "apiextensions.k8s.io", "admissionregistration.k8s.io"}
)

_REPLACED_BY_VERSION = frozenset(
    {
        "apiservices.apiregistration.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "leases.coordination.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "poddisruptionbudgets.policy",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
    }
)
"""Built-in resources that are only replaced with their resourceVersion (AllowUnconditionalUpdate in pkg/registry)."""

_second = -1
_now = ""


def now() -> str:
    """Return the current metav1.Time; formatted once a second."""
    global _second, _now
    second = int(time.time())
    if second != _second:
        _second, _now = second, after(0)
    return _now


def after(seconds: float) -> str:
    """Return the metav1.Time that comes in the given real seconds."""
    return after_epoch(time.time() + seconds)


def after_epoch(seconds: float) -> str:
    """Return the metav1.Time that is the given seconds after the beginning of 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def has_generation(resource: Resource) -> bool:
    """Tell whether objects of a resource count their generations; pods do since Kubernetes 1.33."""
    return resource.custom or resource.group in _GROUPS_WITH_GENERATION or resource.plural == "pods"


def start_metadata(resource: Resource, metadata: dict[str, Any]) -> None:
    """Give a new object's metadata what the server sets, in place."""
    if metadata.get("resourceVersion"):
        raise _version_on_create()
    for field in (*_SET_BY_SERVER, "resourceVersion", "managedFields", "selfLink"):
        metadata.pop(field, None)
    if not metadata.get("name") and metadata.get("generateName"):
        suffix = "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
        metadata["name"] = metadata["generateName"][:58] + suffix
    _drop_empty(metadata)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now()
    if has_generation(resource):
        metadata["generation"] = 1


def settle_metadata(resource: Resource, old: Object, new: Object, *, put: bool) -> None:
    """Give an update's own copy of the metadata what may not change; 409 if it is meant for another version.

    With `put` a custom resource must say which version it replaces.
    """
    held = old["metadata"]
    metadata = new["metadata"] = dict(new.get("metadata") or {})
    name = held["name"]
    if metadata.setdefault("name", name) != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    _check_version(resource, metadata.get("resourceVersion") or "", held, put=put)
    if (metadata.get("uid") or held["uid"]) != held["uid"]:
        if put:
            raise wrong_uid(resource, name, metadata["uid"], held["uid"])
        raise _immutable(resource, name, "uid", metadata["uid"])
    if (metadata.get("namespace") or held.get("namespace")) != held.get("namespace"):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if metadata.get(field) is not None and metadata[field] != held.get(field):
            raise _immutable(resource, name, field, metadata[field])
    for field in (*_SET_BY_SERVER, "namespace", "resourceVersion"):
        if field in held:
            metadata[field] = held[field]
        else:
            metadata.pop(field, None)
    metadata.pop("managedFields", None)
    metadata.pop("selfLink", None)
    _drop_empty(metadata)
    _refuse_late_finalizers(resource, held, metadata)


def raise_generation(resource: Resource, old: Object, new: Object) -> None:
    """Count a new generation, in place, if what the user desires has changed."""
    if not has_generation(resource):
        return
    if resource.custom:
        ignored = {"metadata", "status"} if "status" in resource.subresources else {"metadata"}
        changed = any(new.get(key) != old.get(key) for key in {**old, **new} if key not in ignored)
    else:
        changed = new.get("spec") != old.get("spec") or new.get("webhooks") != old.get("webhooks")
    if changed:
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def wrong_uid(resource: Resource, name: str, wanted: str, found: str) -> Exception:
    """Return the 409 for an object that has been replaced by another of its name."""
    return conflict(resource, name, f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}")


def _check_version(resource: Resource, version: str, held: dict[str, Any], *, put: bool) -> None:
    if version and not version.isdecimal():
        raise ApiError(500, f'strconv.ParseUint: parsing "{version}": invalid syntax', reason="")
    if version.strip("0"):
        if version != held["resourceVersion"]:
            raise conflict(resource, held["name"])
    elif put and (resource.custom or resource.group_resource in _REPLACED_BY_VERSION):
        unset = Violation.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        # The registry names the resource here where it names the kind elsewhere (apiserver v0.35, registry/store.go).
        raise invalid(replace(resource, kind=resource.plural), held["name"], [unset])


def _immutable(resource: Resource, name: str, field: str, value: object) -> Exception:
    """Return the 422 for a changed field, which both validations of metadata complain about."""
    return invalid(resource, name, [Violation.invalid(f"metadata.{field}", value, "field is immutable")] * 2)


def _refuse_late_finalizers(resource: Resource, held: dict[str, Any], metadata: dict[str, Any]) -> None:
    if "deletionTimestamp" not in held:
        return
    late = [f for f in metadata.get("finalizers") or () if f not in (held.get("finalizers") or ())]
    if late:
        shown = ", ".join(f'"{name}"' for name in late)
        detail = (
            f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
        )
        # Both the strategy and the registry check it, and both are heard.
        raise invalid(resource, held["name"], [Violation.forbidden("metadata.finalizers", detail)] * 2)


def _drop_empty(metadata: dict[str, Any]) -> None:
    for field in _DROPPED_IF_EMPTY:
        if field in metadata and not metadata[field]:
            del metadata[field]


def _version_on_create() -> Exception:
    return ApiError(500, "resourceVersion should not be set on objects to be created", reason="")
