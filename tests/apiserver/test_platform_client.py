"""The client by which the lab's platform works on API servers that are not its own."""

import asyncio

import pytest

from lab.errors import ApiError
from lab.platform.http import HttpClient
from lab.resources import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS, Resource

NODE_INFO = dict.fromkeys(
    (
        *("architecture", "bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion"),
        *("kubeletVersion", "machineID", "operatingSystem", "osImage", "systemUUID"),
    ),
    "",
)


@pytest.fixture
async def client(server):
    authority = server.certificate_file.read_bytes()
    async with HttpClient(server.url, authority, server.admin_token) as opened:
        yield opened


def config_map(name, namespace, **data):
    return {"metadata": {"name": name, "namespace": namespace}, "data": data}


def pod(name, namespace):
    spec = {"containers": [{"name": "main", "image": "pause"}], "terminationGracePeriodSeconds": 0}
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app": name}}, "spec": spec}


def deployment(name, namespace):
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "pause"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


async def test_what_is_listed_says_its_kind(client, namespace):
    await client.create(CONFIG_MAPS, config_map("one", namespace, key="value"))

    items, version = await client.list(CONFIG_MAPS, namespace=namespace, field_selector="metadata.name=one")

    assert [(item["kind"], item["apiVersion"], item["data"]) for item in items] == [
        ("ConfigMap", "v1", {"key": "value"})
    ]
    assert int(version) > 0


async def test_it_watches_after_a_list(client, namespace):
    _, version = await client.list(CONFIG_MAPS)
    await client.create(CONFIG_MAPS, config_map("one", namespace))
    await client.patch(CONFIG_MAPS, "one", {"data": {"a": "b"}}, namespace=namespace)
    await client.delete(CONFIG_MAPS, "one", namespace=namespace)

    events = client.watch(CONFIG_MAPS, version)
    async with asyncio.timeout(10):
        seen = [await anext(events) for _ in range(3)]
    await events.aclose()

    assert [event.type for event in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert {event.object["metadata"]["name"] for event in seen} == {"one"}


async def test_a_version_that_the_server_has_forgotten_raises(lab_server):
    # A real one keeps as much as its watch cache holds, which is no test's to fill.
    authority = lab_server.certificate_file.read_bytes()
    async with HttpClient(lab_server.url, authority, lab_server.admin_token) as client:
        await client.create(CONFIG_MAPS, config_map("forgotten", "default"))
        lab_server.forget_history()

        with pytest.raises(ApiError) as refused:
            await anext(client.watch(CONFIG_MAPS, "1"))

    assert refused.value.code == 410


async def test_an_update_with_a_stale_version_conflicts(client, namespace):
    first = await client.create(CONFIG_MAPS, config_map("one", namespace))
    await client.patch(CONFIG_MAPS, "one", {"data": {"a": "b"}}, namespace=namespace)

    with pytest.raises(ApiError) as refused:
        await client.update(CONFIG_MAPS, {**first, "data": {"a": "c"}})

    assert (refused.value.code, refused.value.reason) == (409, "Conflict")


async def test_a_status_is_written_apart(client, namespace):
    node = await client.create(NODES, {"metadata": {"name": f"node-of-{namespace}"}})
    changed = {**node, "spec": {"unschedulable": True}, "status": {"nodeInfo": {**NODE_INFO, "kernelVersion": "6.8"}}}

    written = await client.update(NODES, changed, subresource="status")

    assert written["status"]["nodeInfo"]["kernelVersion"] == "6.8"
    assert "unschedulable" not in written["spec"]


async def test_it_scales(client, namespace):
    await client.create(DEPLOYMENTS, deployment("web", namespace))

    await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 2}}, namespace=namespace, subresource="scale")

    assert (await client.get(DEPLOYMENTS, "web", namespace=namespace))["spec"]["replicas"] == 2


async def test_a_binding_needs_the_right_pod(client, namespace):
    made = await client.create(PODS, pod("one", namespace))
    wrong = {"metadata": {"uid": "another"}, "spec": {"nodeName": "n1"}}
    right = {"metadata": {"uid": made["metadata"]["uid"]}, "spec": {"nodeName": "n1"}}

    with pytest.raises(ApiError) as refused:
        await client.patch(PODS, "one", wrong, namespace=namespace, subresource="binding")
    await client.patch(PODS, "one", right, namespace=namespace, subresource="binding")

    assert refused.value.code == 409
    assert (await client.get(PODS, "one", namespace=namespace))["spec"]["nodeName"] == "n1"


async def test_only_the_pod_of_the_uid_is_deleted(client, namespace):
    made = await client.create(PODS, pod("one", namespace))

    with pytest.raises(ApiError) as refused:
        await client.delete(PODS, "one", namespace=namespace, uid="another")
    await client.delete(PODS, "one", namespace=namespace, uid=made["metadata"]["uid"], grace_period_seconds=0)

    assert refused.value.code == 409
    with pytest.raises(ApiError) as gone:
        await client.get(PODS, "one", namespace=namespace)
    assert (gone.value.code, gone.value.reason) == (404, "NotFound")


async def test_a_pod_is_evicted(client, namespace):
    await client.create(PODS, pod("one", namespace))

    await client.evict("one", namespace=namespace)

    assert (await client.list(PODS, namespace=namespace))[0] == []


async def test_a_resource_without_definition_is_not_found(client):
    undefined = Resource(group="none.example.com", plural="things", kind="Thing", custom=True)

    with pytest.raises(ApiError) as refused:
        await client.list(undefined)

    assert refused.value.code == 404


async def test_a_server_that_is_gone_counts_as_unavailable():
    async with HttpClient("https://127.0.0.1:1", b"", "token") as client:
        with pytest.raises(ApiError) as refused:
            await client.list(NODES)

    assert refused.value.code == 503
