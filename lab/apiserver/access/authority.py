"""Who asks, and whether they may: bearer tokens, impersonation, and the refusals in the words of kube-apiserver.

Source: Kubernetes v1.35, k8s.io/apiserver pkg/endpoints/filters and pkg/endpoints/handlers/responsewriters/errors.go.
Refuses to know which rules there are: `rbac` reads them from the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lab.apiserver.access.rules import SERVICE_ACCOUNT_PREFIX, Act, Roles, allows, service_account_groups
from lab.apiserver.access.tokens import ServiceAccountTokens
from lab.apiserver.admission import User
from lab.apiserver.problems import bad_request
from lab.errors import ApiError

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))

_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True)
class Decision:
    """Whether an act is allowed, and what an access review says about why."""

    allowed: bool
    reason: str = ""


class Access:
    """Authenticates requests and authorizes acts."""

    def __init__(self, tokens: Mapping[str, User], accounts: ServiceAccountTokens, roles: Roles) -> None:
        self._users = {token: _authenticated(user) for token, user in tokens.items()}
        self._accounts = accounts
        self._roles = roles

    def authenticate(self, authorization: str) -> User:
        """Return the user of an Authorization header, `system:anonymous` without a bearer token; raises the 401."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return ANONYMOUS
        user = self._users.get(token)
        if user is not None:
            return user
        account = self._accounts.user_of(token)
        if account is None:
            raise ApiError(401, "Unauthorized")
        return _authenticated(account)

    def impersonated(self, user: User, *, name: str, groups: Sequence[str], uid: str) -> User:
        """Return the user that another asks to be taken for; raises the 403 unless that one may."""
        if not name:
            asked = [f"{{Group  {group}    }}" for group in groups]
            asked += [f"{{UID  {uid}  authentication.k8s.io/v1  }}"] if uid else []
            raise bad_request(f"requested [{' '.join(asked)}] without impersonating a user")
        namespace, _, account = name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
        if name.startswith(SERVICE_ACCOUNT_PREFIX):
            act = Act(verb="impersonate", resource="serviceaccounts", namespace=namespace, name=account)
            groups = groups or service_account_groups(namespace)
        else:
            act = Act(verb="impersonate", resource="users", name=name)
        self.authorize(user, act)
        if not name.startswith(SERVICE_ACCOUNT_PREFIX):
            for group in groups:
                self.authorize(user, Act(verb="impersonate", resource="groups", name=group))
        if uid:
            self.authorize(user, Act(verb="impersonate", group="authentication.k8s.io", resource="uids", name=uid))
        if name == ANONYMOUS.name:
            return replace(ANONYMOUS, groups=(*groups, UNAUTHENTICATED))
        return _authenticated(User(name, tuple(groups), uid=uid))

    def decide(self, user: User, act: Act) -> Decision:
        """Tell whether a user may do this, and why."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        granted = self._roles.granted(user, act.namespace)
        for rule, source in granted.rules:
            if allows(rule, act):
                return Decision(allowed=True, reason=f"RBAC: allowed by {source}")
        return Decision(allowed=False, reason=f"RBAC: {granted.error}" if granted.errors else "")

    def authorize(self, user: User, act: Act) -> None:
        """Raise the 403 unless the user may do this."""
        if MASTERS in user.groups:
            return
        decision = self.decide(user, act)
        if decision.allowed:
            return
        why = f": {decision.reason}" if decision.reason else ""
        if act.path:
            said = f'User "{user.name}" cannot {act.verb} path "{act.path}"'.translate(_ESCAPED)
            raise ApiError(403, f"forbidden: {said}{why}", details={})
        resource = f"{act.resource}.{act.group}" if act.group else act.resource
        shown = f'{resource} "{act.name}"' if act.name else resource
        target = f"{act.resource}/{act.subresource}" if act.subresource else act.resource
        scope = f'in the namespace "{act.namespace}"' if act.namespace else "at the cluster scope"
        said = f'User "{user.name}" cannot {act.verb} resource "{target}" in API group "{act.group}" {scope}'
        details = {"name": act.name, "group": act.group, "kind": act.resource}
        raise ApiError(
            403,
            f"{shown} is forbidden: {said.translate(_ESCAPED)}{why}",
            details={key: value for key, value in details.items() if value},
        )


def _authenticated(user: User) -> User:
    return user if AUTHENTICATED in user.groups else replace(user, groups=(*user.groups, AUTHENTICATED))
