"""Scaling and binding."""

from __future__ import annotations

import pytest

from tests.apiserver.bodies import JSON_PATCH, MERGE, STRATEGIC, pod, thing, workload


@pytest.fixture
def web(api, namespace):
    """The path of a Deployment that is there, paused, so that its replicas are only counted."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert api.post(path, json=workload(paused=True)).status_code == 201
    return f"{path}/web"


@pytest.fixture
def one(api, namespace):
    """The path of a pod that is there."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    assert api.post(path, json=pod("one")).status_code == 201
    return f"{path}/one"


def test_a_scale_shows_the_replicas(api, web):
    api.patch(web, json={"spec": {"replicas": 2}}, headers=MERGE)
    found = api.get(web).json()["metadata"]

    scale = api.get(f"{web}/scale").json()

    names = ("name", "namespace", "uid", "creationTimestamp")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert {name: scale["metadata"][name] for name in names} == {name: found[name] for name in names}
    assert (scale["spec"], scale["status"]["selector"]) == ({"replicas": 2}, "app=web")
    assert "replicas" in scale["status"]


def test_a_scale_of_nothing_says_nothing_of_what_is_wanted(api, web):
    assert api.get(f"{web}/scale").json()["spec"] == {}


@pytest.mark.parametrize(
    ("headers", "patch"),
    [
        (MERGE, {"spec": {"replicas": 2}}),
        (STRATEGIC, {"spec": {"replicas": 2}}),
        (JSON_PATCH, [{"op": "add", "path": "/spec/replicas", "value": 2}]),
    ],
    ids=["merge", "strategic", "JSON"],
)
def test_a_scale_is_patched(api, web, headers, patch):
    scaled = api.patch(f"{web}/scale", json=patch, headers=headers)

    assert (scaled.status_code, scaled.json()["spec"]) == (200, {"replicas": 2})
    assert api.get(web).json()["spec"]["replicas"] == 2
    assert api.get(web).json()["metadata"]["generation"] == 2


@pytest.mark.parametrize("metadata", [{"name": "web"}, {"name": "web", "resourceVersion": ""}])
def test_a_scale_is_replaced(api, web, metadata):
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": 3}}

    scaled = api.put(f"{web}/scale", json=body)
    none = api.put(f"{web}/scale", json={"metadata": metadata})

    assert (scaled.status_code, scaled.json()["spec"]) == (200, {"replicas": 3})
    assert (none.status_code, none.json()["spec"]) == (200, {})


def test_a_stale_scale_conflicts(api, web):
    scale = {"metadata": {"name": "web", "resourceVersion": "1"}, "spec": {"replicas": 3}}

    answer = api.put(f"{web}/scale", json=scale)

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["details"] == {"name": "web", "group": "apps", "kind": "deployments"}


SCALES = {
    "fewer than none": (
        {"metadata": {"name": "web"}, "spec": {"replicas": -4}},
        422,
        'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -4: must be greater than or equal to 0',
    ),
    "a text": (
        {"metadata": {"name": "web"}, "spec": {"replicas": "x"}},
        400,
        'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal string into Go struct field '
        "ScaleSpec.spec.replicas of type int32",
    ),
    "another name": (
        {"metadata": {"name": "other"}, "spec": {"replicas": 4}},
        400,
        "the name of the object (other) does not match the name on the URL (web)",
    ),
}


@pytest.mark.parametrize(("scale", "code", "message"), SCALES.values(), ids=SCALES)
def test_a_scale_that_makes_no_sense_is_refused(api, web, scale, code, message):
    answer = api.put(f"{web}/scale", json=scale)

    assert (answer.status_code, answer.json()["message"]) == (code, message)


def test_a_rehearsed_scale_stores_nothing(api, web):
    scaled = api.patch(f"{web}/scale", json={"spec": {"replicas": 8}}, headers=MERGE, params={"dryRun": "All"})

    assert (scaled.status_code, scaled.json()["spec"]) == (200, {"replicas": 8})
    assert api.get(web).json()["spec"]["replicas"] == 0


@pytest.mark.parametrize("verb", ["POST", "DELETE"])
def test_a_scale_neither_comes_nor_goes(api, web, verb):
    answer = api.request(verb, f"{web}/scale", json={})

    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")


def test_there_is_no_scale_of_what_is_not_there(api, web):
    answer = api.get(f"{web}-more/scale")

    assert (answer.status_code, answer.json()["message"]) == (404, 'deployments.apps "web-more" not found')


def test_a_custom_resource_scales_along_its_paths(api, things):
    api.post(things, json=thing(replicas=1))
    api.patch(f"{things}/one/status", json={"status": {"replicas": 1}}, headers=MERGE)

    before = api.get(f"{things}/one/scale").json()
    after = api.patch(f"{things}/one/scale", json={"spec": {"replicas": 3}}, headers=MERGE).json()

    assert (before["spec"], before["status"]) == ({"replicas": 1}, {"replicas": 1})
    assert after["spec"] == {"replicas": 3}
    found = api.get(f"{things}/one").json()
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (3, 2)


@pytest.mark.parametrize("subresource", ["scale", "binding", "other"])
def test_what_a_resource_lacks_is_not_found(api, namespace, subresource):
    answer = api.get(f"/api/v1/namespaces/{namespace}/configmaps/one/{subresource}")

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert answer.json()["message"] == "the server could not find the requested resource"


def binding(**more):
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "one"},
        "target": {"kind": "Node", "name": "n1"},
        **more,
    }


def test_a_pod_gets_its_node_once(api, one):
    bound, again = (api.post(f"{one}/binding", json=binding()) for _ in range(2))

    found = api.get(one).json()
    (condition,) = found["status"]["conditions"]
    assert (bound.status_code, bound.json()["status"]) == (201, "Success")
    assert (found["spec"]["nodeName"], found["metadata"]["generation"]) == ("n1", 1)
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    assert (again.status_code, again.json()["reason"]) == (409, "Conflict")
    assert again.json()["message"] == (
        'Operation cannot be fulfilled on pods/binding "one": pod one is already assigned to node "n1"'
    )
    assert again.json()["details"] == {"name": "one", "kind": "pods/binding"}


BINDINGS = {
    "no node": (binding(target={}), 500, "target.name: Required value"),
    "no node at all": (
        binding(target={"kind": "Pod", "name": "x"}),
        500,
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
    ),
    "another pod": (binding(metadata={"name": "two"}), 400, "name in URL does not match name in Binding object"),
}


@pytest.mark.parametrize(("body", "code", "message"), BINDINGS.values(), ids=BINDINGS)
def test_a_binding_that_makes_no_sense_is_refused(api, one, body, code, message):
    answer = api.post(f"{one}/binding", json=body)

    assert (answer.status_code, answer.json()["message"]) == (code, message)
    assert "nodeName" not in api.get(one).json()["spec"]


def test_a_binding_may_be_meant_for_one_pod_only(api, one):
    answer = api.post(f"{one}/binding", json=binding(metadata={"name": "one", "uid": "other"}))

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition: other" in answer.json()["message"]


def test_a_rehearsed_binding_binds_nothing(api, one):
    rehearsed = api.post(f"{one}/binding", json=binding(), params={"dryRun": "All"})

    assert rehearsed.status_code == 201
    assert "nodeName" not in api.get(one).json()["spec"]


def test_there_is_no_node_for_what_is_not_there(api, one):
    answer = api.post(f"{one}-more/binding", json=binding(metadata={"name": "one-more"}))

    assert (answer.status_code, answer.json()["message"]) == (404, 'pods "one-more" not found')
