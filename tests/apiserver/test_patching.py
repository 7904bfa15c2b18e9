"""JSON patches, merge patches and strategic merge patches."""

from __future__ import annotations

import pytest

from tests.apiserver.bodies import JSON_PATCH, MERGE, STRATEGIC, config_map, pod, thing, workload


@pytest.fixture
def one(api, namespace):
    """The path of a ConfigMap that is there."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {**config_map("one", a="1", b="2"), "metadata": {"name": "one", "labels": {"x": "y"}}}
    assert api.post(path, json=body).status_code == 201
    return f"{path}/one"


@pytest.fixture
def web(api, namespace):
    """The path of a Deployment that is there."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert api.post(path, json=workload(paused=True)).status_code == 201
    return f"{path}/web"


def containers(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["spec"]["template"]["spec"]["containers"]


def of_pods(*listed, **spec):
    return {"spec": {"template": {"spec": {"containers": list(listed), **spec}}}}


def test_a_merge_patch_removes_what_is_null(api, one):
    patched = api.patch(one, json={"data": {"a": None, "c": "3"}}, headers=MERGE).json()

    assert patched["data"] == {"b": "2", "c": "3"}


def test_a_merge_patch_may_be_meant_for_one_version(api, one):
    held = api.get(one).json()["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": held}, "data": {"a": "3"}}

    first, second = api.patch(one, json=patch, headers=MERGE), api.patch(one, json=patch, headers=MERGE)

    assert (first.status_code, second.status_code, second.json()["reason"]) == (200, 409, "Conflict")


def test_what_is_not_there_is_not_patched(api, one):
    answer = api.patch(f"{one}-more", json={"data": {}}, headers=MERGE)

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


@pytest.mark.parametrize(
    ("metadata", "code", "message"),
    [
        ({"name": "two"}, 400, "the name of the object (two) does not match the name on the URL (one)"),
        ({"name": None}, 400, "the name of the object (one based on URL) was undeterminable: name must be provided"),
        (
            {"namespace": "other"},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ({"uid": "other"}, 422, 'ConfigMap "one" is invalid: metadata.uid: Invalid value: "other": field is immutable'),
    ],
)
def test_an_object_stays_itself(api, one, metadata, code, message):
    answer = api.patch(one, json={"metadata": metadata}, headers=MERGE)

    assert (answer.status_code, answer.json()["message"]) == (code, message)


def test_labels_may_all_go(api, one):
    patched = api.patch(one, json={"metadata": {"labels": None}}, headers=MERGE).json()

    assert "labels" not in patched["metadata"]


def test_a_json_patch_is_all_or_nothing(api, one):
    before = api.get(one).json()
    operations = [{"op": "replace", "path": "/data/a", "value": "2"}, {"op": "test", "path": "/data/a", "value": "9"}]

    refused = api.patch(one, json=operations, headers=JSON_PATCH)

    assert (refused.status_code, refused.json()["reason"]) == (422, "Invalid")
    assert refused.json()["message"] == "the server rejected our request due to an error in our request"
    assert api.get(one).json() == before


OPERATIONS = {
    "add": ([{"op": "add", "path": "/data/c", "value": "3"}], {"a": "1", "b": "2", "c": "3"}),
    "replace": ([{"op": "replace", "path": "/data/a", "value": "3"}], {"a": "3", "b": "2"}),
    "replace what is missing": ([{"op": "replace", "path": "/data/c", "value": "3"}], {"a": "1", "b": "2", "c": "3"}),
    "remove": ([{"op": "remove", "path": "/data/a"}], {"b": "2"}),
    "move": ([{"op": "move", "from": "/data/a", "path": "/data/c"}], {"b": "2", "c": "1"}),
    "copy": ([{"op": "copy", "from": "/data/a", "path": "/data/c"}], {"a": "1", "b": "2", "c": "1"}),
    "test": ([{"op": "test", "path": "/data/a", "value": "1"}], {"a": "1", "b": "2"}),
    "escaped": ([{"op": "add", "path": "/data/c~1d", "value": "3"}], None),
    "nothing": ([], {"a": "1", "b": "2"}),
}


@pytest.mark.parametrize(("operations", "data"), OPERATIONS.values(), ids=OPERATIONS)
def test_json_patches(api, one, operations, data):
    answer = api.patch(one, json=operations, headers=JSON_PATCH)

    if data is None:
        assert answer.json()["details"]["causes"][0]["field"] == "data[c/d]"
    else:
        assert (answer.status_code, answer.json()["data"]) == (200, data)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/data/c"},
        {"op": "remove", "path": "/missing/c"},
        {"op": "add", "path": "/missing/c", "value": 1},
        {"op": "add"},
        {"op": "bogus", "path": "/data/a"},
    ],
)
def test_operations_that_fail_make_the_patch_invalid(api, one, operation):
    answer = api.patch(one, json=[operation], headers=JSON_PATCH)

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"] == "the server rejected our request due to an error in our request"


UNDECODABLE = {
    "list for a merge patch": (
        MERGE,
        "[]",
        "json: cannot unmarshal array into Go value of type map[string]interface {}",
    ),
    "number for a merge patch": (
        MERGE,
        "5",
        "json: cannot unmarshal number into Go value of type map[string]interface {}",
    ),
    "nothing": (MERGE, "", "unexpected end of JSON input"),
    "half an object": (MERGE, "{", "unexpected end of JSON input"),
    "object for a JSON patch": (
        JSON_PATCH,
        "{}",
        "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
    ),
    "number as an operation": (
        JSON_PATCH,
        "[1]",
        "json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
    ),
}


@pytest.mark.parametrize(("headers", "content", "message"), UNDECODABLE.values(), ids=UNDECODABLE)
def test_a_body_that_is_no_patch_is_a_bad_request(api, one, headers, content, message):
    answer = api.patch(one, content=content, headers=headers)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == f"error decoding patch: {message}"


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_patch_says_what_kind_it_is(api, one, media_type):
    answer = api.patch(one, content="{}", headers={"content-type": media_type})

    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")


def test_strategic_patches_are_unknown_to_custom_resources(api, things):
    api.post(things, json=thing(replicas=1))

    answer = api.patch(f"{things}/one", json={"spec": {}}, headers=STRATEGIC)

    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    assert answer.json()["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


def test_only_an_apply_is_forced(api, one):
    answer = api.patch(one, json={"data": {}}, headers=MERGE, params={"force": "true"})

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch'
    )


WRONG = {
    "number": (MERGE, {"data": {"a": 1}}, "cannot unmarshal number into Go struct field ConfigMap.data of type string"),
    "list": (
        MERGE,
        {"data": []},
        "cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
    ),
    "by JSON patch": (
        JSON_PATCH,
        [{"op": "add", "path": "/data/a", "value": 1}],
        "cannot unmarshal number into Go struct field ConfigMap.data of type string",
    ),
}


@pytest.mark.parametrize(("headers", "patch", "complaint"), WRONG.values(), ids=WRONG)
def test_a_patch_leaves_every_field_its_type(api, one, headers, patch, complaint):
    answer = api.patch(one, json=patch, headers=headers)

    (cause,) = answer.json()["details"]["causes"]
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"].startswith(' "" is invalid: patch: Invalid value: ')
    assert (cause["field"], cause["message"].endswith(complaint)) == ("patch", True)
    assert set(answer.json()["details"]) == {"causes"}


@pytest.mark.parametrize("patch", [of_pods("x"), of_pods(1), {"spec": {"replicas": "x"}}, {"spec": 1}])
def test_a_strategic_patch_leaves_every_field_its_type(api, web, patch):
    answer = api.patch(web, json=patch, headers=STRATEGIC)

    assert answer.status_code in (400, 422, 500)
    assert answer.json()["status"] == "Failure"


DIRECTIVES = {
    "unknown": ({"spec": {"$patch": "bogus"}}, 500, "unknown patch type: bogus in map: map[$patch:bogus]"),
    "retained keys": ({"spec": {"$retainKeys": 5}}, 400, "invalid patch format of retainKeys"),
    "an element without its key": (
        of_pods({"image": "x"}),
        500,
        "map: map[image:x] does not contain declared merge key: name",
    ),
}


@pytest.mark.parametrize(("patch", "code", "message"), DIRECTIVES.values(), ids=DIRECTIVES)
def test_malformed_strategic_patches_are_refused(api, web, patch, code, message):
    answer = api.patch(web, json=patch, headers=STRATEGIC)

    assert (answer.status_code, answer.json()["message"]) == (code, message)


def test_a_strategic_patch_merges_containers_by_name(api, web):
    patch = of_pods({"name": "main", "env": [{"name": "B", "value": "2"}]}, {"name": "side", "image": "side:1"})

    main, side = containers(api.patch(web, json=patch, headers=STRATEGIC))

    assert [entry["name"] for entry in main["env"]] == ["B", "A"]
    assert (main["image"], side["image"], side["imagePullPolicy"]) == ("web:1", "side:1", "IfNotPresent")


def test_a_strategic_patch_merges_ports_by_number(api, web):
    patch = of_pods({"name": "main", "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}]})

    (main,) = containers(api.patch(web, json=patch, headers=STRATEGIC))

    assert main["ports"] == [
        {"containerPort": 80, "name": "http", "protocol": "TCP"},
        {"containerPort": 81, "protocol": "TCP"},
    ]


def test_a_strategic_patch_deletes_elements(api, web):
    api.patch(web, json=of_pods({"name": "side", "image": "side:1"}), headers=STRATEGIC)

    left = containers(api.patch(web, json=of_pods({"name": "side", "$patch": "delete"}), headers=STRATEGIC))

    assert [container["name"] for container in left] == ["main"]


def test_a_strategic_patch_orders_elements(api, web):
    order = {"$setElementOrder/containers": [{"name": "side"}, {"name": "main"}]}

    ordered = containers(api.patch(web, json=of_pods({"name": "side", "image": "s"}, **order), headers=STRATEGIC))

    assert [container["name"] for container in ordered] == ["side", "main"]


def test_a_strategic_patch_replaces_a_list_or_a_map_if_told(api, web):
    replaced = containers(
        api.patch(web, json=of_pods({"name": "new", "image": "n"}, {"$patch": "replace"}), headers=STRATEGIC)
    )
    strategy = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    kept = api.patch(web, json=strategy, headers=STRATEGIC).json()

    assert [container["name"] for container in replaced] == ["new"]
    assert kept["spec"]["strategy"] == {"type": "Recreate"}


def test_a_strategic_patch_replaces_other_lists(api, namespace):
    path = f"/api/v1/nodes/node-{namespace}"
    taints = [{"key": "a", "effect": "NoSchedule"}]
    api.post("/api/v1/nodes", json={"metadata": {"name": f"node-{namespace}"}, "spec": {"taints": taints}})

    patched = api.patch(
        path, json={"spec": {"taints": [{"key": "b", "effect": "NoExecute"}]}}, headers=STRATEGIC
    ).json()

    assert [taint["key"] for taint in patched["spec"]["taints"]] == ["b"]


def test_a_strategic_patch_merges_conditions_by_type(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, json=pod("one"))

    def conditions(*listed):
        body = {"status": {"conditions": [{"type": name, "status": status} for name, status in listed]}}
        found = api.patch(f"{path}/one/status", json=body, headers=STRATEGIC).json()["status"]["conditions"]
        return {condition["type"]: condition["status"] for condition in found}

    conditions(("Ready", "False"), ("Other", "True"))

    assert conditions(("Ready", "True")) == {"Ready": "True", "Other": "True"}


def test_a_field_that_is_removed_gets_its_default(api, web):
    api.patch(web, json={"spec": {"revisionHistoryLimit": 3}}, headers=MERGE)

    patched = api.patch(web, json={"spec": {"revisionHistoryLimit": None}}, headers=STRATEGIC).json()

    assert patched["spec"]["revisionHistoryLimit"] == 10


def test_a_rehearsed_patch_stores_nothing(api, one):
    before = api.get(one).json()

    rehearsed = api.patch(one, json={"data": {"a": "9"}}, headers=MERGE, params={"dryRun": "All"})

    assert (rehearsed.status_code, rehearsed.json()["data"]["a"]) == (200, "9")
    assert api.get(one).json() == before


@pytest.mark.parametrize("headers", [MERGE, STRATEGIC, JSON_PATCH])
def test_a_patch_creates_nothing(api, one, headers):
    patch: object = [] if headers == JSON_PATCH else {}

    assert api.patch(f"{one}-more", json=patch, headers=headers).status_code == 404


def test_a_strategic_patch_adds_to_finalizers_and_takes_away(api, one):
    api.patch(one, json={"metadata": {"finalizers": ["example.com/a", "example.com/b"]}}, headers=MERGE)
    patch = {"$deleteFromPrimitiveList/finalizers": ["example.com/a"], "finalizers": ["example.com/c"]}

    patched = api.patch(one, json={"metadata": patch}, headers=STRATEGIC).json()

    assert patched["metadata"]["finalizers"] == ["example.com/c", "example.com/b"]
