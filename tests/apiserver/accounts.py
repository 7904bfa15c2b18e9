"""ServiceAccounts with rights, for the tests of access on both API servers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from tests.apiserver.conftest import Server

RBAC = "/apis/rbac.authorization.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"
AUTHENTICATION = "/apis/authentication.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
MARKER = "markers"
PATIENCE_SECONDS = 10
_numbers = itertools.count(1)

Rule = Mapping[str, Any]


def rule(verbs: str, resources: str, *names: str, group: str = "") -> Rule:
    """Return a PolicyRule; verbs and resources are separated by blanks."""
    made: dict[str, Any] = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return {**made, "resourceNames": list(names)} if names else made


@dataclass
class Accounts:
    """The ServiceAccounts of one namespace, with bindings that are in effect once they have been made."""

    server: Server
    api: httpx.Client
    namespace: str
    stack: ExitStack
    _clients: dict[str, httpx.Client] = field(default_factory=dict)

    def user(self, account: str) -> str:
        """Return the account's name as a user."""
        return f"system:serviceaccount:{self.namespace}:{account}"

    def make(self, account: str = "worker") -> httpx.Client:
        """Make an account and return its client."""
        self.made(f"/api/v1/namespaces/{self.namespace}/serviceaccounts", {"metadata": {"name": account}})
        client = self._clients[account] = self.stack.enter_context(self.server.client(self.token(account)))
        return client

    def token(self, account: str) -> str:
        """Return a new token of the account."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        return str(self.made(path, {"spec": {}})["status"]["token"])

    def made(self, path: str, body: Any) -> Any:
        """Create something as the admin."""
        answer = self.api.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def grant(self, *rules: Rule, account: str = "worker", subject: Rule | None = None) -> str:
        """Give rules in this namespace, by a Role and a RoleBinding whose name is returned."""
        return self._grant(rules, account, subject, role_at=self.namespace, binding_at=self.namespace)

    def grant_cluster_role_here(self, *rules: Rule, account: str = "worker") -> str:
        """Give rules in this namespace, by a ClusterRole and a RoleBinding."""
        return self._grant(rules, account, None, role_at="", binding_at=self.namespace)

    def grant_everywhere(self, *rules: Rule, account: str = "worker", subject: Rule | None = None) -> str:
        """Give rules everywhere, by a ClusterRole and a ClusterRoleBinding."""
        return self._grant(rules, account, subject, role_at="", binding_at="")

    def _grant(self, rules: Any, account: str, subject: Rule | None, *, role_at: str, binding_at: str) -> str:
        name = f"{self.namespace}-{next(_numbers)}"
        mark = rule("see", MARKER, name, group="example.com")
        kind = "Role" if role_at else "ClusterRole"
        self.made(_path(kind, role_at), {"metadata": {"name": name}, "rules": [*rules, mark]})
        subject = subject or {"kind": "ServiceAccount", "name": account, "namespace": self.namespace}
        reference = {"apiGroup": GROUP, "kind": kind, "name": name}
        body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        self.made(_path("RoleBinding" if binding_at else "ClusterRoleBinding", binding_at), body)
        self._until_seen(account, name)
        return name

    def _until_seen(self, account: str, mark: str) -> None:
        """Wait until the server, whose authorizer reads roles through watches, knows the new binding."""
        client, ends = self._clients[account], time.monotonic() + PATIENCE_SECONDS
        attributes = {"verb": "see", "group": "example.com", "resource": MARKER, "name": mark}
        while not may(client, namespace=self.namespace, **attributes)["allowed"]:
            assert time.monotonic() < ends, "the binding never came into effect"
            time.sleep(0.02)  # looks at another process, which tells nobody when it changes


def may(client: httpx.Client, **attributes: str) -> Any:
    """Return the status of a SelfSubjectAccessReview."""
    return review(client, "selfsubjectaccessreviews", {"resourceAttributes": attributes})


def review(client: httpx.Client, plural: str, spec: Any, *, base: str = AUTHORIZATION) -> Any:
    """Create a review and return its status."""
    answer = client.post(f"{base}/{plural}", json={"spec": spec})
    assert answer.status_code == 201, answer.text
    return answer.json()["status"]


def refused(answer: httpx.Response) -> tuple[int, str, str, Any]:
    """Return code, reason, message and details of a Status."""
    status = answer.json()
    assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure")
    assert status["code"] == answer.status_code
    return answer.status_code, status["reason"], status["message"], status.get("details")


def accounts_in(server: Server, api: httpx.Client, namespace: str) -> Iterator[Accounts]:
    """Yield the accounts of a namespace; their clients are closed in the end."""
    with ExitStack() as stack:
        yield Accounts(server, api, namespace, stack)


def _path(kind: str, namespace: str) -> str:
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{RBAC}{place}/{kind.lower()}s"
