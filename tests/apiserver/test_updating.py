"""Replacing objects: versions, what may not change, and status apart from the rest."""

from __future__ import annotations

import pytest

from tests.apiserver.bodies import MERGE, config_map, pod, thing, workload

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@pytest.fixture
def config_maps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def held(api, config_maps):
    """A ConfigMap that is there, called `one`."""
    return api.post(config_maps, json=config_map("one", a="1")).json()


def causes(answer):
    status = answer.json()
    assert (answer.status_code, status["reason"]) == (422, "Invalid"), status
    return [(cause["reason"], cause["field"], cause["message"]) for cause in status["details"]["causes"]]


def test_the_latest_version_is_replaced(api, config_maps, held):
    replaced = api.put(f"{config_maps}/one", json={**held, "data": {"a": "2"}})

    assert (replaced.status_code, replaced.json()["data"]) == (200, {"a": "2"})
    assert replaced.json()["metadata"]["resourceVersion"] != held["metadata"]["resourceVersion"]
    assert replaced.json()["metadata"]["uid"] == held["metadata"]["uid"]


def test_a_stale_version_conflicts(api, config_maps, held):
    api.put(f"{config_maps}/one", json={**held, "data": {"a": "2"}})

    answer = api.put(f"{config_maps}/one", json={**held, "data": {"a": "3"}})

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == f'Operation cannot be fulfilled on configmaps "one": {MODIFIED}'
    assert answer.json()["details"] == {"name": "one", "kind": "configmaps"}


@pytest.mark.parametrize("version", ["", "0", None])
def test_without_a_version_whatever_is_there_is_replaced(api, config_maps, held, version):
    body = {**config_map("one", a="2"), "metadata": {"name": "one", "resourceVersion": version}}

    assert api.put(f"{config_maps}/one", json=body).json()["data"] == {"a": "2"}


def test_a_version_is_a_number(api, config_maps, held):
    answer = api.put(f"{config_maps}/one", json={"metadata": {"name": "one", "resourceVersion": "abc"}})

    assert answer.status_code == 500
    assert answer.json()["message"] == 'strconv.ParseUint: parsing "abc": invalid syntax'


def test_custom_resources_are_only_replaced_with_their_version(api, things):
    api.post(things, json=thing(replicas=1))

    answer = api.put(f"{things}/one", json=thing(replicas=2))

    message = "Invalid value: 0: must be specified for an update"
    assert causes(answer) == [("FieldValueInvalid", "metadata.resourceVersion", message)]
    assert answer.json()["message"] == (
        f'things.writing.example.com "one" is invalid: metadata.resourceVersion: {message}'
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/apis/coordination.k8s.io/v1/namespaces/{}/leases", {"spec": {"holderIdentity": "me"}}),
        ("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", {"spec": {"maxUnavailable": 1}}),
    ],
)
def test_some_kinds_are_only_replaced_with_their_version(api, namespace, path, body):
    path = path.format(namespace)
    body = {**body, "metadata": {"name": "one"}}
    assert api.post(path, json=body).status_code == 201

    answer = api.put(f"{path}/one", json=body)

    assert causes(answer)[0][1:] == ("metadata.resourceVersion", "Invalid value: 0: must be specified for an update")


def test_what_is_not_there_is_not_found(api, config_maps):
    answer = api.put(f"{config_maps}/one", json=config_map("one"))

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert answer.json()["message"] == 'configmaps "one" not found'


METADATA = {
    "another name": ({"name": "two"}, "the name of the object (two) does not match the name on the URL (one)"),
    "no name": ({}, "the name of the object (one based on URL) was undeterminable: name must be provided"),
    "another namespace": (
        {"name": "one", "namespace": "other"},
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
}


@pytest.mark.parametrize(("metadata", "message"), METADATA.values(), ids=METADATA)
def test_what_is_not_the_object_of_the_path_is_a_bad_request(api, config_maps, held, metadata, message):
    answer = api.put(f"{config_maps}/one", json={"metadata": metadata})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == message


def test_another_uid_conflicts(api, config_maps, held):
    answer = api.put(f"{config_maps}/one", json={"metadata": {"name": "one", "uid": "other"}})

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"].startswith('Operation cannot be fulfilled on configmaps "one": ')
    assert answer.json()["message"].endswith(
        f"Precondition failed: UID in precondition: other, UID in object meta: {held['metadata']['uid']}"
    )


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "deletion",
    [
        ("deletionTimestamp", "2001-01-01T00:00:00Z", '"2001-01-01T00:00:00Z"'),
        ("deletionGracePeriodSeconds", 5, "5"),
    ],
)
@pytest.mark.usefixtures("held")
def test_the_deletion_is_not_written_by_hand(api, config_maps, verb, deletion):
    field, value, shown = deletion
    headers = MERGE if verb == "PATCH" else {}
    body = {"metadata": {"name": "one", field: value}}

    answer = api.request(verb, f"{config_maps}/one", json=body, headers=headers)

    assert causes(answer)[0] == (
        "FieldValueInvalid",
        f"metadata.{field}",
        f"Invalid value: {shown}: field is immutable",
    )


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
@pytest.mark.parametrize("field", [{"creationTimestamp": "2001-01-01T00:00:00Z"}, {"generation": 7}, {"selfLink": "x"}])
def test_other_fields_of_the_server_are_silently_kept(api, config_maps, held, verb, field):
    headers = MERGE if verb == "PATCH" else {}
    body = {"metadata": {"name": "one", **field}, "data": {"a": "1"}}

    answer = api.request(verb, f"{config_maps}/one", json=body, headers=headers)

    assert answer.status_code == 200
    assert answer.json()["metadata"]["creationTimestamp"] == held["metadata"]["creationTimestamp"]
    assert answer.json()["metadata"].get("generation") == held["metadata"].get("generation")
    assert "selfLink" not in answer.json()["metadata"]


def test_an_update_that_changes_nothing_keeps_the_version(api, config_maps, held):
    again = api.put(f"{config_maps}/one", json=held).json()
    patched = api.patch(f"{config_maps}/one", json={"data": {"a": "1"}}, headers=MERGE).json()

    assert again == patched == held


def test_a_rehearsed_update_stores_nothing(api, config_maps, held):
    rehearsed = api.put(f"{config_maps}/one", json={**held, "data": {"a": "2"}}, params={"dryRun": "All"})
    refused = api.put(
        f"{config_maps}/one",
        json={**held, "metadata": {"name": "one", "resourceVersion": "1"}},
        params={"dryRun": "All"},
    )

    assert (rehearsed.status_code, rehearsed.json()["data"]) == (200, {"a": "2"})
    assert refused.status_code == 409
    assert api.get(f"{config_maps}/one").json() == held


@pytest.mark.parametrize("verb", ["PUT", "PATCH", "DELETE"])
def test_a_collection_is_not_written_to(api, config_maps, verb):
    if verb == "DELETE":
        config_maps = "/api/v1/configmaps"
    headers = MERGE if verb == "PATCH" else {}

    answer = api.request(verb, config_maps, json={}, headers=headers)

    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
    assert answer.json()["message"] == "the server does not allow this method on the requested resource"


def test_an_object_is_not_created_at_its_path(api, config_maps, held):
    assert api.post(f"{config_maps}/one", json=config_map("one")).status_code == 405


FROZEN = {
    "data": ({"immutable": True, "data": {"a": "2"}}, "data"),
    "back": ({"data": {"a": "1"}}, "immutable"),
}


@pytest.mark.parametrize("change", FROZEN.values(), ids=FROZEN)
@pytest.mark.parametrize(("plural", "value"), [("configmaps", "1"), ("secrets", "MTI=")])
def test_what_is_immutable_stays(api, namespace, plural, value, change):
    body, field = change
    path = f"/api/v1/namespaces/{namespace}/{plural}"
    first = {"metadata": {"name": "one"}, "immutable": True, "data": {"a": value}}
    assert api.post(path, json=first).status_code == 201
    data = {"a": value} if field == "immutable" else {"a": "MTM="}

    answer = api.put(f"{path}/one", json={**body, "metadata": {"name": "one"}, "data": data})

    message = "Forbidden: field is immutable when `immutable` is set"
    assert causes(answer) == [("FieldValueForbidden", field, message)]


def test_a_secret_keeps_its_type(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/secrets"
    api.post(path, json={"metadata": {"name": "one"}})

    answer = api.patch(f"{path}/one", json={"type": "other"}, headers=MERGE)

    assert causes(answer) == [("FieldValueInvalid", "type", 'Invalid value: "other": field is immutable')]


def test_a_service_keeps_its_address(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/services"
    spec = {"ports": [{"port": 80}]}
    created = api.post(path, json={"metadata": {"name": "web"}, "spec": spec}).json()

    kept = api.put(f"{path}/web", json={"metadata": {"name": "web"}, "spec": {"ports": [{"port": 81}]}}).json()
    answer = api.patch(f"{path}/web", json={"spec": {"clusterIP": "10.240.16.2"}}, headers=MERGE)

    assert kept["spec"]["clusterIP"] == created["spec"]["clusterIP"]
    message = 'Invalid value: ["10.240.16.2"]: may not change once set'
    assert causes(answer) == [("FieldValueInvalid", "spec.clusterIPs[0]", message)]


def test_a_selector_is_immutable(api, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, json=workload())

    answer = api.patch(f"{path}/web", json={"spec": {"selector": {"matchLabels": {"x": "y"}}}}, headers=MERGE)

    assert causes(answer) == [
        (
            "FieldValueInvalid",
            "spec.template.metadata.labels",
            'Invalid value: {"app":"web"}: `selector` does not match template `labels`',
        ),
        (
            "FieldValueInvalid",
            "spec.selector",
            'Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable',
        ),
    ]


def test_a_node_keeps_its_addresses_for_pods(api, namespace):
    path = f"/api/v1/nodes/node-{namespace}"
    api.post("/api/v1/nodes", json={"metadata": {"name": f"node-{namespace}"}})

    given = api.patch(path, json={"spec": {"podCIDR": "10.1.0.0/24"}}, headers=MERGE).json()
    answer = api.patch(path, json={"spec": {"podCIDR": "10.2.0.0/24", "podCIDRs": ["10.2.0.0/24"]}}, headers=MERGE)

    assert given["spec"]["podCIDRs"] == ["10.1.0.0/24"]
    message = 'Forbidden: node updates may not change podCIDR except from "" to valid'
    assert causes(answer) == [("FieldValueForbidden", "spec.podCIDRs", message)]


def test_a_namespace_keeps_its_label_and_finalizers(api, namespace):
    path = f"/api/v1/namespaces/{namespace}"
    patch = {"metadata": {"labels": {"kubernetes.io/metadata.name": "x"}}, "spec": {"finalizers": []}}

    patched = api.patch(path, json=patch, headers=MERGE).json()

    assert patched["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace}
    assert patched["spec"] == {"finalizers": ["kubernetes"]}


ONLY_IMAGES = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
POD_CHANGES = {
    "node": ({"nodeName": "n1"}, "spec", ONLY_IMAGES),
    "command": ({"containers": [{"name": "main", "image": "web:1", "command": ["a"]}]}, "spec", ONLY_IMAGES),
    "grace": ({"terminationGracePeriodSeconds": 3}, "spec", ONLY_IMAGES),
    "another container": (
        {"containers": [{"name": "main", "image": "web:1"}, {"name": "side", "image": "side:1"}]},
        "spec.containers",
        "Forbidden: pod updates may not add or remove containers",
    ),
    "a later deadline": (
        {"activeDeadlineSeconds": 200},
        "spec.activeDeadlineSeconds",
        "Invalid value: 200: must be less than or equal to previous value",
    ),
}


@pytest.mark.parametrize(("spec", "field", "message"), POD_CHANGES.values(), ids=POD_CHANGES)
def test_little_of_a_pod_may_change(api, namespace, spec, field, message):
    path = f"/api/v1/namespaces/{namespace}/pods"
    body = pod("one")
    api.post(path, json={**body, "spec": {**body["spec"], "activeDeadlineSeconds": 100}})

    ((_, found, told),) = causes(api.patch(f"{path}/one", json={"spec": spec}, headers=MERGE))

    assert found == field
    assert told.startswith(message)


def test_images_and_deadlines_of_a_pod_change_and_count(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, json=pod("one"))

    image = api.patch(
        f"{path}/one", json={"spec": {"containers": [{"name": "main", "image": "web:2"}]}}, headers=MERGE
    ).json()
    deadline = api.patch(f"{path}/one", json={"spec": {"activeDeadlineSeconds": 9}}, headers=MERGE).json()
    labelled = api.patch(f"{path}/one", json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE).json()

    assert image["spec"]["containers"][0]["image"] == "web:2"
    assert [found["metadata"]["generation"] for found in (image, deadline, labelled)] == [2, 3, 3]


def test_the_generation_counts_changes_of_the_spec_only(api, things):
    api.post(things, json=thing(replicas=1))
    path = f"{things}/one"

    labelled = api.patch(path, json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE).json()
    changed = api.patch(path, json={"spec": {"replicas": 2}}, headers=MERGE).json()
    same = api.patch(path, json={"spec": {"replicas": 2}, "metadata": {"generation": 9}}, headers=MERGE).json()
    status = api.patch(f"{path}/status", json={"status": {"phase": "x"}}, headers=MERGE).json()

    assert [found["metadata"]["generation"] for found in (labelled, changed, same, status)] == [1, 2, 2, 2]


def test_spec_and_status_are_written_apart(api, things):
    created = api.post(things, json={**thing(replicas=1), "status": {"phase": "early"}}).json()
    both = {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 3}, "status": {"phase": "x"}}

    status = api.patch(f"{things}/one/status", json=both, headers=MERGE).json()
    main = api.patch(f"{things}/one", json={**both, "status": {"phase": "y"}}, headers=MERGE).json()

    assert "status" not in created
    assert (status["spec"], status["status"], "labels" in status["metadata"]) == (
        {"replicas": 1},
        {"phase": "x"},
        False,
    )
    assert (main["spec"], main["status"], main["metadata"]["labels"]) == ({"replicas": 3}, {"phase": "x"}, {"a": "b"})


def test_spec_and_status_of_built_in_kinds_are_written_apart(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.post(path, json=pod("one"))

    main = api.patch(f"{path}/one", json={"status": {"phase": "Running"}}, headers=MERGE).json()
    body = {"metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "x"}, "status": {"podIP": "10.0.0.1"}}
    status = api.patch(f"{path}/one/status", json=body, headers=MERGE).json()

    assert main["status"]["phase"] == "Pending"
    assert (status["status"]["podIP"], status["status"]["podIPs"]) == ("10.0.0.1", [{"ip": "10.0.0.1"}])
    assert "nodeName" not in status["spec"]
    assert status["metadata"]["labels"] == {"a": "b"}


def test_the_status_of_a_deployment_comes_without_labels(api, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, json=workload(paused=True))

    status = api.patch(f"{path}/web/status", json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE).json()

    assert "labels" not in status["metadata"]


def test_a_status_is_replaced(api, things):
    created = api.post(things, json=thing(replicas=1)).json()

    replaced = api.put(f"{things}/one/status", json={**created, "spec": {}, "status": {"phase": "x"}})

    assert replaced.status_code == 200
    assert (replaced.json()["spec"], replaced.json()["status"]) == ({"replicas": 1}, {"phase": "x"})
    assert api.get(f"{things}/one/status").json() == replaced.json()
