"""Nobody grants by a Role or a binding what they don't hold themselves, unless they may `escalate` or `bind`.

Source: Kubernetes v1.35, pkg/registry/rbac/escalation_check.go and k8s.io/component-helpers/auth/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from lab.apiserver.access.authority import MASTERS, Access
from lab.apiserver.access.rules import Act, Roles, Rule, allows
from lab.apiserver.admission import AdmissionRequest, Hooks, User
from lab.apiserver.problems import forbidden, not_found
from lab.errors import ApiError
from lab.objects import Object, name_of
from lab.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES


class Escalation:
    """The refusals of one API server."""

    def __init__(self, access: Access, roles: Roles) -> None:
        self._access = access
        self._roles = roles

    def register(self, hooks: Hooks) -> None:
        """Be asked about every write of a Role or binding."""
        for resource in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            hooks.register(resource, self.check)

    def check(self, request: AdmissionRequest) -> None:
        """Raise the 403 if a write grants what its author doesn't hold."""
        user, new = request.user, request.new
        if new is None or MASTERS in user.groups or _grants_nothing_new(request.old, new):
            return
        namespace = new["metadata"].get("namespace", "")
        if "roleRef" in new:
            rules = self._of_binding(request, new["roleRef"], namespace)
        else:
            name = name_of(new) if request.old else ""
            rules = new.get("rules") or ()
            if self._may(user, "escalate", request.resource.plural, namespace, name):
                return
        missing = _not_held([rule for rule, _ in self._roles.granted(user, namespace).rules], rules)
        if missing:
            groups = " ".join(f'"{group}"' for group in user.groups)
            who = f'user "{user.name}" (groups=[{groups}])'
            listed = "\n".join(missing)
            errors = self._roles.granted(user, namespace).error
            why = f"{who} is attempting to grant RBAC permissions not currently held:\n{listed}"
            why += f"; resolution errors: [{errors}]" if errors else ""
            raise forbidden(request.resource, name_of(new), why)

    def _of_binding(self, request: AdmissionRequest, reference: Rule, namespace: str) -> Sequence[Rule]:
        plural = "roles" if reference["kind"] == "Role" else "clusterroles"
        if self._may(request.user, "bind", plural, namespace, reference["name"]):
            return ()
        try:
            return self._roles.rules_of(reference, namespace)
        except ApiError as error:
            raise not_found(request.resource, reference["name"]) from error

    def _may(self, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
        act = Act(verb=verb, group=ROLES.group, resource=plural, namespace=namespace, name=name)
        return self._access.decide(user, act).allowed


def _grants_nothing_new(old: Object | None, new: Object) -> bool:
    return old is not None and all(old.get(part) == new.get(part) for part in ("rules", "roleRef", "subjects"))


def _not_held(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[str]:
    """Return what none of the rules held allows, a line for each resource or path."""
    by_target: dict[tuple[str, str, str], list[str]] = {}
    lines = []
    for rule in wanted:
        for verb in rule.get("verbs") or ():
            for group, resource, name in _targets(rule):
                plain, _, subresource = resource.partition("/")
                act = Act(verb=verb, group=group, resource=plain, subresource=subresource, name=name)
                if not any(allows(mine, act) for mine in held):
                    by_target.setdefault((group, resource, name), []).append(verb)
            lines += [
                _line(NonResourceURLs=[path], Verbs=[verb])
                for path in rule.get("nonResourceURLs") or ()
                if not any(allows(mine, Act(verb=verb, path=path)) for mine in held)
            ]
    for (group, resource, name), verbs in by_target.items():
        names = {"ResourceNames": [name]} if name else {}
        lines.append(_line(APIGroups=[group], Resources=[resource], **names, Verbs=verbs))
    return sorted(set(lines))


def _targets(rule: Rule) -> Iterable[tuple[str, str, str]]:
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for name in rule.get("resourceNames") or ("",):
                yield group, resource, name


def _line(**parts: list[str]) -> str:
    shown = (f"{name}:[{' '.join(orjson.dumps(value).decode() for value in values)}]" for name, values in parts.items())
    return f"{{{', '.join(shown)}}}"
