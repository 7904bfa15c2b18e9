"""PodDisruptionBudgets against the in-process API server."""

from __future__ import annotations

import pytest

from lab.errors import ApiError
from lab.objects import is_being_deleted, name_of, timestamp, uid_of
from lab.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS


def numbers(cluster) -> tuple[int, ...]:
    """Expected, healthy, desired and allowed."""
    status = cluster.status(POD_DISRUPTION_BUDGETS, "web")
    fields = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
    return tuple(status.get(field, -1) for field in fields)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"minAvailable": 3}, (4, 4, 3, 1)),
        ({"minAvailable": "50%"}, (4, 4, 2, 2)),
        ({"minAvailable": "51%"}, (4, 4, 3, 1)),
        ({"maxUnavailable": 1}, (4, 4, 3, 1)),
        ({"maxUnavailable": "30%"}, (4, 4, 2, 2)),
        ({"maxUnavailable": 0}, (4, 4, 4, 0)),
        ({"minAvailable": 9}, (4, 4, 9, 0)),
    ],
)
async def test_the_status_follows_from_the_rule(cluster, rule, expected):
    await cluster.create_deployment(replicas=4)
    await cluster.create_budget(**rule)

    await cluster.eventually("numbers", lambda: numbers(cluster) == expected)
    found = cluster.get(POD_DISRUPTION_BUDGETS, "web")
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    (condition,) = found["status"]["conditions"]
    assert condition["status"] == ("True" if expected[3] else "False")


async def test_a_budget_without_pods_allows_nothing(cluster):
    await cluster.create_budget(minAvailable=0)
    await cluster.eventually("numbers", lambda: numbers(cluster) == (0, 0, 0, 0))


async def test_pods_that_are_not_ready_or_terminating_are_not_healthy(cluster):
    await cluster.create_deployment(replicas=3)
    await cluster.create_budget(minAvailable=1)
    await cluster.eventually("all healthy", lambda: numbers(cluster) == (3, 3, 1, 2))

    await cluster.nodes.set_phase(cluster.pods()[0], "Running", ready=False)
    await cluster.eventually("one less", lambda: numbers(cluster) == (3, 2, 1, 1))


async def test_the_budget_of_a_fraction_follows_the_deployments_size(cluster):
    await cluster.create_deployment(replicas=2)
    await cluster.create_budget(maxUnavailable="50%")
    await cluster.eventually("two", lambda: numbers(cluster) == (2, 2, 1, 1))

    cluster.nodes.holds_start = lambda _: True
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 6}})
    await cluster.eventually("six wanted, two healthy", lambda: numbers(cluster) == (6, 2, 3, 0))


async def test_evictions_are_refused_once_the_budget_is_spent_and_allowed_after_recovery(cluster):
    await cluster.create_deployment(replicas=2)
    await cluster.create_budget(minAvailable=1)
    await cluster.eventually("one may go", lambda: numbers(cluster) == (2, 2, 1, 1))
    first, second = cluster.pods()
    cluster.nodes.holds_start = lambda _: True

    await cluster.client.evict(name_of(first), namespace="default")
    with pytest.raises(ApiError) as refusal:
        await cluster.client.evict(name_of(second), namespace="default")
    assert refusal.value.code == 429
    await cluster.eventually("first replaced", lambda: uid_of(first) not in {uid_of(p) for p in cluster.pods()})
    await cluster.eventually("nothing may go", lambda: numbers(cluster)[3] == 0)

    cluster.nodes.holds_start = lambda _: False
    cluster.nodes.look_again()
    await cluster.eventually("recovered", lambda: numbers(cluster) == (2, 2, 1, 1))
    await cluster.eventually(
        "eviction forgotten", lambda: not cluster.status(POD_DISRUPTION_BUDGETS, "web").get("disruptedPods")
    )
    await cluster.client.evict(name_of(second), namespace="default")
    await cluster.eventually(
        "second goes", lambda: all(uid_of(p) != uid_of(second) or is_being_deleted(p) for p in cluster.pods())
    )


async def test_an_eviction_is_over_once_its_pod_is_gone_even_if_the_next_one_has_its_name(cluster):
    await cluster.create_stateful_set("web", replicas=3)
    await cluster.create_budget(maxUnavailable=1)
    await cluster.eventually("one may go", lambda: numbers(cluster) == (3, 3, 2, 1))
    evicted, evicted_at = cluster.get(PODS, "web-1"), timestamp()
    await cluster.delete(PODS, "web-1")
    await cluster.eventually("replaced", lambda: numbers(cluster) == (3, 3, 2, 1) and is_replaced(cluster, evicted))

    noted_late = {"status": {"disruptedPods": {"web-1": evicted_at}, "disruptionsAllowed": 0}}
    noted = await cluster.client.patch(
        POD_DISRUPTION_BUDGETS, "web", noted_late, namespace="default", subresource="status"
    )

    await cluster.eventually(
        "looked at", lambda: version_of(cluster.get(POD_DISRUPTION_BUDGETS, "web")) > version_of(noted)
    )
    await cluster.eventually("one may go again", lambda: numbers(cluster) == (3, 3, 2, 1))
    assert not cluster.status(POD_DISRUPTION_BUDGETS, "web").get("disruptedPods")


def version_of(found) -> int:
    return int(found["metadata"]["resourceVersion"])


def is_replaced(cluster, pod) -> bool:
    found = cluster.mirror.get(PODS, name_of(pod), namespace="default")
    return found is not None and uid_of(found) != uid_of(pod)
