"""In which form answers come and bodies may be sent: JSON or YAML, whole, as metadata alone, or not at all."""

from __future__ import annotations

import pytest
import yaml

META = "v=v1;g=meta.k8s.io"
MEDIA_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@pytest.fixture
def path(api, namespace):
    """Where the ConfigMap a is."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {"metadata": {"name": "a", "labels": {"app": "web"}}, "data": {"x": "1"}}
    assert api.post(path, json=body).status_code == 201
    return path


def accepting(accept):
    return {"accept": accept}


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "*/*",
        "",
        "text/html, application/json",
        f"application/json;as=Colour;{META}, application/json",
        "application/json;q=0.5",
    ],
)
def test_json_is_answered_to_who_takes_it(api, path, accept):
    answer = api.get(f"{path}/a", headers=accepting(accept))

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert (answer.json()["kind"], answer.json()["data"]) == ("ConfigMap", {"x": "1"})


def test_yaml_is_answered_to_who_wants_it(api, path):
    answer = api.get(f"{path}/a", headers=accepting("application/yaml"))
    listed = api.get(path, headers=accepting("application/yaml"))

    assert answer.headers["content-type"] == listed.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(answer.text) == api.get(f"{path}/a").json()
    assert yaml.safe_load(listed.text)["kind"] == "ConfigMapList"


@pytest.mark.parametrize("accept", ["text/html", "application/*", "application/cbor", "application/xml, text/plain"])
@pytest.mark.parametrize("name", ["", "/a"], ids=["list", "object"])
def test_a_media_type_that_is_not_written_is_refused(api, path, name, accept):
    answer = api.get(path + name, headers=accepting(accept))

    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")
    assert MEDIA_TYPES in answer.json()["message"]
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "form",
    ["as=Colour;v=v1;g=meta.k8s.io", "as=Table;v=v9;g=meta.k8s.io", "as=Table;v=v1;g=example.com", "as=Table"],
)
def test_a_form_that_is_not_known_is_refused(api, path, form):
    answer = api.get(path, headers=accepting(f"application/json;{form}"))

    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")
    assert answer.json()["message"] == f"only the following media types are accepted: {MEDIA_TYPES}"
    assert "details" not in answer.json()


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_metadata_can_be_had_alone(api, path, version):
    form = f"v={version};g=meta.k8s.io"
    listed = api.get(path, headers=accepting(f"application/json;as=PartialObjectMetadataList;{form}")).json()
    read = api.get(f"{path}/a", headers=accepting(f"application/json;as=PartialObjectMetadata;{form}")).json()

    whole = api.get(f"{path}/a").json()
    partial = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": whole["metadata"]}
    assert read == partial
    assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", f"meta.k8s.io/{version}")
    assert listed["items"] == [partial]
    assert set(listed["metadata"]) == {"resourceVersion"}


def test_writes_answer_with_metadata_alone_too(api, path):
    headers = accepting(f"application/json;as=PartialObjectMetadata;{META}")
    made = api.post(path, json={"metadata": {"name": "b"}, "data": {"x": "1"}}, headers=headers)
    patched = api.patch(
        f"{path}/b",
        json={"data": {"x": "2"}},
        headers={**headers, "content-type": "application/merge-patch+json"},
    )

    assert (made.status_code, made.json()["kind"], "data" in made.json()) == (201, "PartialObjectMetadata", False)
    assert (patched.status_code, patched.json()["kind"]) == (200, "PartialObjectMetadata")
    assert api.get(f"{path}/b").json()["data"] == {"x": "2"}


@pytest.mark.parametrize(
    ("name", "form", "why"),
    [
        ("", "PartialObjectMetadata", "the requested object is a list (*core.ConfigMapList)"),
        ("/a", "PartialObjectMetadataList", "the requested object is not a list (*core.ConfigMap)"),
    ],
)
def test_metadata_of_a_list_is_a_list(api, path, name, form, why):
    answer = api.get(path + name, headers=accepting(f"application/json;as={form};{META}"))

    assert (answer.status_code, answer.json()["reason"]) == (406, "NotAcceptable")
    assert answer.json()["message"] == f"you requested {form}, but {why}"


def test_a_refusal_is_a_status_whatever_was_wanted(api, path):
    answer = api.get(f"{path}/none", headers=accepting(f"application/json;as=Table;{META}"))

    assert (answer.status_code, answer.json()["kind"], answer.json()["reason"]) == (404, "Status", "NotFound")


# Bodies


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/merge-patch+json", "nonsense"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_of_an_unknown_media_type_is_refused(api, path, method, media_type):
    where = path if method == "POST" else f"{path}/a"
    answer = api.request(method, where, content='{"metadata":{"name":"a"}}', headers={"content-type": media_type})

    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    why = "the body of the request was in an unknown format - accepted media types include"
    assert answer.json()["message"] == f"{why}: {MEDIA_TYPES}"
    assert "details" not in answer.json()


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=utf-8", "application/yaml", None]
)
def test_a_body_is_json_or_yaml(api, path, media_type):
    text = "metadata: {name: b}\ndata: {x: '1'}" if media_type == "application/yaml" else '{"metadata":{"name":"b"}}'
    headers = {"content-type": media_type} if media_type else {}

    answer = api.post(path, content=text, headers=headers)

    assert (answer.status_code, answer.json()["metadata"]["name"]) == (201, "b")


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/yaml"])
def test_a_patch_of_an_unknown_media_type_is_refused(api, path, media_type):
    answer = api.patch(f"{path}/a", content="{}", headers={"content-type": media_type})

    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    assert answer.json()["details"] == {}
