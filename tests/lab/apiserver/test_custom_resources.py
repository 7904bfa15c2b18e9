"""Admission hooks of custom resources, which only the lab has in its own process."""

from __future__ import annotations

from lab.errors import ApiError
from lab.resources import CLUSTERS

MERGE = {"content-type": "application/merge-patch+json"}


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
