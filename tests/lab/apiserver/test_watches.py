"""Watches over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from lab.apiserver import watching

MERGE = {"content-type": "application/merge-patch+json"}


async def version_of(api, path):
    return (await api.get(path)).json()["metadata"]["resourceVersion"]


async def test_a_watch_without_version_begins_with_what_there_is(api, pods, make_pod, watch):
    await api.post(pods, json=make_pod("one"))

    async with watch(pods) as events:
        kind, pod = await events.next()

    assert (kind, pod["metadata"]["name"]) == ("ADDED", "one")


async def test_a_watch_resumes_after_its_version(api, pods, make_pod, watch):
    await api.post(pods, json=make_pod("one"))
    version = await version_of(api, pods)
    await api.patch(f"{pods}/one", json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    await api.delete(f"{pods}/one")

    async with watch(pods, resourceVersion=version) as events:
        seen = [await events.next(), await events.next()]

    assert [kind for kind, _ in seen] == ["MODIFIED", "DELETED"]
    assert int(seen[1][1]["metadata"]["resourceVersion"]) > int(seen[0][1]["metadata"]["resourceVersion"])


async def test_changes_are_pushed_at_once(api, pods, make_pod, watch):
    async with watch(pods) as events:
        coming = asyncio.create_task(events.next())
        await api.post(pods, json=make_pod("one"))
        kind, _ = await coming

    assert kind == "ADDED"


async def test_an_object_that_leaves_the_selection_is_deleted(api, pods, make_pod, watch):
    await api.post(pods, json=make_pod("one", app="web"))
    async with watch(pods, labelSelector="app=web") as events:
        await events.next()
        await api.patch(f"{pods}/one", json={"metadata": {"labels": {"app": "db"}}}, headers=MERGE)
        left = await events.next()
        await api.patch(f"{pods}/one", json={"metadata": {"labels": {"app": "web"}}}, headers=MERGE)
        back = await events.next()

    assert (left[0], left[1]["metadata"]["labels"]) == ("DELETED", {"app": "web"})
    assert (back[0], back[1]["metadata"]["labels"]) == ("ADDED", {"app": "web"})


async def test_a_watch_of_one_name_sees_no_other(api, pods, make_pod, watch):
    async with watch(pods, fieldSelector="metadata.name=two") as events:
        await api.post(pods, json=make_pod("one"))
        await api.post(pods, json=make_pod("two"))
        _, pod = await events.next()

    assert pod["metadata"]["name"] == "two"


async def test_a_forgotten_version_is_told_inside_the_watch(api, server, pods, make_pod, watch):
    version = await version_of(api, pods)
    await api.post(pods, json=make_pod("one"))
    server.forget_history()

    async with watch(pods, resourceVersion=version) as events:
        kind, status = await events.next()

    assert events.response.status_code == 200
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


async def test_history_is_bounded(api, make_config_map, watch):
    path = "/api/v1/namespaces/default/configmaps"
    version = await version_of(api, path)
    for i in range(60):
        await api.post(path, json=make_config_map(f"c{i}"))

    async with watch(path, resourceVersion=version) as events:
        kind, status = await events.next()

    assert (kind, status["code"]) == ("ERROR", 410)


async def test_a_watch_ends_when_its_time_is_over(pods, watch):
    async with watch(pods, timeoutSeconds=1) as events:
        assert await events.ended()


async def test_a_watch_ends_with_a_bookmark(api, pods, watch):
    async with watch(pods, timeoutSeconds=1, allowWatchBookmarks="true") as events:
        kind, mark = await events.next()
        assert await events.ended()

    assert (kind, mark["kind"]) == ("BOOKMARK", "Pod")
    assert mark["metadata"]["resourceVersion"] == await version_of(api, pods)


async def test_bookmarks_come_while_nothing_happens(pods, watch, monkeypatch):
    monkeypatch.setattr(watching, "BOOKMARK_SECONDS", 0.05)

    async with watch(pods, allowWatchBookmarks="true") as events:
        kinds = [(await events.next())[0] for _ in range(2)]

    assert kinds == ["BOOKMARK", "BOOKMARK"]


async def test_initial_events_are_refused_so_that_clients_list(api, pods):
    parameters = {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}

    answer = await api.get(pods, params=parameters)

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")


async def test_a_watch_that_was_left_is_forgotten(api, server, pods, watch):
    async with watch(pods):
        pass
    shelf = server.registry.shelf(server.registry.catalog.at("", "v1", "pods").resource)
    async with asyncio.timeout(5):
        while shelf._watches:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("form", ["PartialObjectMetadataList", "PartialObjectMetadata"])
async def test_metadata_can_be_watched_alone(api, pods, make_pod, form):
    await api.post(pods, json=make_pod("one"))
    accept = f"application/json;as={form};v=v1;g=meta.k8s.io"

    async with api.stream("GET", pods, params={"watch": "1"}, headers={"accept": accept}) as response:
        line = await anext(response.aiter_lines())

    assert '"kind":"PartialObjectMetadata"' in line
    assert '"spec"' not in line
