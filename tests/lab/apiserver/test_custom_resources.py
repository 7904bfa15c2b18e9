"""CustomResourceDefinitions over HTTP."""

from __future__ import annotations

import pytest

from lab.errors import ApiError
from lab.resources import CLUSTERS

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"content-type": "application/merge-patch+json"}


async def test_a_definition_is_served_at_once(api, clusters, make_cluster):
    definition = (await api.get(f"{DEFINITIONS}/clusters.kubermatic.k8c.io")).json()
    created = await api.post(clusters, json=make_cluster("one"))
    discovered = (await api.get("/apis/kubermatic.k8c.io/v1")).json()["resources"]

    conditions = {c["type"]: c["status"] for c in definition["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert created.status_code == 201
    assert discovered[0]["shortNames"] == ["cl"]
    assert [entry["name"] for entry in discovered] == ["clusters", "clusters/scale", "clusters/status"]


async def test_a_deleted_definition_takes_its_objects_along(api, clusters, make_cluster, watch):
    await api.post(clusters, json=make_cluster("one"))
    async with watch(clusters) as events:
        await events.next()
        await api.delete(f"{DEFINITIONS}/clusters.kubermatic.k8c.io")
        kind, cluster = await events.next()
        assert await events.ended()

    assert (kind, cluster["metadata"]["name"]) == ("DELETED", "one")
    assert (await api.get(clusters)).status_code == 404
    assert "kubermatic.k8c.io" not in (await api.get("/apis")).text


async def test_defaults_are_filled_in_and_unknown_fields_kept(api, clusters, make_cluster):
    cluster = make_cluster("one")
    cluster["spec"]["colour"] = "red"

    created = (await api.post(clusters, json=cluster)).json()

    assert (created["spec"]["containerRuntime"], created["spec"]["colour"]) == ("containerd", "red")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"clusterNetwork": {"proxyMode": "x"}},
            'spec.clusterNetwork.proxyMode: Unsupported value: "x": supported values: '
            '"ipvs", "iptables", "ebpf", "nftables"',
        ),
        ({}, "spec.clusterNetwork: Required value"),
        (
            {"clusterNetwork": {"proxyMode": "ipvs"}, "replicas": "2"},
            'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
    ],
)
async def test_the_schema_is_enforced_in_kubernetes_words(api, clusters, spec, message):
    answer = await api.post(clusters, json={"metadata": {"name": "one"}, "spec": spec})

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"] == f'Cluster.kubermatic.k8c.io "one" is invalid: {message}'


async def test_several_violations_stand_in_brackets(api, clusters):
    spec = {"clusterNetwork": {}, "replicas": "2"}

    answer = await api.post(clusters, json={"metadata": {"name": "one"}, "spec": spec})

    assert answer.json()["message"].startswith('Cluster.kubermatic.k8c.io "one" is invalid: [')
    assert len(answer.json()["details"]["causes"]) == 2


async def test_a_hook_refuses_and_changes(api, server, clusters, make_cluster):
    def hook(request):
        if request.operation == "CREATE":
            request.new["spec"]["hooked"] = request.user.name
        if request.operation == "UPDATE" and request.old["spec"] != request.new["spec"]:
            raise ApiError(403, 'admission webhook "w" denied the request: no')

    server.register_admission(CLUSTERS, hook)
    created = (await api.post(clusters, json=make_cluster("one"))).json()
    refused = await api.patch(f"{clusters}/one", json={"spec": {"replicas": 1}}, headers=MERGE)

    assert created["spec"]["hooked"] == "admin"
    assert refused.json()["message"] == 'admission webhook "w" denied the request: no'
    assert (await api.get(f"{clusters}/one")).json() == created


async def test_the_schema_speaks_before_a_hook_refuses(api, server, clusters, make_cluster):
    def hook(request):
        raise ApiError(403, "no")

    server.register_admission(CLUSTERS, hook)

    assert (await api.post(clusters, json=make_cluster("one", "x"))).status_code == 422
    assert (await api.post(clusters, json=make_cluster("one"))).status_code == 403


async def test_custom_resources_scale_along_their_paths(api, clusters, make_cluster):
    await api.post(clusters, json=make_cluster("one"))

    scale = await api.patch(f"{clusters}/one/scale", json={"spec": {"replicas": 3}}, headers=MERGE)

    assert scale.json()["spec"]["replicas"] == 3
    assert (await api.get(f"{clusters}/one")).json()["spec"]["replicas"] == 3
