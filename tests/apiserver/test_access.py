"""Who may do what: RBAC on requests, on both API servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.apiserver.accounts import GROUP, RBAC, Accounts, accounts_in, refused, rule

MERGE_PATCH = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def accounts(server: Any, api: httpx.Client, namespace: str) -> Iterator[Accounts]:
    yield from accounts_in(server, api, namespace)


@pytest.fixture
def stranger(server: Any) -> Iterator[httpx.Client]:
    with server.client("nobody's") as client:
        yield client


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


# Method, path, and what the refusal says: subject, verb, resource, group.
REFUSALS = {
    "list": ("GET", "/api/v1{}/pods", ("pods", "list", "pods", "")),
    "get": ("GET", "/api/v1{}/pods/one", ('pods "one"', "get", "pods", "")),
    "watch": ("GET", "/api/v1{}/pods?watch=true", ("pods", "watch", "pods", "")),
    "list of one name": ("GET", "/api/v1{}/pods?fieldSelector=metadata.name%3Done", ('pods "one"', "list", "pods", "")),
    "create": ("POST", "/api/v1{}/pods", ("pods", "create", "pods", "")),
    "update": ("PUT", "/api/v1{}/configmaps/one", ('configmaps "one"', "update", "configmaps", "")),
    "patch": ("PATCH", "/apis/apps/v1{}/deployments/one", ('deployments.apps "one"', "patch", "deployments", "apps")),
    "patch of a subresource": (
        "PATCH",
        "/apis/apps/v1{}/deployments/one/status",
        ('deployments.apps "one"', "patch", "deployments/status", "apps"),
    ),
    "eviction": ("POST", "/api/v1{}/pods/one/eviction", ('pods "one"', "create", "pods/eviction", "")),
    "delete": ("DELETE", "/api/v1{}/secrets/one", ('secrets "one"', "delete", "secrets", "")),
    "delete of a collection": ("DELETE", "/api/v1{}/secrets", ("secrets", "deletecollection", "secrets", "")),
    "token": (
        "POST",
        "/api/v1{}/serviceaccounts/worker/token",
        ('serviceaccounts "worker"', "create", "serviceaccounts/token", ""),
    ),
    "a resource that is not served": (
        "GET",
        "/apis/none.example.com/v1{}/things",
        ("things.none.example.com", "list", "things", "none.example.com"),
    ),
}


@pytest.mark.parametrize(("method", "path", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_user_verb_resource_and_place(accounts, method, path, said):
    client = accounts.make()
    subject, verb, resource, group = said
    name = subject.partition('"')[2].rstrip('"')
    places = {
        f"/namespaces/{accounts.namespace}": f'in the namespace "{accounts.namespace}"',
        "": "at the cluster scope",
    }
    if name:
        del places[""]

    for place, scope in places.items():
        answer = client.request(method, path.format(place), json={}, headers=MERGE_PATCH if method == "PATCH" else {})

        code, reason, message, details = refused(answer)
        assert (code, reason) == (403, "Forbidden")
        assert message == (
            f'{subject} is forbidden: User "{accounts.user("worker")}" cannot {verb} resource "{resource}" '
            f'in API group "{group}" {scope}'
        )
        expected = {"name": name, "group": group, "kind": resource.partition("/")[0]}
        assert details == {key: value for key, value in expected.items() if value}


def test_a_namespace_itself_is_within_its_own_scope(accounts):
    client = accounts.make()

    _, _, message, details = refused(client.get(f"/api/v1/namespaces/{accounts.namespace}"))

    assert message.endswith(f'resource "namespaces" in API group "" in the namespace "{accounts.namespace}"')
    assert details == {"name": accounts.namespace, "kind": "namespaces"}


def test_a_role_may_let_its_own_namespace_be_read(accounts):
    client = accounts.make()
    accounts.grant(rule("get", "namespaces"))

    assert client.get(f"/api/v1/namespaces/{accounts.namespace}").status_code == 200
    assert client.get("/api/v1/namespaces/default").status_code == 403


@pytest.mark.parametrize("path", ["/metrics", "/nowhere", "/"])
def test_a_refused_path_is_named(accounts, path):
    client = accounts.make()

    expected = f'forbidden: User "{accounts.user("worker")}" cannot get path "{path}"'
    assert refused(client.get(path)) == (403, "Forbidden", expected, {})


def test_a_refusal_of_another_method_names_it_in_lower_case(accounts):
    client = accounts.make()

    _, _, message, _ = refused(client.post("/nowhere", json={}))

    assert message.endswith('cannot post path "/nowhere"')


@pytest.mark.parametrize(
    "path", ["/healthz", "/livez", "/readyz", "/version", "/api", "/apis", "/apis/apps/v1", "/openapi/v3"]
)
def test_everybody_who_is_known_may_read_what_is_served(accounts, path):
    assert accounts.make().get(path).status_code == 200


def test_an_unknown_token_is_unauthorized_everywhere(stranger):
    for path in ("/api/v1/pods", "/apis", "/healthz", "/version"):
        assert refused(stranger.get(path)) == (401, "Unauthorized", "Unauthorized", None)


def test_who_has_no_token_is_anonymous(stranger):
    del stranger.headers["authorization"]

    assert [stranger.get(path).status_code for path in ("/healthz", "/livez", "/readyz", "/version")] == [200] * 4
    _, _, message, _ = refused(stranger.get("/apis"))
    assert message == 'forbidden: User "system:anonymous" cannot get path "/apis"'
    code, _, message, _ = refused(stranger.get("/api/v1/pods"))
    assert code == 403
    assert message.startswith('pods is forbidden: User "system:anonymous" cannot list resource "pods"')


def test_another_scheme_than_bearer_counts_for_nothing(stranger):
    answer = stranger.get("/api/v1/pods", headers={"authorization": "Basic YWRtaW46YWRtaW4="})

    assert 'User "system:anonymous"' in refused(answer)[2]


def test_a_role_holds_in_its_namespace_alone(accounts):
    client = accounts.make()
    accounts.grant(rule("list", "pods"))

    assert client.get(f"/api/v1/namespaces/{accounts.namespace}/pods").status_code == 200
    assert client.get("/api/v1/namespaces/default/pods").status_code == 403
    assert client.get("/api/v1/pods").status_code == 403


def test_a_cluster_role_holds_where_it_is_bound(accounts):
    client = accounts.make()
    accounts.grant_cluster_role_here(rule("list", "pods"))

    assert client.get(f"/api/v1/namespaces/{accounts.namespace}/pods").status_code == 200
    assert client.get("/api/v1/pods").status_code == 403


def test_a_cluster_role_bound_by_a_cluster_role_binding_holds_everywhere(accounts):
    client = accounts.make()
    accounts.grant_everywhere(rule("list", "pods nodes"))

    paths = ("/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces/default/pods")
    assert [client.get(path).status_code for path in paths] == [200] * 3


def test_a_binding_of_a_group_reaches_every_account_of_a_namespace(accounts):
    client = accounts.make()
    group = {"kind": "Group", "apiGroup": GROUP, "name": f"system:serviceaccounts:{accounts.namespace}"}
    accounts.grant_everywhere(rule("list", "nodes"), subject=group)

    assert client.get("/api/v1/nodes").status_code == 200


def test_an_account_of_a_role_binding_without_a_namespace_is_of_the_binding_s(accounts):
    client = accounts.make()
    accounts.grant(rule("list", "pods"), subject={"kind": "ServiceAccount", "name": "worker"})

    assert client.get(f"/api/v1/namespaces/{accounts.namespace}/pods").status_code == 200


def test_a_user_may_be_bound_by_name(accounts):
    client = accounts.make()
    user = {"kind": "User", "apiGroup": GROUP, "name": accounts.user("worker")}
    accounts.grant(rule("list", "pods"), subject=user)

    assert client.get(f"/api/v1/namespaces/{accounts.namespace}/pods").status_code == 200


def test_resource_names_restrict_get_update_patch_and_delete(accounts):
    client = accounts.make()
    accounts.grant(rule("get update patch delete", "configmaps", "mine"))
    path = f"/api/v1/namespaces/{accounts.namespace}/configmaps"
    for name in ("mine", "other"):
        accounts.made(path, config_map(name))

    mine, other = f"{path}/mine", f"{path}/other"
    assert client.get(mine).status_code == 200
    assert client.put(mine, json=config_map("mine")).status_code == 200
    assert client.patch(mine, json={}, headers=MERGE_PATCH).status_code == 200
    assert client.delete(mine).status_code == 200
    assert client.get(other).status_code == 403
    assert client.put(other, json=config_map("other")).status_code == 403
    assert client.patch(other, json={}, headers=MERGE_PATCH).status_code == 403
    assert client.delete(other).status_code == 403


def test_resource_names_let_nothing_be_created_or_deleted_together(accounts):
    client = accounts.make()
    accounts.grant(rule("create deletecollection", "configmaps", "mine"))
    path = f"/api/v1/namespaces/{accounts.namespace}/configmaps"

    assert client.post(path, json=config_map("mine")).status_code == 403
    assert client.delete(path, params={"fieldSelector": "metadata.name=mine"}).status_code == 403


def test_resource_names_let_a_list_and_a_watch_through_that_select_the_name(accounts):
    client = accounts.make()
    accounts.grant(rule("list watch", "configmaps", "mine"))
    path = f"/api/v1/namespaces/{accounts.namespace}/configmaps"

    assert client.get(path).status_code == 403
    assert client.get(path, params={"fieldSelector": "metadata.name=mine"}).status_code == 200
    assert client.get(path, params={"fieldSelector": "metadata.name=other"}).status_code == 403
    assert client.get(path, params={"labelSelector": "metadata.name=mine"}).status_code == 403
    watch = {"watch": "true", "fieldSelector": "metadata.name=mine", "timeoutSeconds": "1"}
    with client.stream("GET", path, params=watch) as response:
        assert response.status_code == 200
    assert client.get(path, params={**watch, "fieldSelector": "metadata.name=other"}).status_code == 403


def test_a_rule_for_a_resource_leaves_its_subresources_out(accounts):
    client = accounts.make()
    accounts.grant(rule("*", "pods"), rule("get", "deployments", group="apps"))
    place = f"/namespaces/{accounts.namespace}"

    assert refused(client.post(f"/api/v1{place}/pods/one/eviction", json={}))[0] == 403
    assert refused(client.get(f"/apis/apps/v1{place}/deployments/one/scale"))[0] == 403
    assert refused(client.get(f"/apis/apps/v1{place}/deployments/one"))[0] == 404


@pytest.mark.parametrize("resources", ["deployments/scale", "*/scale", "*"])
def test_a_rule_for_a_subresource_is_for_that_alone(accounts, resources):
    client = accounts.make()
    accounts.grant(rule("get", resources, group="apps"))
    path = f"/apis/apps/v1/namespaces/{accounts.namespace}/deployments/one"

    assert client.get(f"{path}/scale").status_code == 404
    assert client.get(path).status_code == (404 if resources == "*" else 403)
    assert client.get(f"{path}/status").status_code == (404 if resources == "*" else 403)


@pytest.mark.parametrize(
    "wild",
    [rule("*", "secrets"), rule("list", "*"), rule("list", "secrets", group="*")],
    ids=["verb", "resource", "group"],
)
def test_a_star_stands_for_everything_of_its_kind(accounts, wild):
    client = accounts.make()
    accounts.grant(wild)

    assert client.get(f"/api/v1/namespaces/{accounts.namespace}/secrets").status_code == 200


def test_a_rule_says_nothing_about_other_groups(accounts):
    client = accounts.make()
    accounts.grant(rule("list", "deployments"))

    assert client.get(f"/apis/apps/v1/namespaces/{accounts.namespace}/deployments").status_code == 403


def test_a_rule_for_paths_lets_them_be_read(accounts):
    client = accounts.make()
    accounts.grant_everywhere({"verbs": ["get"], "nonResourceURLs": ["/nowhere/*", "/elsewhere"]})

    assert client.get("/nowhere/at/all").status_code == 404
    assert client.get("/elsewhere").status_code == 404
    assert client.get("/elsewhere/at/all").status_code == 403
    assert client.post("/elsewhere").status_code == 403


def test_a_refusal_tells_of_a_binding_to_a_missing_role(accounts, api):
    client = accounts.make()
    name = accounts.grant(rule("list", "pods"))
    path = f"{RBAC}/namespaces/{accounts.namespace}/rolebindings"
    reference = {"apiGroup": GROUP, "kind": "Role", "name": "gone"}
    subject = {"kind": "ServiceAccount", "name": "worker", "namespace": accounts.namespace}
    accounts.made(path, {"metadata": {"name": "nowhere"}, "roleRef": reference, "subjects": [subject]})
    accounts.grant(rule("list", "configmaps"))  # in effect after the one before

    answer = client.get(f"/api/v1/namespaces/{accounts.namespace}/secrets")

    assert refused(answer)[2].endswith(
        f'in the namespace "{accounts.namespace}": RBAC: role.rbac.authorization.k8s.io "gone" not found'
    )
    assert client.get(f"/api/v1/namespaces/{accounts.namespace}/pods").status_code == 200, name


def test_who_may_not_ask_for_what_is_not_served_isn_t_told_so(accounts, api):
    client = accounts.make()

    assert refused(client.get("/apis/apps/v9/deployments"))[0] == 403
    assert refused(api.get("/apis/apps/v9/deployments"))[0] == 404


@pytest.mark.parametrize("path", ["/nowhere", "/apis/none.example.com/v1/things"])
def test_who_may_do_everything_is_told_that_nothing_is_there(api, path):
    assert api.get(path).status_code == 404


def test_a_refused_body_is_not_read(accounts):
    client = accounts.make()

    answer = client.post(f"/api/v1/namespaces/{accounts.namespace}/pods", content=b"no JSON")

    assert refused(answer)[0] == 403


class TestImpersonation:
    def test_the_admin_may_be_anybody(self, accounts, api):
        accounts.make()
        accounts.grant(rule("list", "pods"))
        as_worker = {"impersonate-user": accounts.user("worker")}

        assert api.get(f"/api/v1/namespaces/{accounts.namespace}/pods", headers=as_worker).status_code == 200
        answer = api.get(f"/api/v1/namespaces/{accounts.namespace}/secrets", headers=as_worker)
        assert f'User "{accounts.user("worker")}" cannot list' in refused(answer)[2]

    def test_others_need_the_right_to_it(self, accounts):
        client = accounts.make()

        answer = client.get("/api/v1/pods", headers={"impersonate-user": "bob"})

        assert refused(answer)[2:] == (
            f'users "bob" is forbidden: User "{accounts.user("worker")}" cannot impersonate resource "users" '
            'in API group "" at the cluster scope',
            {"name": "bob", "kind": "users"},
        )

    def test_an_account_is_impersonated_within_its_namespace(self, accounts):
        client = accounts.make()
        accounts.make("boss")
        accounts.grant(rule("impersonate", "serviceaccounts", "boss"))

        answer = client.get("/api/v1/pods", headers={"impersonate-user": accounts.user("boss")})

        assert f'User "{accounts.user("boss")}" cannot list' in refused(answer)[2]

    def test_a_group_alone_is_nobody(self, api):
        answer = api.get("/api/v1/pods", headers={"impersonate-group": "dev"})

        assert refused(answer)[:3] == (
            400,
            "BadRequest",
            "requested [{Group  dev    }] without impersonating a user",
        )
