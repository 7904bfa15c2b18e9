"""What Roles and bindings must be like, and what the server fills in for them.

Source: Kubernetes v1.35, pkg/apis/rbac/validation/validation.go and pkg/apis/rbac/v1/defaults.go.
"""

from __future__ import annotations

from typing import Any

import orjson

from lab.apiserver.problems import Violation
from lab.objects import Object
from lab.resources import ROLES

GROUP = ROLES.group
_ROLE_KINDS = {"RoleBinding": ("Role", "ClusterRole"), "ClusterRoleBinding": ("ClusterRole",)}
_SUBJECT_KINDS = ("ServiceAccount", "User", "Group")


def apply_role_defaults(new: Object) -> None:
    """Give the references of a binding their API group; what they share with another object stays untouched."""
    if new["kind"] not in _ROLE_KINDS:
        return
    new["roleRef"] = {"apiGroup": GROUP, **_filled(new.get("roleRef") or {})}
    if new.get("subjects"):
        new["subjects"] = [
            {"apiGroup": GROUP, **_filled(subject)} if subject.get("kind") in ("User", "Group") else subject
            for subject in new["subjects"]
        ]


def role_violations(new: Object, old: Object | None) -> list[Violation]:
    """Return what is wrong with a Role, a ClusterRole or a binding."""
    kind = new["kind"]
    if kind not in _ROLE_KINDS:
        rules = enumerate(new.get("rules") or ())
        return [v for i, rule in rules for v in _rule(rule, f"rules[{i}]", namespaced=kind == "Role")]
    found = _reference(new["roleRef"], _ROLE_KINDS[kind])
    for i, subject in enumerate(new.get("subjects") or ()):
        found += _subject(subject, f"subjects[{i}]", namespaced=kind == "RoleBinding")
    if old is not None and old["roleRef"] != new["roleRef"]:
        shown = {"APIGroup": "apiGroup", "Kind": "kind", "Name": "name"}
        value = {name: new["roleRef"].get(field, "") for name, field in shown.items()}
        found.append(_invalid("roleRef", value, "cannot change roleRef"))
    return found


def _rule(rule: Object, path: str, *, namespaced: bool) -> list[Violation]:
    found = []
    if not rule.get("verbs"):
        found.append(Violation.required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            found.append(
                _invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
            )
        if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(_invalid(f"{path}.nonResourceURLs", urls, why))
        return found
    if not rule.get("apiGroups"):
        found.append(Violation.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(Violation.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def _reference(reference: Object, kinds: tuple[str, ...]) -> list[Violation]:
    found = []
    if reference["apiGroup"] != GROUP:
        found.append(Violation.unsupported("roleRef.apiGroup", reference["apiGroup"], (GROUP,)))
    if reference.get("kind") not in kinds:
        found.append(Violation.unsupported("roleRef.kind", reference.get("kind", ""), kinds))
    if not reference.get("name"):
        found.append(Violation.required("roleRef.name"))
    return found


def _subject(subject: Object, path: str, *, namespaced: bool) -> list[Violation]:
    found = [] if subject.get("name") else [Violation.required(f"{path}.name")]
    kind, group = subject.get("kind", ""), subject.get("apiGroup", "")
    if kind not in _SUBJECT_KINDS:
        found.append(Violation.unsupported(f"{path}.kind", kind, _SUBJECT_KINDS))
    elif group != (wanted := "" if kind == "ServiceAccount" else GROUP):
        found.append(Violation.unsupported(f"{path}.apiGroup", group, (wanted,)))
    if kind == "ServiceAccount" and not namespaced and not subject.get("namespace"):
        found.append(Violation.required(f"{path}.namespace"))
    return found


def _filled(found: Object) -> Object:
    return {key: value for key, value in found.items() if value}


def _invalid(field: str, value: Any, why: str) -> Violation:
    return Violation("FieldValueInvalid", field, f"Invalid value: {orjson.dumps(value).decode()}: {why}")
