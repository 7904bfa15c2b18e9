"""What clients send is held to its types before it can reach a controller."""

from __future__ import annotations

import asyncio
import copy

import pytest

from lab.platform.runtime import Mirror
from lab.resources import CLUSTERS, NODES, PODS

MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}
JSON = {"content-type": "application/json-patch+json"}
PATCHES = [MERGE, STRATEGIC, APPLY]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


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


@pytest.mark.parametrize("metadata", WRONG_METADATA.values(), ids=WRONG_METADATA)
async def test_wrong_metadata_is_a_bad_request_however_it_is_written(api, pods, make_pod, clusters, metadata):
    await api.post(pods, json=make_pod("held"))
    pod = make_pod("one")
    pod["metadata"] = {"name": "one", **metadata} if isinstance(metadata, dict) else metadata

    refused(await api.post(pods, json=pod), 400)
    refused(await api.put(f"{pods}/held", json=pod), 400)
    refused(await api.post(clusters, json={"metadata": pod["metadata"], "spec": {}}), 400)
    for headers in PATCHES:
        refused(await api.patch(f"{pods}/held", json={"metadata": metadata}, headers=headers), 400)
    refused(await api.patch(f"{pods}/new", json={"metadata": metadata}, headers=APPLY), 400)


async def test_the_decoding_error_is_the_real_servers(api, pods, make_pod):
    pod = make_pod("one")
    pod["metadata"]["ownerReferences"] = "a"

    answer = await api.post(pods, json=pod)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field '
        "ObjectMeta.metadata.ownerReferences of type []v1.OwnerReference"
    )


async def test_owners_without_uid_are_invalid(api, pods, make_pod):
    pod = make_pod("one")
    pod["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": "a"}]

    answer = await api.post(pods, json=pod)

    refused(answer, 422)
    assert answer.json()["details"]["causes"][0]["field"] == "metadata.ownerReferences[0].uid"


@pytest.mark.parametrize("spec", [None, [], "x", {"containers": [1]}, {"containers": "x"}, {"containers": [None]}])
async def test_pods_have_a_spec_with_containers(api, pods, spec):
    refused(await api.post(pods, json={"metadata": {"name": "one"}, "spec": spec}), 400, 422)


@pytest.mark.parametrize("headers", PATCHES)
@pytest.mark.parametrize("containers", ["x", [1], {"a": 1}, ["x"]])
async def test_patches_leave_containers_a_list_of_objects(api, deployments, workload, headers, containers):
    await api.post(deployments, json=workload)
    template = {"spec": {"template": {"spec": {"containers": containers}}}}

    refused(await api.patch(f"{deployments}/web", json=template, headers=headers), 400)


@pytest.mark.parametrize("directive", [{"$retainKeys": 5}, {"$setElementOrder/containers": 5}, {"$patch": []}])
async def test_malformed_strategic_directives_are_refused_or_ignored(api, pods, make_pod, directive):
    await api.post(pods, json=make_pod("one"))

    assert (await api.patch(f"{pods}/one", json={"spec": directive}, headers=STRATEGIC)).status_code < 500


@pytest.mark.parametrize("operations", [[1], [{"op": "add"}], [{"op": "replace", "path": "/spec", "value": 1}]])
async def test_malformed_json_patches_are_refused(api, pods, make_pod, operations):
    await api.post(pods, json=make_pod("one"))

    refused(await api.patch(f"{pods}/one", json=operations, headers=JSON), 400, 422)


@pytest.mark.parametrize("replicas", ["x", -5, 1e30, 1.5, True, []])
@pytest.mark.parametrize("plural", ["deployments", "replicasets", "statefulsets"])
async def test_replicas_are_whole_numbers_from_zero(api, workload, plural, replicas):
    path = f"/apis/apps/v1/namespaces/default/{plural}"
    kinds = {"deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet"}
    workload["kind"] = kinds[plural]
    assert (await api.post(path, json=workload)).status_code == 201
    bad = copy.deepcopy(workload)
    bad["metadata"]["name"] = "bad"
    bad["spec"]["replicas"] = replicas
    patch = {"spec": {"replicas": replicas}}

    refused(await api.post(path, json=bad), 400, 422)
    refused(await api.patch(f"{path}/web", json=patch, headers=MERGE), 400, 422)
    refused(await api.patch(f"{path}/web/scale", json=patch, headers=MERGE), 400, 422)
    refused(await api.put(f"{path}/web/scale", json={"metadata": {"name": "web"}, **patch}), 400, 422)


@pytest.mark.parametrize("scale", [{"spec": 1}, {"metadata": "x"}, {"spec": []}])
async def test_a_scale_is_held_to_its_types(api, deployments, workload, scale):
    await api.post(deployments, json=workload)

    refused(await api.put(f"{deployments}/web/scale", json=scale), 400)


PATHS = {
    "/apis/apps/v1/namespaces/default/deployments": "web",
    "/apis/apps/v1/namespaces/default/daemonsets": "web",
    "/apis/apps/v1/namespaces/default/statefulsets": "web",
    "/apis/apps/v1/namespaces/default/replicasets": "web",
    "/apis/batch/v1/namespaces/default/jobs": "web",
    "/api/v1/namespaces/default/services": "web",
    "/apis/policy/v1/namespaces/default/poddisruptionbudgets": "web",
    "/api/v1/nodes": "web",
}


@pytest.mark.parametrize("path", PATHS)
async def test_a_spec_is_an_object(api, path):
    wrong: tuple[object, ...] = ([], "x", 1)
    for spec in wrong:
        refused(await api.post(path, json={"metadata": {"name": "web"}, "spec": spec}), 400)


@pytest.mark.parametrize("path", [path for path in PATHS if "/apps/" in path or "/batch/" in path])
async def test_workloads_need_a_spec(api, path):
    refused(await api.post(path, json={"metadata": {"name": "web"}}), 422)
    refused(await api.post(path, json={"metadata": {"name": "web"}, "spec": None}), 422)
    refused(await api.post(path, json={"metadata": {"name": "web"}, "spec": {"template": None}}), 422)


async def test_a_node_without_spec_gets_an_empty_one(api, server):
    first = await api.post("/api/v1/nodes", json={"metadata": {"name": "one"}})
    replaced = await api.put("/api/v1/nodes/one", json={"metadata": {"name": "one"}, "spec": None})
    own = await server.client.create(NODES, {"metadata": {"name": "two"}})

    assert first.json()["spec"] == replaced.json()["spec"] == own["spec"] == {}


@pytest.mark.parametrize(
    "status", [{"conditions": "x"}, {"conditions": [1]}, {"phase": 1}, {"podIP": {}}, {"containerStatuses": {}}]
)
async def test_a_status_is_held_to_its_types(api, pods, make_pod, status):
    await api.post(pods, json=make_pod("one"))

    refused(await api.patch(f"{pods}/one/status", json={"status": status}, headers=MERGE), 400)


async def test_fields_that_are_null_are_as_good_as_left_out(api, deployments, workload):
    workload["spec"] |= {"strategy": None, "replicas": None}
    workload["spec"]["template"]["metadata"] |= {"annotations": None, "creationTimestamp": None}

    created = (await api.post(deployments, json=workload)).json()

    assert created["spec"]["replicas"] == 1
    assert created["spec"]["strategy"]["type"] == "RollingUpdate"
    assert "annotations" not in created["spec"]["template"]["metadata"]


@pytest.mark.parametrize(
    "options",
    [
        {"preconditions": 1},
        {"gracePeriodSeconds": "x"},
        {"gracePeriodSeconds": -1},
        {"propagationPolicy": {}},
        {"dryRun": 1},
    ],
)
async def test_delete_options_are_held_to_their_types(api, pods, make_pod, options):
    await api.post(pods, json=make_pod("one"))

    refused(await api.request("DELETE", f"{pods}/one", json=options), 400, 422)
    refused(await api.request("DELETE", pods, json=options), 400, 422)
    refused(await api.post(f"{pods}/one/eviction", json={"deleteOptions": options}), 400, 422)
    assert "deletionTimestamp" not in (await api.get(f"{pods}/one")).json()["metadata"]


@pytest.mark.parametrize("body", [{"target": 1}, {"metadata": 1}, {"target": {"name": []}}])
async def test_a_binding_is_held_to_its_types(api, pods, make_pod, body):
    await api.post(pods, json=make_pod("one"))

    refused(await api.post(f"{pods}/one/binding", json=body), 400)


@pytest.mark.parametrize("spec", [1, {"resourceAttributes": "x"}, {"resourceAttributes": {"verb": []}}])
async def test_a_review_is_held_to_its_types(api, spec):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    refused(await api.post(path, json={"spec": spec}), 400)


@pytest.mark.parametrize("grace", ["abc", "-1", "1.5", ""])
async def test_a_grace_period_in_the_query_is_a_number(api, pods, make_pod, grace):
    await api.post(pods, json=make_pod("one"))

    refused(await api.delete(f"{pods}/one", params={"gracePeriodSeconds": grace}), 400, 422)


@pytest.mark.parametrize("seconds", ["abc", "-1", "1.5"])
async def test_the_timeout_of_a_watch_is_a_number(api, pods, seconds):
    refused(await api.get(pods, params={"watch": "true", "timeoutSeconds": seconds}), 400)
    refused(await api.get(pods, params={"timeoutSeconds": seconds}), 400)


@pytest.mark.parametrize("headers", [*PATCHES, JSON])
async def test_an_empty_patch_is_refused(api, deployments, workload, headers):
    await api.post(deployments, json=workload)

    refused(await api.patch(f"{deployments}/web", content=b"", headers=headers), 400)
    refused(await api.patch(f"{deployments}/web/scale", content=b"", headers=headers), 400)


async def test_data_is_text(api):
    refused(await api.post(CONFIG_MAPS, json={"metadata": {"name": "one"}, "data": {"a": 1}}), 400)


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
