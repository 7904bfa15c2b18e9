"""Create, update and patch over HTTP."""

from __future__ import annotations

MERGE = {"content-type": "application/merge-patch+json"}
JSON = {"content-type": "application/json-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}


async def test_create_sets_what_only_the_server_sets(api, pods, make_pod):
    created = (await api.post(pods, json=make_pod("one"))).json()

    metadata = created["metadata"]
    assert {"uid", "creationTimestamp", "resourceVersion"} <= set(metadata)
    assert (metadata["namespace"], metadata["generation"]) == ("default", 1)
    assert created["status"]["phase"] == "Pending"
    assert (await api.get(f"{pods}/one")).json() == created


async def test_create_names_an_object_from_its_prefix(api, pods, make_pod):
    pod = make_pod("")
    pod["metadata"] = {"generateName": "web-"}

    created = (await api.post(pods, json=pod)).json()

    assert created["metadata"]["name"].startswith("web-")
    assert len(created["metadata"]["name"]) == len("web-") + 5


async def test_a_taken_name_is_already_existing(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))

    answer = await api.post(pods, json=make_pod("one"))

    assert answer.status_code == 409
    assert answer.json()["reason"] == "AlreadyExists"
    assert answer.json()["message"] == 'pods "one" already exists'


async def test_objects_need_an_existing_namespace(api, make_config_map):
    answer = await api.post("/api/v1/namespaces/missing/configmaps", json=make_config_map("one"))

    assert answer.status_code == 404
    assert answer.json()["message"] == 'namespaces "missing" not found'


async def test_a_terminating_namespace_takes_nothing_new(api, make_config_map):
    await api.post("/api/v1/namespaces", json={"metadata": {"name": "leaving"}})
    await api.delete("/api/v1/namespaces/leaving")

    answer = await api.post("/api/v1/namespaces/leaving/configmaps", json=make_config_map("one"))

    assert answer.status_code == 403
    assert "is being terminated" in answer.json()["message"]


async def test_malformed_names_and_pods_without_containers_are_invalid(api, pods, make_pod):
    named = await api.post(pods, json=make_pod("Not_A_Name"))
    empty = await api.post(pods, json={"metadata": {"name": "one"}, "spec": {"containers": []}})

    assert (named.status_code, named.json()["reason"]) == (422, "Invalid")
    assert named.json()["details"]["causes"][0]["field"] == "metadata.name"
    assert empty.json()["message"] == 'Pod "one" is invalid: spec.containers: Required value'


async def test_a_stale_version_conflicts(api, make_config_map):
    path = "/api/v1/namespaces/default/configmaps"
    first = (await api.post(path, json=make_config_map("one", a="1"))).json()
    await api.put(f"{path}/one", json={**first, "data": {"a": "2"}})

    answer = await api.put(f"{path}/one", json={**first, "data": {"a": "3"}})

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert "please apply your changes to the latest version" in answer.json()["message"]


async def test_another_uid_conflicts(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))

    answer = await api.patch(f"{pods}/one", json={"metadata": {"uid": "another"}}, headers=MERGE)

    assert answer.status_code == 409
    assert "Precondition failed: UID" in answer.json()["message"]


async def test_a_custom_resource_is_only_replaced_with_its_version(api, clusters, make_cluster):
    await api.post(clusters, json=make_cluster("one"))

    answer = await api.put(f"{clusters}/one", json=make_cluster("one", "ebpf"))

    assert answer.status_code == 422
    assert "metadata.resourceVersion" in answer.json()["message"]


async def test_an_update_that_changes_nothing_keeps_the_version(api, pods, make_pod):
    created = (await api.post(pods, json=make_pod("one", app="web"))).json()

    again = (await api.put(f"{pods}/one", json=created)).json()
    patched = (await api.patch(f"{pods}/one", json={"metadata": {"labels": {"app": "web"}}}, headers=MERGE)).json()

    assert again == patched == created


async def test_the_generation_counts_changes_of_the_spec_only(api, clusters, make_cluster):
    await api.post(clusters, json=make_cluster("one"))
    path = f"{clusters}/one"

    labelled = (await api.patch(path, json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE)).json()
    changed = (await api.patch(path, json={"spec": {"replicas": 2}}, headers=MERGE)).json()

    assert labelled["metadata"]["generation"] == 1
    assert changed["metadata"]["generation"] == 2


async def test_spec_and_status_are_written_apart(api, clusters, make_cluster):
    await api.post(clusters, json={**make_cluster("one"), "status": {"phase": "Early"}})
    both = {"spec": {"replicas": 3}, "status": {"phase": "Running"}}

    status = (await api.patch(f"{clusters}/one/status", json=both, headers=MERGE)).json()
    main = (await api.patch(f"{clusters}/one", json={"spec": {"replicas": 3}, "status": {}}, headers=MERGE)).json()

    assert status["status"] == {"phase": "Running"}
    assert "replicas" not in status["spec"]
    assert (main["spec"]["replicas"], main["status"]) == (3, {"phase": "Running"})


async def test_merge_patch_removes_what_is_null(api, make_config_map):
    path = "/api/v1/namespaces/default/configmaps"
    await api.post(path, json=make_config_map("one", a="1", b="2"))

    patched = (await api.patch(f"{path}/one", json={"data": {"a": None, "c": "3"}}, headers=MERGE)).json()

    assert patched["data"] == {"b": "2", "c": "3"}


async def test_json_patch_is_all_or_nothing(api, make_config_map):
    path = "/api/v1/namespaces/default/configmaps"
    await api.post(path, json=make_config_map("one", a="1"))
    operations = [{"op": "replace", "path": "/data/a", "value": "2"}, {"op": "test", "path": "/data/a", "value": "9"}]

    refused = await api.patch(f"{path}/one", json=operations, headers=JSON)
    done = await api.patch(f"{path}/one", json=operations[:1], headers=JSON)

    assert refused.status_code == 422
    assert done.json()["data"] == {"a": "2"}


async def test_strategic_patch_merges_containers_by_name(api, workload, deployments):
    await api.post(deployments, json=workload)
    container = {"name": "main", "env": [{"name": "B", "value": "2"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}

    patched = (await api.patch(f"{deployments}/web", json=patch, headers=STRATEGIC)).json()

    (main, side) = patched["spec"]["template"]["spec"]["containers"]
    assert [entry["name"] for entry in main["env"]] == ["A", "B"]
    assert (main["image"], side["name"]) == ("web:1", "side")


async def test_strategic_patch_is_unknown_to_custom_resources(api, clusters, make_cluster):
    await api.post(clusters, json=make_cluster("one"))

    answer = await api.patch(f"{clusters}/one", json={"spec": {}}, headers=STRATEGIC)

    assert answer.status_code == 415


async def test_apply_creates_and_then_merges(api, clusters, make_cluster):
    first = await api.patch(f"{clusters}/one", json=make_cluster("one"), headers=APPLY)
    second = await api.patch(f"{clusters}/one", json={"spec": {"replicas": 2}}, headers=APPLY)

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["spec"]["clusterNetwork"] == {"proxyMode": "ipvs"}


async def test_a_workload_gets_its_defaults(api, workload, deployments):
    spec = (await api.post(deployments, json=workload)).json()["spec"]

    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "RollingUpdate")
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30


async def test_scale_reads_and_sets_replicas(api, workload, deployments):
    await api.post(deployments, json=workload)
    path = f"{deployments}/web/scale"

    scale = (await api.get(path)).json()
    await api.put(path, json={**scale, "spec": {"replicas": 4}})
    patched = (await api.patch(path, json={"spec": {"replicas": 5}}, headers=MERGE)).json()

    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, "app=web")
    assert patched["spec"]["replicas"] == 5
    assert (await api.get(f"{deployments}/web")).json()["metadata"]["generation"] == 3


async def test_a_pod_gets_its_node_by_binding_only(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))
    binding = {"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "one"}, "target": {"name": "n1"}}

    patched = await api.patch(f"{pods}/one", json={"spec": {"nodeName": "n2"}}, headers=MERGE)
    bound = await api.post(f"{pods}/one/binding", json=binding)
    twice = await api.post(f"{pods}/one/binding", json=binding)

    assert (patched.status_code, bound.status_code, twice.status_code) == (422, 201, 409)
    assert (await api.get(f"{pods}/one")).json()["spec"]["nodeName"] == "n1"


async def test_dry_run_answers_without_storing(api, pods, make_pod):
    dry = {"dryRun": "All"}

    created = await api.post(pods, json=make_pod("one"), params=dry)
    listed = (await api.get(pods)).json()["items"]
    await api.post(pods, json=make_pod("one"))
    deleted = await api.delete(f"{pods}/one", params=dry)

    assert (created.status_code, listed, deleted.status_code) == (201, [], 200)
    assert (await api.get(f"{pods}/one")).status_code == 200


async def test_secrets_take_plain_strings(api):
    body = {"metadata": {"name": "one"}, "stringData": {"a": "b"}}

    created = (await api.post("/api/v1/namespaces/default/secrets", json=body)).json()

    assert created["data"] == {"a": "Yg=="}
    assert "stringData" not in created


async def test_yaml_bodies_are_read(api):
    body = "metadata: {name: one}\ndata: {a: b}\n"

    created = await api.post(
        "/api/v1/namespaces/default/configmaps", content=body, headers={"content-type": "application/yaml"}
    )

    assert created.json()["data"] == {"a": "b"}
