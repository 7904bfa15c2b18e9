"""The questions about access: may I, may they, what may I, who am I; on both API servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.apiserver.accounts import (
    AUTHENTICATION,
    AUTHORIZATION,
    GROUP,
    RBAC,
    Accounts,
    accounts_in,
    may,
    refused,
    review,
    rule,
)

SELF = f"{AUTHORIZATION}/selfsubjectaccessreviews"


@pytest.fixture
def accounts(server: Any, api: httpx.Client, namespace: str) -> Iterator[Accounts]:
    yield from accounts_in(server, api, namespace)


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ({"verb": "list", "resource": "pods"}, True),
        ({"verb": "list", "resource": "pods", "namespace": "default"}, False),
        ({"verb": "list", "resource": "pods", "namespace": ""}, False),
        ({"verb": "delete", "resource": "pods"}, False),
        ({"verb": "list", "resource": "pods", "subresource": "status"}, False),
        ({"verb": "list", "group": "apps", "resource": "pods"}, False),
        ({"verb": "get", "resource": "secrets", "name": "mine"}, True),
        ({"verb": "get", "resource": "secrets", "name": "other"}, False),
        ({"verb": "get", "resource": "secrets"}, False),
        ({"verb": "create", "resource": "pods", "subresource": "eviction"}, True),
        ({"verb": "create", "resource": "pods", "subresource": "eviction", "name": "one"}, True),
        ({"verb": "create", "resource": "pods/eviction"}, True),
        ({"verb": "create", "resource": "pods"}, False),
        ({"verb": "*", "resource": "pods"}, False),
        ({"verb": "*", "resource": "leases", "group": "coordination.k8s.io"}, True),
        ({"verb": "list", "resource": "*"}, False),
        ({"verb": "frobnicate", "resource": "leases", "group": "coordination.k8s.io"}, True),
        ({"verb": "list", "resource": "pods", "version": "v9"}, True),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_user_may_ask_what_it_may_do(accounts, asked, allowed):
    client = accounts.make()
    accounts.grant(
        rule("list", "pods"),
        rule("create", "pods/eviction"),
        rule("get", "secrets", "mine"),
        rule("*", "leases", group="coordination.k8s.io"),
    )

    assert may(client, **{"namespace": accounts.namespace, **asked})["allowed"] is allowed


def test_a_review_says_by_which_binding(accounts):
    client = accounts.make()
    here = accounts.grant(rule("list", "pods"))
    shared = accounts.grant_cluster_role_here(rule("get", "pods"))
    everywhere = accounts.grant_everywhere(rule("list", "nodes"))
    namespace = accounts.namespace
    who = f'to ServiceAccount "worker/{namespace}"'

    reasons = [
        may(client, verb="list", resource="pods", namespace=namespace)["reason"],
        may(client, verb="get", resource="pods", namespace=namespace)["reason"],
        may(client, verb="list", resource="nodes")["reason"],
    ]

    assert reasons == [
        f'RBAC: allowed by RoleBinding "{here}/{namespace}" of Role "{here}" {who}',
        f'RBAC: allowed by RoleBinding "{shared}/{namespace}" of ClusterRole "{shared}" {who}',
        f'RBAC: allowed by ClusterRoleBinding "{everywhere}" of ClusterRole "{everywhere}" {who}',
    ]


def test_a_review_of_what_is_not_allowed_says_no_more(accounts):
    client = accounts.make()

    assert may(client, verb="list", resource="pods", namespace=accounts.namespace) == {"allowed": False}


def test_a_review_tells_of_a_missing_role(accounts):
    client = accounts.make()
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": f"gone-{accounts.namespace}"}
    subject = {"kind": "ServiceAccount", "name": "worker", "namespace": accounts.namespace}
    path = f"{RBAC}/namespaces/{accounts.namespace}/rolebindings"
    accounts.made(path, {"metadata": {"name": "nowhere"}, "roleRef": reference, "subjects": [subject]})
    accounts.grant(rule("list", "pods"))  # in effect after the one before
    said = f'clusterrole.rbac.authorization.k8s.io "gone-{accounts.namespace}" not found'

    answer = may(client, verb="list", resource="secrets", namespace=accounts.namespace)
    rules = review(client, "selfsubjectrulesreviews", {"namespace": accounts.namespace})

    assert answer == {"allowed": False, "reason": f"RBAC: {said}"}
    assert rules["evaluationError"] == said


def test_masters_may_do_everything(api):
    assert may(api, verb="delete", resource="nodes") == {"allowed": True}


def test_paths_may_be_asked_for(accounts):
    client = accounts.make()

    def answer(path: str) -> Any:
        return review(client, "selfsubjectaccessreviews", {"nonResourceAttributes": {"path": path, "verb": "get"}})

    assert answer("/apis/apps")["allowed"] is True
    assert answer("/metrics") == {"allowed": False}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            {},
            "spec.resourceAttributes",
            "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (
            {"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/healthz", "verb": "get"}},
            "spec.nonResourceAttributes",
            'Invalid value: {"Path":"/healthz","Verb":"get"}: cannot be specified in combination with '
            "resourceAttributes",
        ),
    ],
)
def test_a_review_asks_for_one_thing(api, spec, field, message):
    answer = api.post(SELF, json={"spec": spec})

    cause = {"reason": "FieldValueInvalid", "message": message, "field": field}
    assert refused(answer) == (
        422,
        "Invalid",
        f'.authorization.k8s.io "" is invalid: {field}: {message}',
        {"group": "authorization.k8s.io", "causes": [cause]},
    )


def test_a_review_comes_back_with_what_was_asked(api):
    spec = {"resourceAttributes": {"verb": "get", "resource": "pods"}}

    body = api.post(SELF, json={"spec": spec}).json()

    assert (body["kind"], body["apiVersion"]) == ("SelfSubjectAccessReview", "authorization.k8s.io/v1")
    assert body["spec"] == spec
    assert "name" not in body["metadata"]


def test_reviews_can_only_be_created(api):
    assert refused(api.get(SELF))[:2] == (405, "MethodNotAllowed")
    assert api.get(f"{SELF}/one").status_code in (404, 405)


def test_who_may_not_list_reviews_is_refused_before(accounts):
    assert refused(accounts.make().get(SELF))[0] == 403


class TestOfOthers:
    def test_an_admin_may_ask_about_others(self, accounts, api):
        accounts.make()
        accounts.grant(rule("list", "pods"))
        attributes = {"verb": "list", "resource": "pods", "namespace": accounts.namespace}

        def answer(**who: Any) -> Any:
            return review(api, "subjectaccessreviews", {"resourceAttributes": attributes, **who})

        assert answer(user=accounts.user("worker"))["allowed"] is True
        assert answer(user="somebody") == {"allowed": False}
        assert answer(user="somebody", groups=["system:masters"]) == {"allowed": True}

    def test_a_question_names_somebody(self, api):
        spec = {"resourceAttributes": {"verb": "list", "resource": "pods"}}

        answer = api.post(f"{AUTHORIZATION}/subjectaccessreviews", json={"spec": spec})

        expected = 'spec.user: Invalid value: "": at least one of user or group must be specified'
        assert refused(answer)[:3] == (422, "Invalid", f'.authorization.k8s.io "" is invalid: {expected}')

    def test_others_need_the_right_to_ask(self, accounts):
        client = accounts.make()

        answer = client.post(f"{AUTHORIZATION}/subjectaccessreviews", json={"spec": {}})

        assert 'cannot create resource "subjectaccessreviews"' in refused(answer)[2]

    def test_a_local_review_is_about_its_namespace(self, accounts, api):
        accounts.make()
        accounts.grant(rule("list", "pods"))
        base = f"{AUTHORIZATION}/namespaces/{accounts.namespace}"
        attributes = {"verb": "list", "resource": "pods", "namespace": accounts.namespace}
        spec = {"resourceAttributes": attributes, "user": accounts.user("worker")}

        assert review(api, "localsubjectaccessreviews", spec, base=base)["allowed"] is True
        elsewhere = {**spec, "resourceAttributes": {**attributes, "namespace": "default"}}
        answer = api.post(f"{base}/localsubjectaccessreviews", json={"spec": elsewhere})
        assert "spec.resourceAttributes.namespace" in refused(answer)[2]
        assert answer.status_code == 422


class TestRules:
    def test_a_user_may_ask_for_its_rules(self, accounts):
        client = accounts.make()
        name = accounts.grant(rule("get list", "pods"), rule("get", "secrets", "mine"))
        mark = rule("see", "markers", name, group="example.com")

        status = review(client, "selfsubjectrulesreviews", {"namespace": accounts.namespace})

        for expected in (rule("get list", "pods"), rule("get", "secrets", "mine"), mark):
            assert expected in status["resourceRules"]
        basic = {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]}
        assert basic in status["resourceRules"]
        public = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
        assert {"verbs": ["get"], "nonResourceURLs": public} in status["nonResourceRules"]
        assert status["incomplete"] is False
        assert "evaluationError" not in status

    def test_rules_of_another_namespace_are_not_shown(self, accounts):
        client = accounts.make()
        accounts.grant(rule("get list", "pods"))

        status = review(client, "selfsubjectrulesreviews", {"namespace": "default"})

        assert rule("get list", "pods") not in status["resourceRules"]

    def test_a_namespace_is_needed(self, api):
        answer = api.post(f"{AUTHORIZATION}/selfsubjectrulesreviews", json={"spec": {}})

        assert refused(answer) == (400, "BadRequest", "no namespace on request", None)


class TestWhoAmI:
    def test_an_account_is_told_who_it_is(self, accounts, api):
        client = accounts.make()
        account = api.get(f"/api/v1/namespaces/{accounts.namespace}/serviceaccounts/worker").json()

        info = review(client, "selfsubjectreviews", None, base=AUTHENTICATION)["userInfo"]

        assert (info["username"], info["uid"]) == (accounts.user("worker"), account["metadata"]["uid"])
        assert info["groups"] == [
            "system:serviceaccounts",
            f"system:serviceaccounts:{accounts.namespace}",
            "system:authenticated",
        ]
        assert info["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")

    def test_an_admin_is_told_its_groups(self, api):
        info = review(api, "selfsubjectreviews", None, base=AUTHENTICATION)["userInfo"]

        assert info["groups"] == ["system:masters", "system:authenticated"]

    def test_who_is_impersonated_is_told(self, api):
        headers = [("impersonate-user", "bob"), ("impersonate-group", "dev"), ("impersonate-group", "ops")]

        answer = api.post(f"{AUTHENTICATION}/selfsubjectreviews", json={}, headers=[*headers, ("impersonate-uid", "7")])

        assert answer.json()["status"]["userInfo"] == {
            "username": "bob",
            "uid": "7",
            "groups": ["dev", "ops", "system:authenticated"],
        }

    def test_an_impersonated_account_has_its_groups(self, api):
        headers = {"impersonate-user": "system:serviceaccount:apps:web"}

        answer = api.post(f"{AUTHENTICATION}/selfsubjectreviews", json={}, headers=headers)

        assert answer.json()["status"]["userInfo"]["groups"] == [
            "system:serviceaccounts",
            "system:serviceaccounts:apps",
            "system:authenticated",
        ]
