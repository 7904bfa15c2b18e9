"""What typed clients send as protobuf, and the counting of requests."""

from __future__ import annotations


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


async def test_roles_and_bindings_may_be_sent_as_protobuf(api):
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def envelope(kind: bytes, message: bytes) -> bytes:
        return b"k8s\x00" + field(1, field(1, b"rbac.authorization.k8s.io/v1") + field(2, kind)) + field(2, message)

    # What `kubectl create role` and `kubectl create rolebinding` send.
    metadata = field(1, field(1, b"made"))
    rule = field(1, b"get") + field(2, b"") + field(3, b"pods")
    subject = field(1, b"ServiceAccount") + field(3, b"worker") + field(4, b"default")
    reference = field(1, b"rbac.authorization.k8s.io") + field(2, b"Role") + field(3, b"made")
    headers = {"content-type": "application/vnd.kubernetes.protobuf"}
    base = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"

    role = await api.post(f"{base}/roles", content=envelope(b"Role", metadata + field(2, rule)), headers=headers)
    body = envelope(b"RoleBinding", metadata + field(2, subject) + field(3, reference))
    binding = await api.post(f"{base}/rolebindings", content=body, headers=headers)

    assert role.json()["rules"] == [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    assert binding.json()["subjects"] == [{"kind": "ServiceAccount", "name": "worker", "namespace": "default"}]
    assert binding.json()["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "made"}


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
