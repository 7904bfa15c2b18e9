"""The OpenAPI documents, as far as kubectl and other clients need them."""

from __future__ import annotations

import pytest

from tests.running_lab import eventually


def test_each_version_has_its_openapi_document(api, served_things):
    def index_of_all():
        paths = api.get("/openapi/v3").json()["paths"]
        return paths if served_things[1:] in paths else None

    index = eventually(index_of_all, what="the document of the custom resource")

    for path in ("api/v1", "apis/apps/v1", served_things[1:]):
        assert index[path]["serverRelativeURL"].startswith(f"/openapi/v3/{path}?hash=")
        assert api.get(index[path]["serverRelativeURL"]).json()["openapi"].startswith("3.")
    assert api.get("/openapi/v3/apis/none.example/v1").status_code == 404


KINDS = [("", "v1", "Pod", "pods"), ("apps", "v1", "Deployment", "deployments"), ("batch", "v1", "Job", "jobs")]


@pytest.mark.parametrize(("group", "version", "kind", "plural"), KINDS, ids=[row[2] for row in KINDS])
def test_openapi_tells_that_the_server_validates_fields(api, group, version, kind, plural):
    path = f"apis/{group}/{version}" if group else f"api/{version}"
    document = api.get(f"/openapi/v3/{path}").json()
    one = document["paths"][f"/{path}/namespaces/{{namespace}}/{plural}/{{name}}"]

    names = {parameter["name"] for parameter in one["patch"]["parameters"]}
    assert one["patch"]["x-kubernetes-group-version-kind"] == {"group": group, "version": version, "kind": kind}
    assert {"dryRun", "fieldManager", "fieldValidation"} <= names
    schemas = [
        schema
        for schema in document["components"]["schemas"].values()
        if {"group": group, "version": version, "kind": kind} in schema.get("x-kubernetes-group-version-kind", [])
    ]
    assert len(schemas) == 1
    assert {"apiVersion", "kind", "metadata", "spec", "status"} == set(schemas[0]["properties"])


def test_openapi_v2_is_served(api):
    answer = api.get("/openapi/v2", headers={"accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"})

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/com.github.proto-openapi.spec.v2")
