"""Roles and bindings as objects: what they must be like, and that nobody grants what they don't hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.apiserver.accounts import GROUP, RBAC, Accounts, accounts_in, refused, rule

MERGE_PATCH = {"content-type": "application/merge-patch+json"}
RESOURCE_RULE = rule("get", "pods")
PATHS_RULE = {"verbs": ["get"], "nonResourceURLs": ["/x"]}


@pytest.fixture
def accounts(server: Any, api: httpx.Client, namespace: str) -> Iterator[Accounts]:
    yield from accounts_in(server, api, namespace)


@pytest.fixture
def author(accounts: Accounts) -> httpx.Client:
    """A client that may write Roles and bindings in its namespace, and read pods."""
    client = accounts.make()
    accounts.grant(rule("*", "roles rolebindings", group=GROUP), rule("get list", "pods"))
    return client


def role(*rules: Any, name: str = "made", kind: str = "Role") -> Any:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules)}


def binding(reference: tuple[str, str], *subjects: Any, name: str = "made") -> Any:
    kind, role_name = reference
    reference_to = {"apiGroup": GROUP, "kind": kind, "name": role_name}
    return {"metadata": {"name": name}, "roleRef": reference_to, "subjects": list(subjects)}


def causes(answer: httpx.Response) -> list[tuple[str, str]]:
    code, reason, _, details = refused(answer)
    assert (code, reason) == (422, "Invalid")
    return [(cause["field"], cause["message"]) for cause in details["causes"]]


class TestForm:
    @pytest.mark.parametrize(
        ("wrong", "field", "message"),
        [
            (
                {"apiGroups": [""], "resources": ["pods"]},
                "rules[0].verbs",
                "Required value: verbs must contain at least one value",
            ),
            (
                {"verbs": ["get"], "resources": ["pods"]},
                "rules[0].apiGroups",
                "Required value: resource rules must supply at least one api group",
            ),
            (
                {"verbs": ["get"], "apiGroups": [""]},
                "rules[0].resources",
                "Required value: resource rules must supply at least one resource",
            ),
            (
                PATHS_RULE,
                "rules[0].nonResourceURLs",
                'Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
            ),
        ],
    )
    def test_a_role_with_a_rule_that_makes_no_sense_is_refused(self, accounts, api, wrong, field, message):
        answer = api.post(f"{RBAC}/namespaces/{accounts.namespace}/roles", json=role(wrong))

        assert causes(answer) == [(field, message)]
        assert refused(answer)[2] == f'Role.rbac.authorization.k8s.io "made" is invalid: {field}: {message}'

    def test_every_rule_that_makes_no_sense_is_told(self, accounts, api):
        body = role({"verbs": ["get"]}, RESOURCE_RULE, {"apiGroups": [""], "resources": ["pods"]})

        answer = api.post(f"{RBAC}/namespaces/{accounts.namespace}/roles", json=body)

        assert [field for field, _ in causes(answer)] == ["rules[0].apiGroups", "rules[0].resources", "rules[2].verbs"]

    def test_a_rule_is_for_resources_or_for_paths(self, api):
        both = {**RESOURCE_RULE, **PATHS_RULE}

        answer = api.post(f"{RBAC}/clusterroles", json=role(both, kind="ClusterRole"))

        why = 'Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs'
        assert causes(answer) == [("rules[0].nonResourceURLs", why)]

    def test_a_change_of_a_role_is_checked_as_well(self, accounts, api):
        path = f"{RBAC}/namespaces/{accounts.namespace}/roles"
        accounts.made(path, role(RESOURCE_RULE))

        answer = api.patch(f"{path}/made", json={"rules": [{"verbs": ["get"]}]}, headers=MERGE_PATCH)

        assert [field for field, _ in causes(answer)] == ["rules[0].apiGroups", "rules[0].resources"]

    def test_a_binding_names_a_role_and_subjects_of_known_kinds(self, accounts, api):
        body = binding(("Foo", ""), {"kind": "ServiceAccount", "name": ""}, {"kind": "Zed", "name": "z"})
        body["roleRef"]["apiGroup"] = "x"

        answer = api.post(f"{RBAC}/namespaces/{accounts.namespace}/rolebindings", json=body)

        assert causes(answer) == [
            ("roleRef.apiGroup", f'Unsupported value: "x": supported values: "{GROUP}"'),
            ("roleRef.kind", 'Unsupported value: "Foo": supported values: "Role", "ClusterRole"'),
            ("roleRef.name", "Required value"),
            ("subjects[0].name", "Required value"),
            (
                "subjects[1].kind",
                'Unsupported value: "Zed": supported values: "ServiceAccount", "User", "Group"',
            ),
        ]

    def test_a_cluster_role_binding_knows_no_namespace_of_its_own(self, api):
        body = binding(("Role", "x"), {"kind": "ServiceAccount", "name": "x"})

        answer = api.post(f"{RBAC}/clusterrolebindings", json=body)

        assert causes(answer) == [
            ("roleRef.kind", 'Unsupported value: "Role": supported values: "ClusterRole"'),
            ("subjects[0].namespace", "Required value"),
        ]

    def test_api_groups_of_references_are_filled_in(self, accounts):
        body = binding(("Role", "x"), {"kind": "Group", "name": "g"}, {"kind": "ServiceAccount", "name": "s"})
        del body["roleRef"]["apiGroup"]

        made = accounts.made(f"{RBAC}/namespaces/{accounts.namespace}/rolebindings", body)

        assert made["roleRef"] == {"apiGroup": GROUP, "kind": "Role", "name": "x"}
        assert made["subjects"] == [
            {"kind": "Group", "apiGroup": GROUP, "name": "g"},
            {"kind": "ServiceAccount", "name": "s"},
        ]

    def test_a_binding_never_changes_its_role(self, accounts, api):
        path = f"{RBAC}/namespaces/{accounts.namespace}/rolebindings"
        accounts.made(path, binding(("Role", "x"), {"kind": "Group", "name": "g"}))

        answer = api.patch(f"{path}/made", json={"roleRef": {"name": "y"}}, headers=MERGE_PATCH)
        kept = api.patch(f"{path}/made", json={"subjects": None}, headers=MERGE_PATCH)

        shown = f'{{"APIGroup":"{GROUP}","Kind":"Role","Name":"y"}}'
        assert causes(answer) == [("roleRef", f"Invalid value: {shown}: cannot change roleRef")]
        assert kept.status_code == 200

    def test_names_of_roles_may_have_colons(self, accounts):
        accounts.made(f"{RBAC}/namespaces/{accounts.namespace}/roles", role(RESOURCE_RULE, name="team:a:Reader"))


@pytest.mark.parametrize(
    "name", ["cluster-admin", "system:basic-user", "system:discovery", "system:public-info-viewer"]
)
def test_a_server_begins_with_roles_of_its_own(api, name):
    for plural in ("clusterroles", "clusterrolebindings"):
        found = api.get(f"{RBAC}/{plural}/{name}")
        assert found.status_code == 200
        assert found.json()["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "rbac-defaults"}


class TestEscalation:
    def test_a_role_within_one_s_own_rights_may_be_made(self, accounts, author):
        body = role(rule("get", "pods"), rule("list", "pods", "one"))

        assert author.post(f"{RBAC}/namespaces/{accounts.namespace}/roles", json=body).status_code == 201

    def test_a_role_with_more_than_one_s_own_rights_may_not(self, accounts, api):
        client = accounts.make()
        accounts.grant(rule("create", "roles", group=GROUP), rule("get list", "pods"))
        body = role(rule("delete get watch", "pods secrets"), rule("get", "deployments", "x", group="apps"))

        answer = client.post(f"{RBAC}/namespaces/{accounts.namespace}/roles", json=body)

        code, reason, message, details = refused(answer)
        assert (code, reason) == (403, "Forbidden")
        assert details == {"name": "made", "group": GROUP, "kind": "roles"}
        groups = f'"system:serviceaccounts" "system:serviceaccounts:{accounts.namespace}" "system:authenticated"'
        assert message == (
            f'roles.rbac.authorization.k8s.io "made" is forbidden: user "{accounts.user("worker")}" '
            f"(groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n"
            '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}\n'
            '{APIGroups:[""], Resources:["secrets"], Verbs:["delete" "get" "watch"]}\n'
            '{APIGroups:["apps"], Resources:["deployments"], ResourceNames:["x"], Verbs:["get"]}'
        )

    def test_who_may_escalate_may_make_any_role(self, accounts, author):
        body = role(rule("delete", "secrets"))

        # The verb is among those of the star.
        assert author.post(f"{RBAC}/namespaces/{accounts.namespace}/roles", json=body).status_code == 201

    def test_a_change_that_grants_nothing_new_needs_no_rights(self, accounts):
        client = accounts.make()
        path = f"{RBAC}/namespaces/{accounts.namespace}/roles"
        accounts.made(path, role(rule("delete", "secrets")))
        accounts.grant(rule("patch", "roles", group=GROUP))

        more = client.patch(f"{path}/made", json={"rules": [rule("*", "secrets")]}, headers=MERGE_PATCH)

        assert more.status_code == 403
        assert client.patch(f"{path}/made", json={}, headers=MERGE_PATCH).status_code == 200

    def test_a_binding_grants_no_more_than_one_s_own_rights(self, accounts):
        client = accounts.make()
        path = f"{RBAC}/namespaces/{accounts.namespace}/rolebindings"
        accounts.grant(rule("create", "rolebindings", group=GROUP), rule("get", "pods"))
        for name, rules in (("mine", rule("get", "pods")), ("more", rule("get", "pods nodes"))):
            accounts.made(f"{RBAC}/namespaces/{accounts.namespace}/roles", role(rules, name=name))
        accounts.grant(rule("list", "configmaps"))  # in effect after the ones before
        subject = {"kind": "ServiceAccount", "name": "worker"}

        assert client.post(path, json=binding(("Role", "mine"), subject, name="a")).status_code == 201
        answer = client.post(path, json=binding(("Role", "more"), subject, name="b"))
        assert refused(answer)[2].endswith('not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}')
        answer = client.post(path, json=binding(("ClusterRole", "cluster-admin"), subject, name="c"))
        assert refused(answer)[2].endswith(
            '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}'
        )

    def test_who_may_bind_a_role_may_give_it_away(self, accounts):
        client = accounts.make()
        path = f"{RBAC}/namespaces/{accounts.namespace}/rolebindings"
        bind = rule("bind", "clusterroles", "cluster-admin", group=GROUP)
        accounts.grant(rule("create", "rolebindings", group=GROUP), bind)

        answer = client.post(path, json=binding(("ClusterRole", "cluster-admin"), {"kind": "User", "name": "bob"}))

        assert answer.status_code == 201

    def test_a_binding_to_a_missing_role_is_for_those_who_may_bind_it(self, accounts, api):
        client = accounts.make()
        path = f"{RBAC}/namespaces/{accounts.namespace}/rolebindings"
        accounts.grant(rule("create", "rolebindings", group=GROUP))
        body = binding(("Role", "gone"), {"kind": "User", "name": "bob"})

        assert refused(client.post(path, json=body)) == (
            404,
            "NotFound",
            'rolebindings.rbac.authorization.k8s.io "gone" not found',
            {"name": "gone", "group": GROUP, "kind": "rolebindings"},
        )
        assert api.post(path, json=body).status_code == 201
