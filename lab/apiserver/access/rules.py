"""Role-based access control: which rules the Roles and bindings in the store give a user, and what a rule allows.

Source: Kubernetes v1.35, pkg/registry/rbac/validation/rule.go and pkg/apis/rbac/v1/evaluation_helpers.go.
Refuses to know HTTP, tokens and reviews. ClusterRoles with an aggregationRule have the rules that they are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.apiserver.admission import User
from lab.apiserver.registry import Registry
from lab.errors import ApiError
from lab.objects import Object, name_of
from lab.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

Rule = Mapping[str, Any]
"""A PolicyRule of a Role or ClusterRole."""

SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
_MOST_REMEMBERED = 1_000


@dataclass(frozen=True, kw_only=True)
class Act:
    """What somebody wants to do: to a resource, or with a `path` that is not a resource's."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


@dataclass(frozen=True)
class Granted:
    """Rules with where they come from, in the words of an access review, and the bindings that lead nowhere."""

    rules: tuple[tuple[Rule, str], ...]
    errors: tuple[str, ...]

    @property
    def error(self) -> str:
        """The errors as one, the way `utilerrors.Aggregate` words them."""
        texts = list(dict.fromkeys(self.errors))
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""


class Roles:
    """The Roles, ClusterRoles and bindings of one API server."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[tuple[str, tuple[str, ...], str], Granted] = {}
        self._revision = 0

    def granted(self, user: User, namespace: str) -> Granted:
        """Return what a user may do cluster-wide and, if one is named, in a namespace."""
        kinds = (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)
        revision = sum(self._registry.shelf(kind).revision for kind in kinds)
        if revision != self._revision or len(self._known) > _MOST_REMEMBERED:
            self._known, self._revision = {}, revision
        key = (user.name, user.groups, namespace)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._granted(user, namespace)
        return found

    def rules_of(self, reference: Rule, namespace: str) -> Sequence[Rule]:
        """Return the rules that a roleRef leads to; 404 if there is no such role."""
        is_namespaced = reference["kind"] == "Role"
        kind, where = (ROLES, namespace) if is_namespaced else (CLUSTER_ROLES, "")
        found = self._registry.get(kind, reference["name"], namespace=where).object
        return found.get("rules") or ()

    def _granted(self, user: User, namespace: str) -> Granted:
        rules: list[tuple[Rule, str]] = []
        errors: list[str] = []
        for binding in self._bindings(namespace):
            where = binding["metadata"].get("namespace", "")
            subject = next((s for s in binding.get("subjects") or () if _is_about(s, user, where)), None)
            if subject is None:
                continue
            try:
                found = self.rules_of(binding["roleRef"], where)
            except ApiError:
                reference = binding["roleRef"]
                errors.append(f'{reference["kind"].lower()}.rbac.authorization.k8s.io "{reference["name"]}" not found')
            else:
                source = _described(binding, subject)
                rules += [(rule, source) for rule in found]
        return Granted(tuple(rules), tuple(errors))

    def _bindings(self, namespace: str) -> Iterator[Object]:
        for stored in self._registry.shelf(CLUSTER_ROLE_BINDINGS).range():
            yield stored.object
        if namespace:
            for stored in self._registry.shelf(ROLE_BINDINGS).range(namespace):
                yield stored.object


def allows(rule: Rule, act: Act) -> bool:
    """Tell whether a rule allows an act."""
    if not _matches(rule.get("verbs"), act.verb):
        return False
    if act.path:
        return any(_path_matches(listed, act.path) for listed in rule.get("nonResourceURLs") or ())
    if not _matches(rule.get("apiGroups"), act.group):
        return False
    target = f"{act.resource}/{act.subresource}" if act.subresource else act.resource
    resources = rule.get("resources")
    if not _matches(resources, target) and not (act.subresource and f"*/{act.subresource}" in (resources or ())):
        return False
    names = rule.get("resourceNames")
    return not names or act.name in names


def service_account_name(namespace: str, name: str) -> str:
    """Return the name of a ServiceAccount as a user."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """Return the groups of every ServiceAccount of a namespace."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def _is_about(subject: Rule, user: User, namespace: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "User":
        return bool(name == user.name)
    if kind == "Group":
        return name in user.groups
    where = subject.get("namespace") or namespace
    return bool(where) and service_account_name(where, name) == user.name


def _described(binding: Object, subject: Rule) -> str:
    reference, where = binding["roleRef"], binding["metadata"].get("namespace", "")
    name, who = name_of(binding), str(subject["name"])
    if subject["kind"] == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or where}"
    described = f'RoleBinding "{name}/{where}"' if where else f'ClusterRoleBinding "{name}"'
    return f'{described} of {reference["kind"]} "{reference["name"]}" to {subject["kind"]} "{who}"'


def _matches(listed: Sequence[str] | None, wanted: str) -> bool:
    return bool(listed) and (wanted in listed or "*" in listed)  # type: ignore[operator]


def _path_matches(listed: str, path: str) -> bool:
    return listed == path or (listed.endswith("*") and path.startswith(listed.rstrip("*")))
