"""Reads of single objects and lists, and of what is not there."""

from __future__ import annotations

import pytest


def names(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


@pytest.fixture
def path(api, namespace):
    """Where the ConfigMaps c, a and b were made, in this order."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("c", "a", "b"):
        assert api.post(path, json={"metadata": {"name": name}, "data": {"of": name}}).status_code == 201
    return path


def test_an_object_is_read_as_it_was_written(api, path):
    written = api.put(f"{path}/a", json={"metadata": {"name": "a"}, "data": {"x": "1"}}).json()

    assert api.get(f"{path}/a").json() == written


def test_a_list_is_sorted_by_name(api, path):
    assert names(api.get(path)) == ["a", "b", "c"]


def test_items_of_a_list_leave_their_kind_to_the_list(api, path):
    listed = api.get(path).json()

    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert set(listed["items"][0]) == {"metadata", "data"}
    assert {**listed["items"][0], "kind": "ConfigMap", "apiVersion": "v1"} == api.get(f"{path}/a").json()


def test_a_list_without_namespace_spans_all(api, path, namespace):
    listed = api.get("/api/v1/configmaps").json()["items"]

    places = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in listed]
    assert places == sorted(places)
    assert {(namespace, name) for name in "abc"} <= set(places)


@pytest.mark.parametrize("place", ["nowhere", ""], ids=["no such namespace", "nothing in it"])
def test_an_empty_list_is_a_list(api, namespace, place):
    answer = api.get(f"/api/v1/namespaces/{place or namespace}/secrets")

    assert (answer.status_code, answer.json()["kind"], answer.json()["items"]) == (200, "SecretList", [])


@pytest.mark.parametrize(
    ("path", "message", "details"),
    [
        (
            "/api/v1/namespaces/default/configmaps/nil",
            'configmaps "nil" not found',
            {"name": "nil", "kind": "configmaps"},
        ),
        ("/api/v1/namespaces/nowhere/pods/nil", 'pods "nil" not found', {"name": "nil", "kind": "pods"}),
        ("/api/v1/nodes/nil", 'nodes "nil" not found', {"name": "nil", "kind": "nodes"}),
        (
            "/apis/apps/v1/namespaces/default/deployments/nil",
            'deployments.apps "nil" not found',
            {"name": "nil", "group": "apps", "kind": "deployments"},
        ),
        (
            "/apis/apps/v1/namespaces/default/deployments/nil/status",
            'deployments.apps "nil" not found',
            {"name": "nil", "group": "apps", "kind": "deployments"},
        ),
    ],
)
def test_an_object_that_is_not_there_is_not_found(api, path, message, details):
    answer = api.get(path)

    assert answer.status_code == 404
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "NotFound",
        "details": details,
        "code": 404,
    }


NO_RESOURCE = "the server could not find the requested resource"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/colours",
        "/api/v2/pods",
        "/api/v2",
        "/apis/apps/v9/deployments",
        "/apis/apps/v1/colours",
        "/apis/apps/v9",
        "/api/v1/namespaces/default/nodes",
        "/api/v1/configmaps/a",
        "/api/v1/namespaces/default/configmaps/a/status",
        "/api/v1/namespaces/default/pods/a/b/c",
    ],
)
def test_a_path_without_resource_is_not_found(api, path):
    answer = api.get(path)

    assert (answer.status_code, answer.json()["reason"], answer.json()["message"]) == (404, "NotFound", NO_RESOURCE)
    assert answer.json()["details"] == {}


@pytest.mark.parametrize("path", ["/apis/none.example", "/apis/none.example/v1", "/apis/none.example/v1/c", "/none"])
def test_a_path_of_no_group_gets_no_status(api, path):
    answer = api.get(path)

    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/namespaces/default/configmaps"),
        ("PATCH", "/api/v1/namespaces/default/configmaps"),
        ("POST", "/api/v1/namespaces/default/configmaps/a"),
        ("DELETE", "/api/v1/namespaces/default/pods/a/log"),
    ],
)
def test_a_method_that_a_path_lacks_is_refused(api, method, path):
    answer = api.request(method, path, json={})

    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
    assert answer.json()["message"] == "the server does not allow this method on the requested resource"
    assert answer.json()["details"] == {}
