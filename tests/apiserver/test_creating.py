"""Creating objects: what the server adds, and what it refuses."""

from __future__ import annotations

import pytest

from tests.apiserver.bodies import config_map, pod, workload

SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"


@pytest.fixture
def config_maps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


def invalid(answer):
    """What a 422 says of each field."""
    status = answer.json()
    assert (answer.status_code, status["reason"], status["code"]) == (422, "Invalid", 422), status
    assert status["details"]["causes"], status
    return [(cause["field"], cause["message"]) for cause in status["details"]["causes"]]


def test_the_server_sets_what_only_it_may_set(api, config_maps, namespace):
    asked = {
        "uid": "mine",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 4,
        "selfLink": "/mine",
    }

    created = api.post(config_maps, json={**config_map("one", a="1"), "metadata": {"name": "one", **asked}})

    metadata = created.json()["metadata"]
    assert created.status_code == 201
    assert metadata["namespace"] == namespace
    assert {"uid", "resourceVersion", "creationTimestamp"} <= set(metadata)
    assert {"mine", "2001-01-01T00:00:00Z"}.isdisjoint({metadata["uid"], metadata["creationTimestamp"]})
    assert {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"}.isdisjoint(metadata)
    assert api.get(f"{config_maps}/one").json() == created.json()


@pytest.mark.parametrize(("prefix", "length"), [("x-", 7), ("x" * 70, 63)])
def test_a_name_is_made_from_its_prefix(api, config_maps, prefix, length):
    created = api.post(config_maps, json={"metadata": {"generateName": prefix}}).json()

    assert created["metadata"]["name"].startswith(prefix[:58])
    assert len(created["metadata"]["name"]) == length
    assert created["metadata"]["generateName"] == prefix


def test_a_name_goes_before_a_prefix(api, config_maps):
    created = api.post(config_maps, json={"metadata": {"name": "one", "generateName": "x-"}}).json()

    assert created["metadata"]["name"] == "one"


def test_a_taken_name_already_exists(api, config_maps):
    api.post(config_maps, json=config_map("one"))

    answer = api.post(config_maps, json=config_map("one"))

    assert answer.status_code == 409
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "one" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "one", "kind": "configmaps"},
        "code": 409,
    }


@pytest.mark.parametrize("plural", ["configmaps", "pods"])
def test_a_missing_namespace_is_not_found(api, plural):
    body = {"configmaps": config_map("one"), "pods": pod("one")}[plural]

    answer = api.post(f"/api/v1/namespaces/missing/{plural}", json=body)

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert answer.json()["message"] == 'namespaces "missing" not found'
    assert answer.json()["details"] == {"name": "missing", "kind": "namespaces"}


BAD_REQUESTS = {
    "another namespace": (
        {"metadata": {"name": "one", "namespace": "other"}},
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    "another kind": (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one"}},
        'Secret in version "v1" cannot be handled as a ConfigMap: ',
    ),
    "another version": (
        {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "one"}},
        'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2"',
    ),
    "another group": (
        {"apiVersion": "apps/v1", "kind": "ConfigMap", "metadata": {"name": "one"}},
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version '
        '"apps/v1"',
    ),
    "a number for a text": (
        {"metadata": {"name": "one"}, "data": {"a": 1}},
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field '
        "ConfigMap.data of type string",
    ),
    "a list": ([], "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json"),
    "a number": (5, "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json"),
}


@pytest.mark.parametrize(("body", "message"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_what_is_no_object_of_the_resource_is_a_bad_request(api, config_maps, body, message):
    answer = api.post(config_maps, json=body)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"].startswith(message)
    assert "details" not in answer.json()


@pytest.mark.parametrize("content", ["", "{"])
def test_a_body_that_ends_too_early_is_a_bad_request(api, config_maps, content):
    answer = api.post(config_maps, content=content, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        f"unexpected end of JSON input ({content or '<empty>'})"
    )


def test_a_new_object_has_no_version(api, config_maps):
    answer = api.post(config_maps, json={"metadata": {"name": "one", "resourceVersion": "5"}})

    assert answer.status_code == 500
    assert answer.json()["message"] == "resourceVersion should not be set on objects to be created"
    assert "reason" not in answer.json()


NAMES = {
    "none": ({}, "metadata.name", "Required value: name or generateName is required"),
    "malformed": ({"name": "Bad_Name"}, "metadata.name", f'Invalid value: "Bad_Name": {SUBDOMAIN}'),
    "too long": (
        {"name": "a" * 254},
        "metadata.name",
        f'Invalid value: "{"a" * 254}": must be no more than 253 characters',
    ),
    "malformed prefix": ({"generateName": "Bad_"}, "metadata.generateName", f'Invalid value: "Bad_": {SUBDOMAIN}'),
    "label key": (
        {"name": "one", "labels": {"a b": "c"}},
        "metadata.labels",
        'Invalid value: "a b": name part must consist of alphanumeric characters',
    ),
    "label value": (
        {"name": "one", "labels": {"a": "b c"}},
        "metadata.labels",
        'Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters',
    ),
    "long label value": (
        {"name": "one", "labels": {"a": "b" * 64}},
        "metadata.labels",
        f'Invalid value: "{"b" * 64}": must be no more than 63 bytes',
    ),
    "annotation key": (
        {"name": "one", "annotations": {"a b": "c"}},
        "metadata.annotations",
        'Invalid value: "a b": name part must consist of alphanumeric characters',
    ),
    "long annotations": (
        {"name": "one", "annotations": {"a": "b" * 262144}},
        "metadata.annotations",
        "Too long: may not be more than 262144 bytes",
    ),
}


@pytest.mark.parametrize(("metadata", "field", "message"), NAMES.values(), ids=NAMES)
def test_malformed_metadata_is_invalid(api, config_maps, metadata, field, message):
    answer = api.post(config_maps, json={"metadata": metadata})

    assert any(found == field and told.startswith(message) for found, told in invalid(answer)), answer.text
    assert answer.json()["details"]["kind"] == "ConfigMap"
    assert answer.json()["message"].startswith(f'ConfigMap "{metadata.get("name", "")}')


OBJECTS = {
    "a namespace with dots": (
        "/api/v1/namespaces",
        {"metadata": {"name": "a.b"}},
        "metadata.name",
        'Invalid value: "a.b": must not contain dots',
    ),
    "a Service with dots": (
        "/api/v1/namespaces/default/services",
        {"metadata": {"name": "a.b"}, "spec": {"ports": [{"port": 80}]}},
        "metadata.name",
        'Invalid value: "a.b": a DNS-1035 label must consist of lower case alphanumeric characters',
    ),
    "a Service without ports": (
        "/api/v1/namespaces/default/services",
        {"metadata": {"name": "web"}, "spec": {}},
        "spec.ports",
        "Required value",
    ),
    "ports without names": (
        "/api/v1/namespaces/default/services",
        {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}, {"port": 81}]}},
        "spec.ports[1].name",
        "Required value",
    ),
    "a malformed key of a ConfigMap": (
        "/api/v1/namespaces/default/configmaps",
        {"metadata": {"name": "one"}, "data": {"a b": "c"}},
        "data[a b]",
        "Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    ),
    "a key that stands twice": (
        "/api/v1/namespaces/default/configmaps",
        {"metadata": {"name": "one"}, "data": {"a": "c"}, "binaryData": {"a": "Yg=="}},
        "data[a]",
        'Invalid value: "a": duplicate of key present in binaryData',
    ),
    "a Deployment without replicas' worth": (
        "/apis/apps/v1/namespaces/default/deployments",
        workload(replicas=-1),
        "spec.replicas",
        "Invalid value: -1: must be greater than or equal to 0",
    ),
    "a selector of other pods": (
        "/apis/apps/v1/namespaces/default/deployments",
        workload(selector={"matchLabels": {"app": "other"}}),
        "spec.template.metadata.labels",
        'Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ),
    "a Job that restarts its pods": (
        "/apis/batch/v1/namespaces/default/jobs",
        {"metadata": {"name": "one"}, "spec": {"template": pod("x")}},
        "spec.template.spec.restartPolicy",
        'Required value: valid values: "OnFailure", "Never"',
    ),
}


@pytest.mark.parametrize(("path", "body", "field", "message"), OBJECTS.values(), ids=OBJECTS)
def test_objects_that_make_no_sense_are_invalid(api, path, body, field, message):
    found = invalid(api.post(path, json=body))

    assert any(where == field and told.startswith(message) for where, told in found), found


def test_a_workload_without_anything_lacks_everything(api, namespace):
    answer = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", json={"metadata": {"name": "web"}})

    assert answer.json()["details"] == {
        "name": "web",
        "group": "apps",
        "kind": "Deployment",
        "causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"},
            {
                "reason": "FieldValueInvalid",
                "message": "Invalid value: null: `selector` does not match template `labels`",
                "field": "spec.template.metadata.labels",
            },
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.template.spec.containers"},
        ],
    }


PODS = {
    "no containers": ({"containers": []}, [("spec.containers", "Required value")]),
    "no image": ({"containers": [{"name": "a"}]}, [("spec.containers[0].image", "Required value")]),
    "one name twice": (
        {"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]},
        [("spec.containers[1].name", 'Duplicate value: "a"')],
    ),
    "restart policy": (
        {"restartPolicy": "x", "containers": [{"name": "a", "image": "i"}]},
        [
            (
                "spec.restartPolicy",
                'Unsupported value: "x": supported values: "Always", "OnFailure", "Never"',
            )
        ],
    ),
    "pull policy": (
        {"containers": [{"name": "a", "image": "i", "imagePullPolicy": "x"}]},
        [
            (
                "spec.containers[0].imagePullPolicy",
                'Unsupported value: "x": supported values: "Always", "IfNotPresent", "Never"',
            )
        ],
    ),
}


@pytest.mark.parametrize(("spec", "violations"), PODS.values(), ids=PODS)
def test_pods_that_could_not_run_are_invalid(api, pods, spec, violations):
    assert invalid(api.post(pods, json={"metadata": {"name": "one"}, "spec": spec})) == violations


def test_a_pod_gets_its_defaults(api, pods):
    created = api.post(
        pods, json={"metadata": {"name": "one"}, "spec": {**pod("")["spec"], "volumes": [{"name": "v"}]}}
    )

    spec, (container,) = created.json()["spec"], created.json()["spec"]["containers"]
    tolerated = {toleration["key"]: toleration["tolerationSeconds"] for toleration in spec["tolerations"]}
    assert created.json()["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert created.json()["metadata"]["generation"] == 1
    assert container == {
        "name": "main",
        "image": "registry.k8s.io/pause:3.10",
        "imagePullPolicy": "IfNotPresent",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["terminationGracePeriodSeconds"]) == (
        "Always",
        "ClusterFirst",
        30,
    )
    assert (spec["priority"], spec["preemptionPolicy"], spec["enableServiceLinks"]) == (0, "PreemptLowerPriority", True)
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["volumes"] == [{"name": "v", "emptyDir": {}}]
    assert tolerated == {"node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 300}


FIRST_STATUS = {
    "DaemonSet": {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0},
    "Deployment": {},
    "ReplicaSet": {"replicas": 0},
    "StatefulSet": {"replicas": 0, "availableReplicas": 0},
}
DEFAULTS = {
    "DaemonSet": {
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
    },
    "Deployment": {
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
    },
    "ReplicaSet": {},
    "StatefulSet": {
        "revisionHistoryLimit": 10,
        "podManagementPolicy": "OrderedReady",
        "serviceName": "",
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    },
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_a_workload_gets_its_defaults(api, namespace, kind):
    body = workload(kind)
    if kind == "DaemonSet":
        del body["spec"]["replicas"]

    created = api.post(f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s", json=body).json()

    spec = created["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert created["metadata"]["generation"] == 1
    assert created["status"] == FIRST_STATUS[kind]
    assert {key: spec[key] for key in spec if key not in ("replicas", "selector", "template")} == DEFAULTS[kind]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_a_service_gets_an_address_and_its_defaults(api, namespace):
    created = api.post(
        f"/api/v1/namespaces/{namespace}/services",
        json={"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}},
    ).json()

    spec = created["spec"]
    assert spec["clusterIP"].startswith("10.240.")
    assert spec.pop("clusterIPs") == [spec.pop("clusterIP")]
    assert created["status"] == {"loadBalancer": {}}
    assert spec == {
        "type": "ClusterIP",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }


def test_a_namespace_carries_its_name(api, namespace):
    found = api.get(f"/api/v1/namespaces/{namespace}").json()

    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace}
    assert (found["spec"], found["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})


def test_secrets_take_plain_text(api, namespace):
    body = {"metadata": {"name": "one"}, "stringData": {"a": "b"}}

    created = api.post(f"/api/v1/namespaces/{namespace}/secrets", json=body).json()

    assert (created["data"], created["type"]) == ({"a": "Yg=="}, "Opaque")
    assert "stringData" not in created


def test_yaml_is_read(api, config_maps):
    body = "metadata: {name: one}\ndata: {a: b}\n"

    created = api.post(config_maps, content=body, headers={"content-type": "application/yaml"})

    assert (created.status_code, created.json()["data"]) == (201, {"a": "b"})


def test_null_is_as_good_as_nothing(api, namespace):
    body = workload(strategy=None, revisionHistoryLimit=None)
    body["spec"]["template"]["metadata"] |= {"annotations": None, "creationTimestamp": None}

    created = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", json=body).json()

    assert created["spec"]["revisionHistoryLimit"] == 10
    assert created["spec"]["strategy"]["type"] == "RollingUpdate"
    assert "annotations" not in created["spec"]["template"]["metadata"]


def test_a_rehearsal_stores_nothing(api, config_maps):
    rehearsed = api.post(config_maps, json=config_map("one", a="1"), params={"dryRun": "All"})

    assert (rehearsed.status_code, rehearsed.json()["data"]) == (201, {"a": "1"})
    assert "resourceVersion" not in rehearsed.json()["metadata"]
    assert api.get(f"{config_maps}/one").status_code == 404


OPTIONS = {
    "dryRun": ("some", 'dryRun: Unsupported value: ["some"]: supported values: "All"'),
    "fieldValidation": (
        "some",
        'fieldValidation: Unsupported value: "some": supported values: "", "Ignore", "Strict", "Warn"',
    ),
    "fieldManager": ("x" * 129, "fieldManager: Too long: may not be more than 128 bytes"),
}


@pytest.mark.parametrize(
    ("verb", "kind"), [("POST", "CreateOptions"), ("PUT", "UpdateOptions"), ("PATCH", "PatchOptions")]
)
@pytest.mark.parametrize("option", OPTIONS)
def test_options_that_make_no_sense_are_invalid(api, config_maps, verb, kind, option):
    value, message = OPTIONS[option]
    path = config_maps if verb == "POST" else f"{config_maps}/one"
    headers = {"content-type": "application/merge-patch+json" if verb == "PATCH" else "application/json"}

    answer = api.request(verb, path, json=config_map("one"), headers=headers, params={option: value})

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"] == f'{kind}.meta.k8s.io "" is invalid: {message}'
    assert answer.json()["details"]["group"] == "meta.k8s.io"
