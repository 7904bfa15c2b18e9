"""Answers the questions about access: may I, may they, what may I, who am I.

Source: Kubernetes v1.35, pkg/registry/authorization, pkg/apis/authorization/validation, pkg/registry/authentication.
Refuses to store: a review is created, answered and forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.apiserver.access.authority import Access, Decision
from lab.apiserver.access.rules import Act, Roles, Rule
from lab.apiserver.admission import User
from lab.apiserver.metadata import now
from lab.apiserver.problems import bad_request
from lab.errors import ApiError
from lab.objects import Object

_RULE_FIELDS = ("verbs", "apiGroups", "resources", "resourceNames")


class Reviews:
    """The reviews that one API server answers."""

    def __init__(self, access: Access, roles: Roles) -> None:
        self._access = access
        self._roles = roles

    def answer(self, kind: str, user: User, body: Object, *, namespace: str = "") -> Object:
        """Return a review with its answer; raises the 400 or 422 of one that makes no sense."""
        metadata = {key: value for key, value in (body.get("metadata") or {}).items() if value}
        if namespace:
            metadata["namespace"] = namespace
        body = {**body, "metadata": metadata}
        if kind == "SelfSubjectReview":
            body.pop("spec", None)
            return {**body, "metadata": {**metadata, "creationTimestamp": now()}, "status": {"userInfo": _info(user)}}
        spec = body.get("spec") or {}
        if kind == "SelfSubjectRulesReview":
            return {**body, "spec": {}, "status": self._rules(user, spec.get("namespace", ""))}
        if kind == "SelfSubjectAccessReview":
            subject = user
        else:
            subject = User(spec.get("user", ""), tuple(spec.get("groups") or ()), uid=spec.get("uid", ""))
            if not subject.name and not subject.groups:
                raise _invalid("spec.user", '""', "at least one of user or group must be specified")
        return {**body, "status": _status(self._access.decide(subject, _act_of(spec, namespace)))}

    def _rules(self, user: User, namespace: str) -> Object:
        if not namespace:
            raise bad_request("no namespace on request")
        granted = self._roles.granted(user, namespace)
        rules = [rule for rule, _ in granted.rules]
        status: Object = {
            "resourceRules": [_shown(rule) for rule in rules if rule.get("resources")],
            "nonResourceRules": [
                {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
                for rule in rules
                if rule.get("nonResourceURLs")
            ],
            "incomplete": False,
        }
        return {**status, "evaluationError": granted.error} if granted.errors else status


def _act_of(spec: Mapping[str, Any], namespace: str) -> Act:
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if asked is None:
        if path is None:
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise _invalid("spec.resourceAttributes", "null", why)
        return Act(verb=path.get("verb", ""), path=path.get("path", "") or "/")
    if path is not None:
        shown = f'{{"Path":"{path.get("path", "")}","Verb":"{path.get("verb", "")}"}}'
        raise _invalid(
            "spec.nonResourceAttributes", shown, "cannot be specified in combination with resourceAttributes"
        )
    where = asked.get("namespace", "")
    if namespace and where != namespace:
        raise _invalid("spec.resourceAttributes.namespace", f'"{where}"', "must match metadata.namespace")
    fields = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Act(**{field: asked.get(field) or "" for field in fields})


def _status(decision: Decision) -> Object:
    return {"allowed": decision.allowed, **({"reason": decision.reason} if decision.reason else {})}


def _shown(rule: Rule) -> Object:
    return {field: rule[field] for field in _RULE_FIELDS if rule.get(field)}


def _info(user: User) -> Object:
    info: Object = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra}
    return {key: value for key, value in info.items() if value}


def _invalid(field: str, value: str, why: str) -> ApiError:
    message = f"Invalid value: {value}: {why}"
    cause = {"reason": "FieldValueInvalid", "message": message, "field": field}
    # The kind is missing in kube-apiserver's own answer, too.
    return ApiError(
        422,
        f'.authorization.k8s.io "" is invalid: {field}: {message}',
        details={"group": "authorization.k8s.io", "causes": [cause]},
    )
