"""Checks what metadata says of an object's owners and of the finalizers that hold it.

Follows k8s.io/apimachinery v0.35, pkg/api/validation/objectmeta.go. Refuses to look for the owners: whether they exist
is the garbage collector's business.
"""

from __future__ import annotations

import re
from typing import Any

from lab.apiserver.problems import Violation
from lab.objects import Object
from lab.resources import Resource

_STANDARD = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_KNOWN_GROUPS = re.compile(r"[^/]+(/[^/]+)?")
_QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX_RULE = (
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_NAME_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def owner_violations(metadata: dict[str, Any]) -> list[Violation]:
    """Return what is wrong with the owner references."""
    references: list[Object] = metadata.get("ownerReferences") or []
    found = [violation for reference in references for violation in _reference_violations(reference)]
    controllers = [f"{r.get('kind')}/{r.get('name')}" for r in references if r.get("controller")]
    for another in controllers[1:]:
        detail = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {another}"
        )
        found.append(Violation.invalid("metadata.ownerReferences", [_in_order(r) for r in references], detail))
    return found


def _reference_violations(reference: Object) -> list[Violation]:
    field, found = "metadata.ownerReferences", []
    version = reference.get("apiVersion") or ""
    if not _KNOWN_GROUPS.fullmatch(version):
        found.append(Violation.invalid(f"{field}.apiVersion", version, "version must not be empty"))
    missing = [name for name in ("kind", "name", "uid") if not reference.get(name)]
    found += [Violation.invalid(f"{field}.{name}", "", "must not be empty") for name in missing]
    if (version, reference.get("kind")) == ("v1", "Event"):
        detail = "/v1, Kind=Event is disallowed from being an owner"
        found.append(Violation.invalid(field, _in_order(reference), detail))
    return found


def _in_order(reference: Object) -> Object:
    """Return a reference with its fields as Go writes them."""
    names = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
    return {name: reference[name] for name in names if name in reference}


def finalizer_violations(resource: Resource, metadata: dict[str, Any]) -> list[Violation]:
    """Return what is wrong with the finalizers. Core kinds alone refuse short names but the standard ones."""
    finalizers: list[str] = metadata.get("finalizers") or []
    found = [
        Violation.invalid("metadata.finalizers", name, _PREFIX_RULE if "/" in name else _NAME_RULE)
        for name in finalizers
        if not _QUALIFIED.fullmatch(name)
    ]
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(Violation.invalid("metadata.finalizers", finalizers, detail))
    if not resource.group and not found:
        detail = "name is neither a standard finalizer name nor is it fully qualified"
        found += [
            Violation.invalid(f"metadata.finalizers[{index}]", name, detail)
            for index, name in enumerate(finalizers)
            if "/" not in name and name not in _STANDARD
        ]
    return found


def without_duplicates(body: Object) -> tuple[Object, str]:
    """Return an object that has each of its owners but once, and the warning that is due if it had not.

    Source: k8s.io/apiserver v0.35, pkg/endpoints/handlers/rest.go.
    """
    metadata = body.get("metadata") or {}
    references: list[Object] = metadata.get("ownerReferences") or []
    kept = [reference for index, reference in enumerate(references) if reference not in references[:index]]
    if len(kept) == len(references):
        return body, ""
    twice = {str(r.get("uid", "")) for index, r in enumerate(references) if r in references[:index]}
    warning = (
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
        "reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
        + ", ".join(sorted(twice))
    )
    return {**body, "metadata": {**metadata, "ownerReferences": kept}}, warning
