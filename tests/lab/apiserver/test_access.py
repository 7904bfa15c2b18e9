"""Authentication, authorization and the documents that stand beside the resources."""

from __future__ import annotations

import pytest

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def test_strangers_are_unauthorized(stranger, pods):
    answer = await stranger.get(pods)

    assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")
    assert (await stranger.get("/apis")).status_code == 401


async def test_unknown_tokens_are_unauthorized(stranger, pods):
    answer = await stranger.get(pods, headers={"authorization": "Bearer unknown"})

    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
async def test_health_and_version_are_open(stranger, path):
    assert (await stranger.get(path)).status_code == 200


async def test_rules_allow_what_they_name(reader, pods):
    listed = await reader.get(pods)
    refused = await reader.delete(f"{pods}/one")

    assert listed.status_code == 200
    assert refused.json()["message"] == (
        'pods "one" is forbidden: User "reader" cannot delete resource "pods" in API group "" in the namespace "default"'
    )


async def test_cluster_scope_is_named_in_a_refusal(reader):
    answer = await reader.get("/apis/apps/v1/deployments")

    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert answer.json()["message"] == (
        'deployments.apps is forbidden: User "reader" cannot list resource "deployments" '
        'in API group "apps" at the cluster scope'
    )


@pytest.mark.parametrize(("verb", "allowed"), [("list", True), ("delete", False)])
async def test_access_reviews_answer_for_the_asker(reader, verb, allowed):
    body = {"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "default"}}}

    answer = await reader.post(REVIEWS, json=body)

    assert (answer.status_code, answer.json()["status"]["allowed"]) == (201, allowed)


async def test_masters_may_do_everything(api):
    body = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}}}
    rules = await api.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json={"spec": {}})

    assert (await api.post(REVIEWS, json=body)).json()["status"]["allowed"] is True
    assert rules.json()["status"]["resourceRules"][0]["verbs"] == ["*"]


async def test_typed_clients_may_send_protobuf(api):
    # What `kubectl create namespace foo` sends: an Unknown around a Namespace.
    name = b"\n\x03foo"
    metadata = b"\n" + bytes([len(name)]) + name
    kind = b"\n\x02v1\x12\tNamespace"
    body = b"k8s\x00\n" + bytes([len(kind)]) + kind + b"\x12" + bytes([len(metadata)]) + metadata
    headers = {"content-type": "application/vnd.kubernetes.protobuf"}

    created = await api.post("/api/v1/namespaces", content=body, headers=headers)

    assert (created.status_code, created.json()["metadata"]["name"]) == (201, "foo")


async def test_a_budget_may_be_sent_as_protobuf(api):
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    # What `kubectl create pdb web --selector=app=web --min-available=50%` sends.
    selector = field(1, field(1, b"app") + field(2, b"web"))
    spec = field(1, b"\x08\x01\x10\x00" + field(3, b"50%")) + field(2, selector)
    budget = field(1, field(1, b"web")) + field(2, spec)
    body = b"k8s\x00" + field(1, field(1, b"policy/v1") + field(2, b"PodDisruptionBudget")) + field(2, budget)
    headers = {"content-type": "application/vnd.kubernetes.protobuf"}

    created = await api.post("/apis/policy/v1/namespaces/default/poddisruptionbudgets", content=body, headers=headers)

    assert created.json()["spec"] == {"minAvailable": "50%", "selector": {"matchLabels": {"app": "web"}}}


async def test_unknown_paths_are_not_found(api):
    assert (await api.get("/apis/none.example.com/v1/things")).status_code == 404
    assert (await api.get("/nowhere")).status_code == 404


async def test_requests_are_counted_by_verb_and_resource(api, server, pods, make_pod):
    await api.post(pods, json=make_pod("one"))
    await api.get(pods)
    await api.get(f"{pods}/one")
    await api.post(f"{pods}/one/eviction", json={})
    await api.get("/apis/apps/v1/deployments")

    assert dict(server.requests) == {
        ("create", "pods"): 1,
        ("list", "pods"): 1,
        ("get", "pods"): 1,
        ("create", "pods/eviction"): 1,
        ("list", "deployments.apps"): 1,
    }
