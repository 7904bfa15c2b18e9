"""Label and field selectors."""

from __future__ import annotations

import pytest


def names(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


@pytest.fixture(scope="module")
def pods(api):
    """Where the pods a and b of app web, c of app db and d without labels are; nobody else's are there."""
    space = {"metadata": {"name": "contract-selectors"}}
    assert api.post("/api/v1/namespaces", json=space).status_code == 201
    path = "/api/v1/namespaces/contract-selectors/pods"
    labels = {
        "a": {"app": "web", "tier": "1", "example.com/part": "front"},
        "b": {"app": "web", "tier": "12"},
        "c": {"app": "db"},
        "d": {},
    }
    spec = {
        "containers": [{"name": "main", "image": "example.com/main"}],
        "nodeSelector": {"none": "such"},
        "terminationGracePeriodSeconds": 0,
    }
    for name, held in labels.items():
        pod_spec = {**spec, "hostNetwork": True, "restartPolicy": "Never"} if name == "c" else spec
        pod = {"metadata": {"name": name, "labels": held}, "spec": pod_spec}
        assert api.post(path, json=pod).status_code == 201
    status = {"status": {"phase": "Running", "podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}]}}
    merge = {"content-type": "application/merge-patch+json"}
    assert api.patch(f"{path}/b/status", json=status, headers=merge).status_code == 200
    return path


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("", "abcd"),
        ("app=web", "ab"),
        ("app==db", "c"),
        ("app!=web", "cd"),
        ("app in (web, db)", "abc"),
        ("app in (web,web)", "ab"),
        ("app notin (web)", "cd"),
        ("app", "abc"),
        ("!app", "d"),
        ("! app", "d"),
        ("app=web,!example.com/part", "b"),
        ("app=", ""),
        ("app!=", "abcd"),
        ("app in ()", ""),
        ("app notin ()", "abcd"),
        ("app in (,web)", "ab"),
        ("tier>1", "b"),
        ("tier>0,tier<5", "a"),
        ("tier<12", "a"),
        ("app>1", ""),
        ("example.com/part=front", "a"),
        (" app = web , tier = 1 ", "a"),
        ("in=web", ""),
    ],
)
def test_label_selectors(api, pods, selector, found):
    answer = api.get(pods, params={"labelSelector": selector})

    assert "".join(names(answer)) == found


REQUIREMENT = "unable to parse requirement: "


@pytest.mark.parametrize(
    ("selector", "why"),
    [
        ("a b", f"{REQUIREMENT}found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("app in web", f"{REQUIREMENT}found 'web' expected: '('"),
        ("app in (web", f"{REQUIREMENT}found '', expected: ',' or ')'"),
        ("app=web,", "found '', expected: identifier after ','"),
        ("app=web,,tier", "found ',', expected: identifier after ','"),
        ("=web", "found '=', expected: !, identifier, or 'end of string'"),
        ("-a=b", f'{REQUIREMENT}<nil>: Invalid value: "-a": name part must consist of alphanumeric characters'),
        ("a=-b", f'{REQUIREMENT}values[0][a]: Invalid value: "-b": a valid label must be an empty string or consist'),
        (
            "a>b",
            f"{REQUIREMENT}values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
    ],
)
def test_a_broken_label_selector_is_refused(api, pods, selector, why):
    answer = api.get(pods, params={"labelSelector": selector})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"].startswith(why)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("", "abcd"),
        ("metadata.name=b", "b"),
        ("metadata.name==b", "b"),
        ("metadata.name!=b", "acd"),
        ("metadata.name=b,metadata.name!=b", ""),
        ("metadata.name=none", ""),
        ("metadata.namespace=contract-selectors,metadata.name=a", "a"),
        ("metadata.namespace=default", ""),
        ("status.phase=Pending", "acd"),
        ("status.phase!=Pending", "b"),
        ("status.podIP=10.1.2.3", "b"),
        ("spec.nodeName=", "abcd"),
        ("spec.hostNetwork=true", "c"),
        ("spec.hostNetwork=false", "abd"),
        ("spec.restartPolicy=Never", "c"),
        ("spec.schedulerName=default-scheduler", "abcd"),
        ("spec.serviceAccountName=x", ""),
        ("status.nominatedNodeName=", "abcd"),
    ],
)
def test_field_selectors_of_pods(api, pods, selector, found):
    answer = api.get(pods, params={"fieldSelector": selector})

    assert "".join(names(answer)) == found


def test_label_and_field_selectors_go_together(api, pods):
    query = {"labelSelector": "app=web", "fieldSelector": "status.phase=Running"}

    assert names(api.get(pods, params=query)) == ["b"]


@pytest.mark.parametrize("path", ["/api/v1/pods", "/api/v1/namespaces/contract-selectors/pods"])
def test_a_name_is_selected_in_every_namespace(api, pods, path):
    query = {"fieldSelector": "metadata.name=a,metadata.namespace=contract-selectors"}

    assert names(api.get(path, params=query)) == ["a"]


UNSUPPORTED = "field label not supported: spec.colour"


@pytest.mark.parametrize(
    ("path", "selector", "why"),
    [
        ("/api/v1/pods", "spec.colour=red", UNSUPPORTED),
        ("/api/v1/nodes", "spec.colour=red", UNSUPPORTED),
        ("/api/v1/nodes", "metadata.namespace=x", "field label not supported: metadata.namespace"),
        ("/api/v1/namespaces", "spec.colour=red", UNSUPPORTED),
        ("/api/v1/events", "spec.colour=red", UNSUPPORTED),
        ("/api/v1/secrets", "spec.colour=red", UNSUPPORTED),
        (
            "/apis/apps/v1/replicasets",
            "status.replicas=1",
            '"status.replicas" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("/apis/batch/v1/jobs", "spec.colour=red", 'field label "spec.colour" not supported for Job'),
        (
            "/api/v1/configmaps",
            "data.x=1",
            '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("/api/v1/pods", "x", "invalid selector: 'x'; can't understand 'x'"),
        ("/api/v1/pods", "metadata.name=a,x", "invalid selector: 'metadata.name=a,x'; can't understand 'x'"),
    ],
)
def test_a_field_that_cannot_be_selected_by_is_refused(api, path, selector, why):
    answer = api.get(path, params={"fieldSelector": selector})

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == why


@pytest.mark.parametrize(
    ("path", "selector"),
    [
        ("/api/v1/events", "involvedObject.kind=Pod,reason=None,type=Normal,source=x,reportingComponent=y"),
        ("/api/v1/nodes", "spec.unschedulable=true,metadata.name=none"),
        ("/api/v1/secrets", "type=example.com/none"),
        ("/api/v1/namespaces", "status.phase=Terminating,metadata.name=none"),
        ("/api/v1/services", "spec.type=LoadBalancer,spec.clusterIP=1.1.1.1"),
        ("/apis/batch/v1/jobs", "status.successful=77"),
    ],
)
def test_fields_that_can_be_selected_by(api, path, selector):
    answer = api.get(path, params={"fieldSelector": selector})

    assert (answer.status_code, answer.json()["items"]) == (200, [])


def test_a_parameter_that_comes_twice_counts_once(api, pods):
    assert "".join(names(api.get(f"{pods}?labelSelector=app%3Ddb&labelSelector=app%3Dweb"))) == "c"
