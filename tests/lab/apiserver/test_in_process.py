"""The client that the lab's controllers use."""

from __future__ import annotations

import asyncio

import pytest

from lab.errors import ApiError
from lab.faults import Faults, RequestFault
from lab.resources import CLUSTERS, CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS


@pytest.fixture
def client(server):
    return server.client


async def test_bodies_are_copied_on_the_way_in(client, make_pod):
    body = make_pod("one", app="web")
    created = await client.create(PODS, body, namespace="default")
    body["metadata"]["labels"]["app"] = "changed"

    found = await client.get(PODS, "one", namespace="default")

    assert found is created
    assert found["metadata"]["labels"] == {"app": "web"}


async def test_a_patch_leaves_earlier_versions_alone(client, make_pod):
    first = await client.create(PODS, make_pod("one", app="web"), namespace="default")

    second = await client.patch(PODS, "one", {"metadata": {"labels": {"app": "db"}}}, namespace="default")

    assert first["metadata"]["labels"] == {"app": "web"}
    assert second["metadata"]["labels"] == {"app": "db"}


async def test_it_watches_after_a_list(client, make_pod):
    _, version = await client.list(PODS)
    await client.create(PODS, make_pod("one"), namespace="default")
    await client.delete(PODS, "one", namespace="default")

    events = client.watch(PODS, version)
    seen = [(await anext(events)).type for _ in range(3)]
    await events.aclose()

    assert seen == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_forgotten_version_raises(server, client, make_pod):
    _, version = await client.list(PODS)
    await client.create(PODS, make_pod("one"), namespace="default")
    server.forget_history()

    with pytest.raises(ApiError) as refused:
        await anext(client.watch(PODS, version))

    assert refused.value.code == 410


async def test_a_resource_without_definition_is_not_found(client):
    with pytest.raises(ApiError) as refused:
        await client.list(CLUSTERS)

    assert refused.value.code == 404


async def test_binding_needs_the_right_pod(client, make_pod):
    pod = await client.create(PODS, make_pod("one"), namespace="default")
    wrong = {"metadata": {"uid": "another"}, "spec": {"nodeName": "n1"}}
    right = {"metadata": {"uid": pod["metadata"]["uid"]}, "spec": {"nodeName": "n1"}}

    with pytest.raises(ApiError) as refused:
        await client.patch(PODS, "one", wrong, namespace="default", subresource="binding")
    bound = await client.patch(PODS, "one", right, namespace="default", subresource="binding")

    assert refused.value.code == 409
    assert (bound["spec"]["nodeName"], bound["metadata"]["generation"]) == ("n1", 1)


async def test_it_scales(client, workload):
    await client.create(DEPLOYMENTS, workload, namespace="default")

    changed = await client.patch(
        DEPLOYMENTS, "web", {"spec": {"replicas": 3}}, namespace="default", subresource="scale"
    )

    assert changed["spec"]["replicas"] == 3


async def test_a_stale_version_in_a_patch_conflicts(client, make_config_map):
    await client.create(CONFIG_MAPS, make_config_map("one"), namespace="default")

    with pytest.raises(ApiError) as refused:
        await client.patch(CONFIG_MAPS, "one", {"metadata": {"resourceVersion": "1"}}, namespace="default")

    assert refused.value.code == 409


async def test_faults_of_requests_do_not_reach_it(client, faults: Faults):
    faults.add(RequestFault(trouble="500", times=None))

    assert len((await client.list(NAMESPACES))[0]) == 4


async def test_writers_let_watchers_have_their_turn(client, make_config_map):
    looking = asyncio.create_task(anext(client.watch(CONFIG_MAPS, "1")))
    written = 0
    while not looking.done():
        await client.create(CONFIG_MAPS, make_config_map(f"c{written}"), namespace="default")
        written += 1

    assert looking.result().object["metadata"]["name"] == "c0"
