"""Tables, discovery, OpenAPI and logs over HTTP."""

from __future__ import annotations

import json

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MERGE = {"content-type": "application/merge-patch+json"}


def rows(table):
    names = [column["name"] for column in table["columnDefinitions"]]
    return [dict(zip(names, row["cells"], strict=True)) for row in table["rows"]]


async def test_pods_are_listed_as_a_table(api, pods, make_pod):
    await api.post(pods, json=make_pod("one", app="web"))

    table = (await api.get(pods, headers=TABLE)).json()

    (row,) = rows(table)
    assert (table["kind"], row["Name"], row["Ready"], row["Status"]) == ("Table", "one", "0/1", "Pending")
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table["rows"][0]["object"]["metadata"]["labels"] == {"app": "web"}


async def test_a_table_may_hold_whole_objects(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))

    table = (await api.get(f"{pods}/one", headers=TABLE, params={"includeObject": "Object"})).json()

    assert table["rows"][0]["object"]["spec"]["containers"][0]["name"] == "main"


async def test_a_crashing_pod_shows_why(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))
    waiting = {"name": "main", "restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    status = {"phase": "Running", "containerStatuses": [waiting]}
    await api.patch(f"{pods}/one/status", json={"status": status}, headers=MERGE)

    (row,) = rows((await api.get(pods, headers=TABLE)).json())

    assert (row["Status"], row["Restarts"]) == ("CrashLoopBackOff", "4")


async def test_workloads_nodes_and_services_have_their_columns(api, deployments, workload):
    await api.post(deployments, json=workload)
    node = {
        "metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/worker": ""}},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        },
    }
    await api.post("/api/v1/nodes", json=node)
    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    await api.post("/api/v1/namespaces/default/services", json=service)

    (deployment,) = rows((await api.get(deployments, headers=TABLE)).json())
    (shown,) = rows((await api.get("/api/v1/nodes", headers=TABLE)).json())
    (listed,) = rows((await api.get("/api/v1/services", headers=TABLE)).json())

    assert (deployment["Ready"], deployment["Images"], deployment["Selector"]) == ("0/1", "web:1,side:1", "app=web")
    assert (shown["Status"], shown["Roles"]) == ("Ready,SchedulingDisabled", "worker")
    assert shown["Internal-IP"] == "10.0.0.1"
    assert (listed["Type"], listed["Port(s)"]) == ("ClusterIP", "80/TCP")


async def test_custom_columns_follow_their_paths(api, clusters, make_cluster):
    await api.post(clusters, json=make_cluster("one"))
    status = {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]}
    await api.patch(f"{clusters}/one/status", json={"status": status}, headers=MERGE)

    (row,) = rows((await api.get(clusters, headers=TABLE)).json())

    assert (row["Name"], row["Proxy"], row["Ready"]) == ("one", "ipvs", "True")
    assert row["Age"].endswith("s")


async def test_only_the_first_row_of_a_watched_table_has_columns(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))
    await api.post(pods, json=make_pod("two"))

    async with api.stream("GET", pods, params={"watch": "true"}, headers=TABLE) as response:
        lines = response.aiter_lines()
        first, second = json.loads(await anext(lines)), json.loads(await anext(lines))

    assert first["object"]["columnDefinitions"][0]["name"] == "Name"
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "two"


async def test_metadata_can_be_had_alone(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))
    headers = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}

    listed = (await api.get(pods, headers=headers)).json()

    assert (listed["kind"], set(listed["items"][0])) == (
        "PartialObjectMetadataList",
        {"kind", "apiVersion", "metadata"},
    )


async def test_clients_that_want_protobuf_only_are_refused(api, pods):
    answer = await api.get(pods, headers={"accept": "application/vnd.kubernetes.protobuf"})

    assert answer.status_code == 406


async def test_discovery_lists_groups_and_resources(api):
    groups = (await api.get("/apis")).json()["groups"]
    core = (await api.get("/api/v1")).json()
    apps = (await api.get("/apis/apps/v1")).json()
    group = (await api.get("/apis/apps")).json()

    assert {"apps", "batch", "policy"} <= {group["name"] for group in groups}
    assert "pods/eviction" in {entry["name"] for entry in core["resources"]}
    assert {"deployments", "deployments/scale"} <= {entry["name"] for entry in apps["resources"]}
    assert group["preferredVersion"]["groupVersion"] == "apps/v1"


async def test_discovery_comes_in_one_piece_if_asked(api, clusters):
    answer = await api.get("/apis", headers={"accept": f"{AGGREGATED},application/json"})

    found = {item["metadata"]["name"]: item for item in answer.json()["items"]}
    (resource,) = found["kubermatic.k8c.io"]["versions"][0]["resources"]
    assert answer.headers["content-type"] == AGGREGATED
    assert (resource["resource"], resource["scope"], resource["shortNames"]) == ("clusters", "Cluster", ["cl"])
    assert {sub["subresource"] for sub in resource["subresources"]} == {"scale", "status"}


async def test_openapi_lets_kubectl_leave_validation_to_the_server(api, clusters):
    index = (await api.get("/openapi/v3")).json()["paths"]
    url = index["apis/kubermatic.k8c.io/v1"]["serverRelativeURL"]

    document = (await api.get(url)).json()

    (path,) = document["paths"].values()
    assert path["patch"]["x-kubernetes-group-version-kind"]["kind"] == "Cluster"
    assert "fieldValidation" in {parameter["name"] for parameter in path["patch"]["parameters"]}
    assert (await api.get("/openapi/v2")).status_code == 200


async def test_pods_have_a_log(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))

    answer = await api.get(f"{pods}/one/log")

    assert (answer.headers["content-type"], answer.text) == ("text/plain", "main started in one\n")


async def test_the_version_is_the_servers(api):
    assert (await api.get("/version")).json()["gitVersion"] == "v1.34.11"
