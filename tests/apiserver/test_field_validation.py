"""Fields that a kind does not have: refused, warned about or dropped, as `fieldValidation` says."""

from __future__ import annotations

import pytest

from tests.apiserver.bodies import JSON_PATCH, MERGE, STRATEGIC, config_map, thing, workload


@pytest.fixture
def paths(api, namespace, things):
    """Where the objects of these tests lie, by kind."""
    return {
        "ConfigMap": f"/api/v1/namespaces/{namespace}/configmaps",
        "Deployment": f"/apis/apps/v1/namespaces/{namespace}/deployments",
        "Thing": things,
    }


def in_container(name):
    body = workload()
    body["spec"]["template"]["spec"]["containers"][0][name] = 1
    return body


UNKNOWN = {
    "at the top": ({**config_map("one"), "foo": 1}, ["foo"]),
    "in the metadata": ({**config_map("one"), "metadata": {"name": "one", "foo": 1}}, ["metadata.foo"]),
    "several": (
        {**config_map("one"), "metadata": {"name": "one", "foo": 1}, "bar": {}},
        ["metadata.foo", "bar"],
    ),
    "in the spec": (workload(foo=1), ["spec.foo"]),
    "in a list": (in_container("foo"), ["spec.template.spec.containers[0].foo"]),
    "in a custom resource": (thing(foo=1), ["spec.foo"]),
    "in an element of a custom resource": (thing(items=[{"name": "a", "foo": 1}]), ["spec.items[0].foo"]),
}


@pytest.mark.parametrize(("body", "fields"), UNKNOWN.values(), ids=UNKNOWN)
def test_strictly_unknown_fields_are_refused(api, paths, body, fields):
    kind = body["kind"]

    answer = api.post(paths[kind], json=body, params={"fieldValidation": "Strict"})

    complaints = ", ".join(f'unknown field "{field}"' for field in fields)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        f'{kind} in version "v1" cannot be handled as a {kind}: strict decoding error: {complaints}'
    )


@pytest.mark.parametrize("query", [{}, {"fieldValidation": "Warn"}, {"fieldValidation": ""}])
@pytest.mark.parametrize(("body", "fields"), UNKNOWN.values(), ids=UNKNOWN)
def test_otherwise_unknown_fields_are_warned_about_and_dropped(api, paths, query, body, fields):
    answer = api.post(paths[body["kind"]], json=body, params=query)

    assert answer.status_code == 201
    assert answer.headers.get_list("warning") == [f'299 - "unknown field \\"{field}\\""' for field in fields]
    assert '"foo"' not in answer.text
    assert '"bar"' not in answer.text


@pytest.mark.parametrize(("body", "fields"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_fields_are_dropped_silently_if_asked(api, paths, body, fields):
    answer = api.post(paths[body["kind"]], json=body, params={"fieldValidation": "Ignore"})

    assert (answer.status_code, answer.headers.get_list("warning")) == (201, [])
    assert '"foo"' not in answer.text


def test_a_field_that_stands_twice_is_refused_or_warned_about(api, paths):
    content = '{"metadata": {"name": "one"}, "data": {"a": "b", "a": "c"}}'
    headers = {"content-type": "application/json"}

    refused = api.post(paths["ConfigMap"], content=content, headers=headers, params={"fieldValidation": "Strict"})
    warned = api.post(paths["ConfigMap"], content=content, headers=headers)

    assert refused.json()["message"].endswith('strict decoding error: duplicate field "data.a"')
    assert warned.headers.get_list("warning") == ['299 - "duplicate field \\"data.a\\""']
    assert warned.json()["data"] == {"a": "c"}


def test_updates_are_validated(api, paths):
    path = f"{paths['ConfigMap']}/one"
    api.post(paths["ConfigMap"], json=config_map("one"))
    body = {**config_map("one", a="1"), "foo": 1}

    refused = api.put(path, json=body, params={"fieldValidation": "Strict"})
    warned = api.put(path, json=body)

    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")
    assert (warned.status_code, warned.headers["warning"]) == (200, '299 - "unknown field \\"foo\\""')


FOO = {"spec": {"foo": 1}}
ADD_FOO = [{"op": "add", "path": "/spec/foo", "value": 1}]
PATCHES = {
    "merge": (workload(paused=True), MERGE, FOO),
    "strategic": (workload(paused=True), STRATEGIC, FOO),
    "JSON": (workload(paused=True), JSON_PATCH, ADD_FOO),
    "custom merge": (thing("web", replicas=1), MERGE, FOO),
    "custom JSON": (thing("web", replicas=1), JSON_PATCH, ADD_FOO),
}


@pytest.mark.parametrize(("body", "headers", "patch"), PATCHES.values(), ids=PATCHES)
def test_patches_are_validated(api, paths, body, headers, patch):
    kind = body["kind"]
    api.post(paths[kind], json=body)
    path = f"{paths[kind]}/web"

    refused = api.patch(path, json=patch, headers=headers, params={"fieldValidation": "Strict"})
    warned = api.patch(path, json=patch, headers=headers)

    (cause,) = refused.json()["details"]["causes"]
    assert (refused.status_code, refused.json()["reason"], cause["field"]) == (422, "Invalid", "patch")
    assert refused.json()["message"].startswith(' "" is invalid: patch: Invalid value: ')
    assert refused.json()["message"].endswith('strict decoding error: unknown field "spec.foo"')
    assert (warned.status_code, warned.headers["warning"]) == (200, '299 - "unknown field \\"spec.foo\\""')
    assert "foo" not in warned.json()["spec"]
