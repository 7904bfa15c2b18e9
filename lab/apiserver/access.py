"""Who may do what: tokens, rules, and the reviews by which a user asks about itself.

Refuses to read Roles and bindings from the store: users other than `system:masters` get their rules from the lab.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.apiserver.admission import User
from lab.errors import ApiError
from lab.objects import Object

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"

Rules = Mapping[str, Sequence[Mapping[str, Any]]]
"""User name -> PolicyRules as in a ClusterRole. A rule with `namespaces` holds only in those."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """What somebody wants to do to a resource, as SelfSubjectAccessReview's resourceAttributes."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class Access:
    """Authenticates bearer tokens and authorizes acts."""

    def __init__(self, tokens: Mapping[str, User], rules: Rules | None) -> None:
        self._tokens = tokens
        self._rules = rules or {}

    def authenticate(self, authorization: str) -> User:
        """Return the user of an Authorization header; raises the 401."""
        scheme, _, token = authorization.partition(" ")
        user = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise ApiError(401, "Unauthorized")
        return user

    def allows(self, user: User, act: Act) -> bool:
        """Tell whether a user may do this."""
        return MASTERS in user.groups or any(_covers(rule, act) for rule in self._rules.get(user.name, ()))

    def authorize(self, user: User, act: Act) -> None:
        """Raise the 403, in the words of kube-apiserver, unless the user may do this."""
        if self.allows(user, act):
            return
        resource = f"{act.resource}.{act.group}" if act.group else act.resource
        shown = f'{resource} "{act.name}"' if act.name else resource
        target = f"{act.resource}/{act.subresource}" if act.subresource else act.resource
        scope = f'in the namespace "{act.namespace}"' if act.namespace else "at the cluster scope"
        details = {"name": act.name, "group": act.group, "kind": act.resource}
        raise ApiError(
            403,
            f'{shown} is forbidden: User "{user.name}" cannot {act.verb} resource "{target}" '
            f'in API group "{act.group}" {scope}',
            details={key: value for key, value in details.items() if value},
        )

    def review(self, user: User, body: Object) -> Object:
        """Return a SelfSubjectAccessReview with its answer."""
        asked = (body.get("spec") or {}).get("resourceAttributes")
        if asked is None:
            allowed = True  # non-resource paths: everybody who is authenticated may read them
        else:
            allowed = self.allows(
                user,
                Act(
                    verb=asked.get("verb", ""),
                    group=asked.get("group", ""),
                    resource=asked.get("resource", ""),
                    subresource=asked.get("subresource", ""),
                    namespace=asked.get("namespace", ""),
                    name=asked.get("name", ""),
                ),
            )
        return {**body, "metadata": body.get("metadata") or {}, "status": {"allowed": allowed}}

    def rules_review(self, user: User, body: Object) -> Object:
        """Return a SelfSubjectRulesReview with what the user may do."""
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        rules = [everything] if MASTERS in user.groups else [dict(rule) for rule in self._rules.get(user.name, ())]
        urls = ["*"] if MASTERS in user.groups else ["/api", "/apis", "/healthz", "/openapi", "/version"]
        status = {
            "resourceRules": [{k: v for k, v in rule.items() if k != "namespaces"} for rule in rules],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": urls}],
            "incomplete": False,
        }
        return {**body, "metadata": body.get("metadata") or {}, "status": status}

    @staticmethod
    def self_review(user: User, body: Object) -> Object:
        """Return a SelfSubjectReview: who the user is."""
        groups = [*user.groups, *(() if AUTHENTICATED in user.groups else (AUTHENTICATED,))]
        return {
            **body,
            "metadata": body.get("metadata") or {},
            "status": {"userInfo": {"username": user.name, "groups": groups}},
        }


def _covers(rule: Mapping[str, Any], act: Act) -> bool:
    target = f"{act.resource}/{act.subresource}" if act.subresource else act.resource
    if not _matches(rule.get("verbs"), act.verb) or not _matches(rule.get("apiGroups"), act.group):
        return False
    if not (_matches(rule.get("resources"), target) or f"*/{act.subresource}" in (rule.get("resources") or ())):
        return False
    if rule.get("namespaces") and act.namespace not in rule["namespaces"]:
        return False
    return not rule.get("resourceNames") or act.name in rule["resourceNames"]


def _matches(listed: Sequence[str] | None, wanted: str) -> bool:
    return bool(listed) and ("*" in listed or wanted in listed)  # type: ignore[operator]
