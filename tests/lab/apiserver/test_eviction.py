"""Evictions while the budgets' controller is behind, as the contract's never is for long."""

from __future__ import annotations

MERGE = {"content-type": "application/merge-patch+json"}
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


async def test_an_unobserved_budget_asks_to_come_back(api, pods, make_pod):
    await api.post(pods, json=make_pod("one", app="web"))
    await api.post(f"{pods}/one/binding", json={"metadata": {"name": "one"}, "target": {"name": "n1"}})
    await api.patch(f"{pods}/one/status", json={"status": {"phase": "Running"}}, headers=MERGE)
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    await api.post(BUDGETS, json={"metadata": {"name": "web"}, "spec": spec})

    answer = await api.post(f"{pods}/one/eviction", json={"metadata": {"name": "one"}})

    status = answer.json()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
    assert status["details"]["retryAfterSeconds"] == 10
    (cause,) = status["details"]["causes"]
    assert cause["reason"] == "DisruptionBudget"
    assert cause["message"] == "The disruption budget web is still being processed by the server."
