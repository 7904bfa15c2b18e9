"""Lists in pages."""

from __future__ import annotations

import base64
import json

import pytest


def names(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


def token_of(**content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.fixture
def path(api, namespace):
    """Where three ConfigMaps are: a and b with the label app=web, and c."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name, labels in (("a", {"app": "web"}), ("b", {"app": "web"}), ("c", {})):
        assert api.post(path, json={"metadata": {"name": name, "labels": labels}}).status_code == 201
    return path


def test_pages_join_to_the_list_as_it_was_at_the_first(api, path):
    first = api.get(path, params={"limit": 2})
    api.delete(f"{path}/c")
    api.post(path, json={"metadata": {"name": "d"}})
    second = api.get(path, params={"limit": 2, "continue": first.json()["metadata"]["continue"]})

    assert (names(first), names(second)) == (["a", "b"], ["c"])
    assert first.json()["metadata"]["remainingItemCount"] == 1
    assert second.json()["metadata"] == {"resourceVersion": first.json()["metadata"]["resourceVersion"]}


def test_a_page_in_the_middle_counts_what_remains(api, path):
    first = api.get(path, params={"limit": 1})
    second = api.get(path, params={"limit": 1, "continue": first.json()["metadata"]["continue"]})

    assert names(second) == ["b"]
    assert second.json()["metadata"]["remainingItemCount"] == 1
    assert second.json()["metadata"]["continue"] != first.json()["metadata"]["continue"]


def test_a_continued_list_without_limit_has_all_the_rest(api, path):
    first = api.get(path, params={"limit": 1})
    rest = api.get(path, params={"continue": first.json()["metadata"]["continue"]})

    assert names(rest) == ["b", "c"]
    assert "continue" not in rest.json()["metadata"]


@pytest.mark.parametrize("limit", ["3", "4", "0", "-1"])
def test_a_list_that_fits_has_no_token(api, path, limit):
    answer = api.get(path, params={"limit": limit})

    assert names(answer) == ["a", "b", "c"]
    assert set(answer.json()["metadata"]) == {"resourceVersion"}


@pytest.mark.parametrize(
    "selector", [{"labelSelector": "app=web"}, {"fieldSelector": "metadata.name!=c"}], ids=["labels", "fields"]
)
def test_pages_of_selected_objects_do_not_count_the_rest(api, path, selector):
    page = api.get(path, params={"limit": 1, **selector})

    assert names(page) == ["a"]
    assert set(page.json()["metadata"]) == {"resourceVersion", "continue"}


def test_pages_go_over_all_namespaces(api, path):
    seen, token = [], ""
    while True:
        answer = api.get(
            "/api/v1/configmaps", params={"limit": 2, "continue": token, "labelSelector": "app=web"}
        ).json()
        seen += [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in answer["items"]]
        token = answer["metadata"].get("continue", "")
        if not token:
            break

    assert seen == sorted(set(seen))
    assert {f"{path.split('/')[4]}/{name}" for name in "ab"} <= set(seen)


@pytest.mark.parametrize("accept", ["as=Table", "as=PartialObjectMetadataList"])
def test_tables_and_metadata_come_in_pages_too(api, path, accept):
    headers = {"accept": f"application/json;{accept};v=v1;g=meta.k8s.io"}
    first = api.get(path, params={"limit": 2}, headers=headers).json()
    second = api.get(path, params={"limit": 2, "continue": first["metadata"]["continue"]}, headers=headers).json()

    assert first["metadata"]["remainingItemCount"] == 1
    assert len(second.get("rows") or second["items"]) == 1
    assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


def test_a_continue_token_expires_with_the_history(api, path, server):
    token = api.get(path, params={"limit": 1}).json()["metadata"]["continue"]
    api.post(path, json={"metadata": {"name": "d"}})

    server.forget_history()
    refused = api.get(path, params={"limit": 1, "continue": token})

    assert (refused.status_code, refused.json()["reason"]) == (410, "Expired")
    assert refused.json()["message"].startswith(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list"
    )


def test_an_expired_token_comes_with_one_that_goes_on_as_it_is_now(api, path, server):
    token = api.get(path, params={"limit": 1}).json()["metadata"]["continue"]
    api.delete(f"{path}/b")
    api.post(path, json={"metadata": {"name": "bb"}})
    server.forget_history()

    onward = api.get(path, params={"limit": 1, "continue": token}).json()["metadata"]["continue"]
    second = api.get(path, params={"limit": 1, "continue": onward})
    third = api.get(path, params={"limit": 1, "continue": second.json()["metadata"]["continue"]})

    assert (names(second), names(third)) == (["bb"], ["c"])
    assert second.json()["metadata"]["remainingItemCount"] == 1
    assert third.json()["metadata"]["resourceVersion"] == second.json()["metadata"]["resourceVersion"]


V1 = "meta.k8s.io/v1"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("nonsense", "invalid character"),
        ("%%%", "illegal base64 data at input byte 0"),
        (
            token_of(v="meta.k8s.io/v9", rv=5, start="a"),
            "server does not recognize this encoded version meta.k8s.io/v9",
        ),
        (token_of(v=V1, rv=0, start="a"), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token_of(v=V1, rv=5, start=""), "encoded start key empty (version meta.k8s.io/v1)"),
        (token_of(v=V1, rv=5, start="../a"), "../a"),
    ],
    ids=["no JSON", "no base64", "other version", "no resourceVersion", "no start", "start outside"],
)
def test_a_broken_token_is_refused(api, path, token, why):
    answer = api.get(path, params={"limit": 1, "continue": token})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"].startswith(f"invalid continue token: continue key is not valid: {why}")


def test_a_token_of_a_version_to_come_is_refused(api, path):
    answer = api.get(path, params={"continue": token_of(v=V1, rv=99_999_999, start="a")})

    assert (answer.status_code, answer.json()["reason"]) == (504, "Timeout")


def test_a_continued_list_takes_no_resource_version(api, path):
    token = api.get(path, params={"limit": 1}).json()["metadata"]["continue"]

    answer = api.get(path, params={"continue": token, "resourceVersion": "5"})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == "specifying resource version is not allowed when using continue"
    assert names(api.get(path, params={"continue": token, "resourceVersion": "0"})) == ["b", "c"]


@pytest.mark.parametrize("limit", ["x", "", "1.5", "99999999999999999999"])
def test_a_limit_is_a_number(api, path, limit):
    answer = api.get(path, params={"limit": limit})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    why = "value out of range" if len(limit) > 10 else "invalid syntax"
    assert answer.json()["message"] == f'strconv.ParseInt: parsing "{limit}": {why}'
