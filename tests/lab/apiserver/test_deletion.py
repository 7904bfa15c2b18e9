"""Deletion, finalizers and eviction over HTTP."""

from __future__ import annotations

import pytest

MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
async def running_pod(api, pods, make_pod):
    await api.post(pods, json=make_pod("one", app="web"))
    await api.post(f"{pods}/one/binding", json={"target": {"name": "n1"}})
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return (await api.patch(f"{pods}/one/status", json={"status": status}, headers=MERGE)).json()


def delete(api, path, **options):
    return api.request("DELETE", path, json={"kind": "DeleteOptions", "apiVersion": "v1", **options})


async def test_a_pod_without_node_is_gone_at_once(api, pods, make_pod):
    await api.post(pods, json=make_pod("one"))

    await delete(api, f"{pods}/one")

    assert (await api.get(f"{pods}/one")).status_code == 404


async def test_a_bound_pod_terminates_within_its_grace(api, pods, running_pod):
    terminating = (await delete(api, f"{pods}/one")).json()
    longer = (await delete(api, f"{pods}/one", gracePeriodSeconds=60)).json()
    shorter = (await delete(api, f"{pods}/one", gracePeriodSeconds=5)).json()
    await delete(api, f"{pods}/one", gracePeriodSeconds=0)

    assert terminating["metadata"]["deletionGracePeriodSeconds"] == 30
    assert longer == terminating
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    assert (await api.get(f"{pods}/one")).status_code == 404


async def test_a_finished_pod_is_gone_at_once(api, pods, running_pod):
    await api.patch(f"{pods}/one/status", json={"status": {"phase": "Succeeded"}}, headers=MERGE)

    await delete(api, f"{pods}/one")

    assert (await api.get(f"{pods}/one")).status_code == 404


async def test_preconditions_protect_a_replacement(api, pods, running_pod):
    answer = await delete(api, f"{pods}/one", preconditions={"uid": "another"})

    assert answer.status_code == 409
    assert (await api.get(f"{pods}/one")).status_code == 200


async def test_the_last_finalizer_holds_an_object(api, clusters, make_cluster):
    cluster = make_cluster("one")
    cluster["metadata"]["finalizers"] = ["kubermatic.k8c.io/cleanup"]
    await api.post(clusters, json=cluster)

    held = (await delete(api, f"{clusters}/one")).json()
    added = await api.patch(f"{clusters}/one", json={"metadata": {"finalizers": ["a/b"]}}, headers=MERGE)
    await api.patch(f"{clusters}/one", json={"metadata": {"finalizers": None}}, headers=MERGE)

    assert "deletionTimestamp" in held["metadata"]
    assert added.status_code == 422
    assert (await api.get(f"{clusters}/one")).status_code == 404


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_propagation_leaves_its_finalizer_to_the_collector(api, deployments, workload, policy, finalizer):
    await api.post(deployments, json=workload)

    held = (await delete(api, f"{deployments}/web", propagationPolicy=policy)).json()

    assert held["metadata"]["finalizers"] == [finalizer]
    assert "deletionTimestamp" in held["metadata"]


async def test_background_deletion_answers_with_the_uid(api, deployments, workload):
    uid = (await api.post(deployments, json=workload)).json()["metadata"]["uid"]

    answer = (await delete(api, f"{deployments}/web", propagationPolicy="Background")).json()

    assert (answer["status"], answer["details"]["uid"]) == ("Success", uid)


async def test_a_namespace_goes_when_it_is_finalized(api):
    await api.post("/api/v1/namespaces", json={"metadata": {"name": "leaving"}})
    leaving = (await delete(api, "/api/v1/namespaces/leaving")).json()

    await api.put("/api/v1/namespaces/leaving/finalize", json={**leaving, "spec": {}})

    assert leaving["status"]["phase"] == "Terminating"
    assert (await api.get("/api/v1/namespaces/leaving")).status_code == 404


async def test_the_first_namespaces_stay(api):
    listed = (await api.get("/api/v1/namespaces")).json()["items"]

    answer = await delete(api, "/api/v1/namespaces/kube-system")

    assert [item["metadata"]["name"] for item in listed] == ["default", "kube-node-lease", "kube-public", "kube-system"]
    assert answer.status_code == 403


BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


async def create_budget(api, name, allowed):
    body = {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    await api.post(BUDGETS, json=body)
    status = {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1}
    await api.patch(f"{BUDGETS}/{name}/status", json={"status": status}, headers=MERGE)


def evict(api, pods, version="policy/v1"):
    body = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": "one", "namespace": "default"}}
    return api.post(f"{pods}/one/eviction", json=body)


async def test_a_spent_budget_refuses_the_eviction(api, pods, running_pod):
    await create_budget(api, "web", 0)

    answer = await evict(api, pods)

    status = answer.json()
    assert (answer.status_code, status["reason"]) == (429, "TooManyRequests")
    assert status["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert status["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert "deletionTimestamp" not in (await api.get(f"{pods}/one")).json()["metadata"]


@pytest.mark.parametrize("version", ["policy/v1", "policy/v1beta1"])
async def test_an_eviction_spends_a_disruption(api, pods, running_pod, version):
    await create_budget(api, "web", 1)

    answer = await evict(api, pods, version)

    budget = (await api.get(f"{BUDGETS}/web")).json()
    assert answer.status_code == 201
    assert budget["status"]["disruptionsAllowed"] == 0
    assert list(budget["status"]["disruptedPods"]) == ["one"]
    assert "deletionTimestamp" in (await api.get(f"{pods}/one")).json()["metadata"]


async def test_two_budgets_are_an_error(api, pods, running_pod):
    await create_budget(api, "web", 1)
    await create_budget(api, "more", 1)

    assert (await evict(api, pods)).status_code == 500


async def test_a_finished_pod_costs_no_disruption(api, pods, running_pod):
    await create_budget(api, "web", 0)
    await api.patch(f"{pods}/one/status", json={"status": {"phase": "Failed"}}, headers=MERGE)

    assert (await evict(api, pods)).status_code == 201


async def test_an_unobserved_budget_asks_to_come_back(api, pods, running_pod):
    await create_budget(api, "web", 1)
    await api.patch(f"{BUDGETS}/web", json={"spec": {"minAvailable": 2}}, headers=MERGE)

    answer = await evict(api, pods)

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
