"""Lists, selectors and pages over HTTP."""

from __future__ import annotations

import pytest


@pytest.fixture
async def three_pods(api, pods, make_pod):
    for name, app in (("a", "web"), ("b", "web"), ("c", "db")):
        await api.post(pods, json=make_pod(name, app=app))


def names(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=web", ["a", "b"]),
        ("app==db", ["c"]),
        ("app!=web", ["c"]),
        ("app in (web, db)", ["a", "b", "c"]),
        ("app notin (web)", ["c"]),
        ("app", ["a", "b", "c"]),
        ("!app", []),
        ("app=web,!tier", ["a", "b"]),
    ],
)
async def test_label_selectors(api, pods, three_pods, selector, found):
    assert names(await api.get(pods, params={"labelSelector": selector})) == found


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=b", ["b"]),
        ("metadata.name!=b", ["a", "c"]),
        ("status.phase=Pending", ["a", "b", "c"]),
        ("status.phase!=Pending", []),
        ("spec.nodeName=", ["a", "b", "c"]),
        ("spec.hostNetwork=false", ["a", "b", "c"]),
        ("spec.hostNetwork=true", []),
        ("metadata.namespace=default,metadata.name=a", ["a"]),
        ("metadata.namespace=other", []),
    ],
)
async def test_field_selectors(api, three_pods, selector, found):
    assert names(await api.get("/api/v1/pods", params={"fieldSelector": selector})) == found


async def test_unknown_fields_are_refused(api, pods):
    answer = await api.get(pods, params={"fieldSelector": "spec.colour=red"})

    assert (answer.status_code, answer.json()["message"]) == (400, "field label not supported: spec.colour")


async def test_a_list_without_namespace_spans_all(api, make_config_map):
    for namespace in ("default", "kube-system"):
        await api.post(f"/api/v1/namespaces/{namespace}/configmaps", json=make_config_map("one"))

    assert names(await api.get("/api/v1/configmaps")) == ["one", "one"]


async def test_pages_join_to_the_list_as_it_was(api, pods, three_pods, make_pod):
    first = await api.get(pods, params={"limit": 2})
    await api.delete(f"{pods}/c")
    await api.post(pods, json=make_pod("d"))
    second = await api.get(pods, params={"limit": 2, "continue": first.json()["metadata"]["continue"]})

    assert (names(first), names(second)) == (["a", "b"], ["c"])
    assert first.json()["metadata"]["remainingItemCount"] == 1
    assert second.json()["metadata"]["resourceVersion"] == first.json()["metadata"]["resourceVersion"]
    assert "continue" not in second.json()["metadata"]


async def test_pages_of_selected_objects_do_not_count_the_rest(api, pods, three_pods):
    page = (await api.get(pods, params={"limit": 1, "labelSelector": "app=web"})).json()

    assert "remainingItemCount" not in page["metadata"]


async def test_a_forgotten_page_is_expired(api, server, pods, three_pods):
    first = (await api.get(pods, params={"limit": 2})).json()
    await api.delete(f"{pods}/a")
    server.forget_history()

    answer = await api.get(pods, params={"limit": 2, "continue": first["metadata"]["continue"]})

    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


async def test_a_broken_token_is_refused(api, pods):
    answer = await api.get(pods, params={"limit": 2, "continue": "nonsense"})

    assert answer.status_code == 400


async def test_a_list_at_a_version_shows_the_past(api, pods, three_pods):
    before = (await api.get(pods)).json()["metadata"]["resourceVersion"]
    await api.delete(f"{pods}/b")

    past = await api.get(pods, params={"resourceVersion": before, "resourceVersionMatch": "Exact"})
    ahead = await api.get(pods, params={"resourceVersion": "99999"})

    assert names(past) == ["a", "b", "c"]
    assert ahead.status_code == 504


async def test_delete_collection_takes_what_is_selected(api, pods, three_pods):
    await api.delete(pods, params={"labelSelector": "app=web"})

    assert names(await api.get(pods)) == ["c"]
