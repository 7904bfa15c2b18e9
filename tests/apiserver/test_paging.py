"""Lists in pages."""


def test_a_continue_token_expires_with_the_history(api, namespace, server):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("a", "b", "c"):
        assert api.post(path, json={"metadata": {"name": name}}).status_code == 201
    token = api.get(path, params={"limit": 1}).json()["metadata"]["continue"]
    api.post(path, json={"metadata": {"name": "d"}})

    server.forget_history()
    refused = api.get(path, params={"limit": 1, "continue": token})

    assert refused.status_code == 410
    assert refused.json()["reason"] == "Expired"
