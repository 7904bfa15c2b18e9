"""What watches do that the contract can't show: bounded history, and bookmarks that a real server takes long to send."""

from __future__ import annotations

import asyncio

from lab.apiserver import watching


async def version_of(api, path):
    return (await api.get(path)).json()["metadata"]["resourceVersion"]


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


async def test_bookmarks_come_while_nothing_happens(pods, watch, monkeypatch):
    monkeypatch.setattr(watching, "BOOKMARK_SECONDS", 0.05)

    async with watch(pods, allowWatchBookmarks="true") as events:
        kinds = [(await events.next())[0] for _ in range(3)]

    assert kinds == 3 * ["BOOKMARK"]


async def test_a_watch_that_was_left_is_forgotten(api, server, pods, watch):
    async with watch(pods):
        pass
    shelf = server.registry.shelf(server.registry.catalog.at("", "v1", "pods").resource)
    async with asyncio.timeout(5):
        while shelf._watches:
            await asyncio.sleep(0.01)


async def test_a_bookmark_comes_before_the_watch_ends(api, pods, watch, monkeypatch):
    monkeypatch.setattr(watching, "BOOKMARK_BEFORE_END_SECONDS", 0.95)
    version = await version_of(api, pods)

    async with watch(pods, timeoutSeconds=1, allowWatchBookmarks="true", resourceVersion=version) as events:
        kind, mark = await events.next()
        assert await events.ended()

    assert (kind, mark["kind"]) == ("BOOKMARK", "Pod")
    assert mark["metadata"] == {"resourceVersion": version}
