"""What clients send is held to its types, whatever it is sent as."""

from __future__ import annotations

import copy

import pytest

from tests.apiserver.bodies import APPLY, MERGE, STRATEGIC, pod, thing, workload


def refused(answer, *codes):
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
def test_wrong_metadata_is_refused_however_it_is_written(api, namespace, things, metadata):
    pods = f"/api/v1/namespaces/{namespace}/pods"
    api.post(pods, json=pod("held"))
    whole = {"name": "one", **metadata} if isinstance(metadata, dict) else metadata
    body, custom = {**pod("one"), "metadata": whole}, {**thing("one"), "metadata": whole}

    refused(api.post(pods, json=body), 400)
    refused(api.put(f"{pods}/held", json=body), 400)
    refused(api.post(things, json=custom), 400, 422)
    refused(api.patch(f"{pods}/held", json={"metadata": metadata}, headers=MERGE), 422, 400)
    refused(api.patch(f"{pods}/held", json={"metadata": metadata}, headers=STRATEGIC), 400, 422, 500)
    refused(api.patch(f"{pods}/one", json=body, headers=APPLY, params={"fieldManager": "one"}), 400, 500)


def test_the_decoder_tells_which_field_is_wrong(api, namespace):
    body = {**pod("one"), "metadata": {"name": "one", "ownerReferences": "a"}}

    answer = api.post(f"/api/v1/namespaces/{namespace}/pods", json=body)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field '
        "ObjectMeta.metadata.ownerReferences of type []v1.OwnerReference"
    )


@pytest.mark.parametrize("spec", [None, [], "x", {"containers": [1]}, {"containers": "x"}, {"containers": [None]}])
def test_pods_have_a_spec_with_containers(api, namespace, spec):
    refused(
        api.post(f"/api/v1/namespaces/{namespace}/pods", json={"metadata": {"name": "one"}, "spec": spec}), 400, 422
    )


@pytest.fixture
def web(api, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert api.post(path, json=workload(paused=True)).status_code == 201
    return f"{path}/web"


@pytest.mark.parametrize("headers", [MERGE, STRATEGIC], ids=["merge", "strategic"])
@pytest.mark.parametrize("containers", ["x", [1], {"a": 1}, ["x"]])
def test_patches_leave_containers_a_list_of_objects(api, web, headers, containers):
    template = {"spec": {"template": {"spec": {"containers": containers}}}}

    refused(api.patch(web, json=template, headers=headers), 422, 400 if headers == STRATEGIC else 422, 500)


@pytest.mark.parametrize("replicas", ["x", -5, 1e30, 1.5, True, []])
@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet"])
def test_replicas_are_whole_numbers_from_zero(api, namespace, kind, replicas):
    path = f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s"
    assert api.post(path, json=workload(kind)).status_code == 201
    bad = copy.deepcopy(workload(kind, "bad"))
    bad["spec"]["replicas"] = replicas
    patch = {"spec": {"replicas": replicas}}

    refused(api.post(path, json=bad), 400, 422)
    refused(api.patch(f"{path}/web", json=patch, headers=MERGE), 422)
    refused(api.patch(f"{path}/web/scale", json=patch, headers=MERGE), 422)
    refused(api.put(f"{path}/web/scale", json={"metadata": {"name": "web"}, **patch}), 400, 422)


@pytest.mark.parametrize("scale", [{"spec": 1}, {"metadata": "x"}, {"spec": []}])
def test_a_scale_is_held_to_its_types(api, web, scale):
    refused(api.put(f"{web}/scale", json={"metadata": {"name": "web"}, **scale}), 400)


SPECS = (
    "apis/apps/v1/namespaces/{}/deployments",
    "apis/apps/v1/namespaces/{}/daemonsets",
    "apis/apps/v1/namespaces/{}/statefulsets",
    "apis/apps/v1/namespaces/{}/replicasets",
    "apis/batch/v1/namespaces/{}/jobs",
    "api/v1/namespaces/{}/services",
    "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "api/v1/nodes",
)


@pytest.mark.parametrize("path", SPECS)
def test_a_spec_is_an_object(api, namespace, path):
    specs: tuple[object, ...] = ([], "x", 1)
    for spec in specs:
        refused(api.post(f"/{path.format(namespace)}", json={"metadata": {"name": "web"}, "spec": spec}), 400)


@pytest.mark.parametrize("path", [path for path in SPECS if "/apps/" in path or "/batch/" in path])
def test_workloads_need_a_spec(api, namespace, path):
    for spec in ({}, {"spec": None}, {"spec": {"template": None}}):
        refused(api.post(f"/{path.format(namespace)}", json={"metadata": {"name": "web"}, **spec}), 422)


@pytest.mark.parametrize(
    "status", [{"conditions": "x"}, {"conditions": [1]}, {"phase": 1}, {"podIP": {}}, {"containerStatuses": {}}]
)
def test_a_status_is_held_to_its_types(api, namespace, status):
    pods = f"/api/v1/namespaces/{namespace}/pods"
    api.post(pods, json=pod("one"))

    refused(api.patch(f"{pods}/one/status", json={"status": status}, headers=MERGE), 422)


@pytest.mark.parametrize("body", [{"target": 1}, {"metadata": 1}, {"target": {"name": []}}])
def test_a_binding_is_held_to_its_types(api, namespace, body):
    pods = f"/api/v1/namespaces/{namespace}/pods"
    api.post(pods, json=pod("one"))

    refused(api.post(f"{pods}/one/binding", json=body), 400)
