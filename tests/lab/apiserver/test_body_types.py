"""What clients send is held to its types before it can reach a controller."""

from __future__ import annotations

import asyncio

import pytest

from lab.platform.runtime import Mirror
from lab.resources import CLUSTERS, NODES, PODS


def refused(answer, *codes: int) -> None:
    status = answer.json()
    assert answer.status_code in codes, status
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.status_code)


WRONG_METADATA = {
    "name": {"name": 1},
    "namespace": {"namespace": []},
    "labels": {"labels": []},
    "label": {"labels": {"a": 5}},
    "annotation": {"annotations": {"a": {}}},
    "annotations": {"annotations": "a"},
    "finalizers": {"finalizers": {"a": 1}},
    "finalizer": {"finalizers": [1]},
    "owners": {"ownerReferences": "a"},
    "owner": {"ownerReferences": ["a"]},
    "owner uid": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": 5}]},
    "not an object": "a",
}


async def test_a_node_without_spec_gets_an_empty_one(api, server):
    first = await api.post("/api/v1/nodes", json={"metadata": {"name": "one"}})
    replaced = await api.put("/api/v1/nodes/one", json={"metadata": {"name": "one"}, "spec": None})
    own = await server.client.create(NODES, {"metadata": {"name": "two"}})

    assert first.json()["spec"] == replaced.json()["spec"] == own["spec"] == {}


@pytest.mark.parametrize("spec", [1, {"resourceAttributes": "x"}, {"resourceAttributes": {"verb": []}}])
async def test_a_review_is_held_to_its_types(api, spec):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    refused(await api.post(path, json={"spec": spec}), 400)


@pytest.mark.parametrize("spec", [None, [], {}, {"names": "x"}, {"group": "a.b", "names": {}, "versions": []}])
async def test_definitions_are_held_to_their_types(api, spec):
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    refused(await api.post(path, json={"metadata": {"name": "things.a.b"}, "spec": spec}), 400, 422)


async def test_custom_resources_of_a_wrong_type_never_reach_admission(api, server, clusters, make_cluster):
    server.register_admission(CLUSTERS, lambda request: request.new["spec"].get("clusterNetwork") and None)

    refused(await api.post(clusters, json={**make_cluster("one"), "spec": "x"}), 422)


async def test_an_unexpected_error_is_answered_and_leaves_the_server_running(api, server, pods, make_pod, caplog):
    def broken(_) -> None:
        raise RuntimeError("a bug")

    server.register_admission(PODS, broken)

    refused(await api.post(pods, json=make_pod("one")), 500)
    assert "a bug" in caplog.text
    assert (await api.get(pods)).status_code == 200


async def test_an_unexpected_error_of_a_watch_is_answered(api, server, pods, monkeypatch, caplog):
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(server.registry, "shelf", broken)

    refused(await api.get(pods, params={"watch": "true"}), 500)
    assert "a bug" in caplog.text


async def test_what_was_refused_never_reaches_a_mirror(api, server, pods, make_pod):
    mirror = Mirror(server.client)
    await mirror.follow(PODS, NODES)
    for metadata in WRONG_METADATA.values():
        await api.post(pods, json={**make_pod("one"), "metadata": metadata})

    await api.post(pods, json=make_pod("good"))
    async with asyncio.timeout(5):
        while mirror.get(PODS, "good", namespace="default") is None:
            await asyncio.sleep(0)

    assert [pod["metadata"]["name"] for pod in mirror.all(PODS)] == ["good"]
    await mirror.close()
