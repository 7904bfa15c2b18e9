"""Evictions, and the budgets that they spend."""

from __future__ import annotations

import pytest

from tests.apiserver.drafts import HOLD, MERGE, cause_of, delete, eventually, is_gone, pod, run_pod


@pytest.fixture
def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


@pytest.fixture
def budgets(namespace):
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


def evict(api, pods, name, *, version="policy/v1", **more):
    body = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": name}, **more}
    return api.post(f"{pods}/{name}/eviction", json=body)


def create_budget(api, budgets, name="web", *, healthy, **spec):
    """Have a budget that the controller has counted `healthy` pods of."""
    draft = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    assert api.post(budgets, json={"metadata": {"name": name}, "spec": draft}).status_code == 201
    return counted(api, budgets, name, currentHealthy=healthy, observedGeneration=1)


def counted(api, budgets, name, **wanted):
    def look():
        status = api.get(f"{budgets}/{name}").json()["status"]
        return status if all(status.get(key) == value for key, value in wanted.items()) else None

    return eventually(look, f"budget {name} counts {wanted}")


def run_web(api, pods, *names, **draft):
    for name in names:
        run_pod(api, pods, name, labels={"app": "web"}, **draft)


def is_terminating(api, path):
    return "deletionTimestamp" in api.get(path).json()["metadata"]


@pytest.mark.parametrize("version", ["policy/v1", "policy/v1beta1"])
def test_an_eviction_deletes_gracefully_and_says_why(api, pods, version):
    run_web(api, pods, "one")

    answer = evict(api, pods, "one", version=version)

    assert answer.status_code == 201
    assert answer.json() == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    found = api.get(f"{pods}/one").json()
    assert found["metadata"]["deletionGracePeriodSeconds"] == 30
    (why,) = [c for c in found["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert (why["status"], why["reason"], why["message"]) == (
        "True",
        "EvictionByEvictionAPI",
        "Eviction API: evicting",
    )


def test_a_pod_may_be_evicted_twice(api, pods):
    run_web(api, pods, "one")
    evict(api, pods, "one")
    found = api.get(f"{pods}/one").json()

    assert evict(api, pods, "one").status_code == 201
    assert api.get(f"{pods}/one").json() == found


def test_delete_options_count(api, pods):
    run_web(api, pods, "one")

    evict(api, pods, "one", deleteOptions={"gracePeriodSeconds": 5})

    assert api.get(f"{pods}/one").json()["metadata"]["deletionGracePeriodSeconds"] == 5


def test_a_pod_that_is_not_there_is_not_found(api, pods):
    answer = evict(api, pods, "one")

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert answer.json()["message"] == 'pods "one" not found'


@pytest.mark.parametrize("metadata", [{"name": "two"}, {}])
def test_an_eviction_names_its_pod(api, pods, metadata):
    run_web(api, pods, "one")

    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    answer = api.post(f"{pods}/one/eviction", json=body)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == "name in URL does not match name in Eviction object"
    assert not is_terminating(api, f"{pods}/one")


def test_no_other_kind_is_an_eviction(api, pods):
    run_web(api, pods, "one")

    answer = api.post(f"{pods}/one/eviction", json={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}})

    assert answer.status_code == 400
    assert answer.json()["message"] == (
        'Pod in version "v1" cannot be handled as a Eviction: '
        "converting (v1.Pod) to (policy.Eviction): unknown conversion"
    )


def test_evictions_are_only_made(api, pods):
    run_web(api, pods, "one")

    answer = api.get(f"{pods}/one/eviction")

    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")


def test_another_pod_of_the_name_is_not_evicted(api, pods):
    uid = run_pod(api, pods, "one")["metadata"]["uid"]

    answer = evict(api, pods, "one", deleteOptions={"preconditions": {"uid": "another"}})

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == (
        'Operation cannot be fulfilled on Pod "one": the UID in the precondition (another) does not match the UID in '
        f"record ({uid}). The object might have been deleted and then recreated"
    )
    assert not is_terminating(api, f"{pods}/one")


def test_a_dry_run_evicts_nothing_and_spends_nothing(api, pods, budgets):
    run_web(api, pods, "one", "two")
    create_budget(api, budgets, minAvailable=1, healthy=2)
    found = api.get(f"{pods}/one").json()

    in_body = evict(api, pods, "one", deleteOptions={"dryRun": ["All"]})
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}}
    in_query = api.post(f"{pods}/one/eviction", json=body, params={"dryRun": "All"})

    assert (in_body.status_code, in_query.status_code) == (201, 201)
    assert api.get(f"{pods}/one").json() == found
    assert api.get(f"{budgets}/web").json()["status"]["disruptionsAllowed"] == 1


def test_an_eviction_spends_a_disruption(api, pods, budgets):
    run_web(api, pods, "one", "two")
    status = create_budget(api, budgets, minAvailable=1, healthy=2)
    assert {key: status[key] for key in ("desiredHealthy", "disruptionsAllowed", "expectedPods")} == {
        "desiredHealthy": 1,
        "disruptionsAllowed": 1,
        "expectedPods": 2,
    }

    first, second = evict(api, pods, "one"), evict(api, pods, "two")

    assert (first.status_code, second.status_code) == (201, 429)
    assert is_terminating(api, f"{pods}/one")
    assert not is_terminating(api, f"{pods}/two")


def test_a_spent_budget_refuses(api, pods, budgets):
    run_web(api, pods, "one")
    create_budget(api, budgets, minAvailable=1, healthy=1)

    answer = evict(api, pods, "one")

    status = answer.json()
    assert (answer.status_code, status["reason"], status["code"]) == (429, "TooManyRequests", 429)
    assert status["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert cause_of(answer) == {
        "reason": "DisruptionBudget",
        "message": "The disruption budget web needs 1 healthy pods and has 1 currently",
    }
    assert "retry-after" not in answer.headers
    assert not is_terminating(api, f"{pods}/one")


def test_a_dry_run_is_refused_as_well(api, pods, budgets):
    run_web(api, pods, "one")
    create_budget(api, budgets, maxUnavailable=0, healthy=1)

    assert evict(api, pods, "one", deleteOptions={"dryRun": ["All"]}).status_code == 429


def test_two_budgets_are_an_error_without_reason(api, pods, budgets):
    run_web(api, pods, "one")
    for name in ("web", "more"):
        create_budget(api, budgets, name, minAvailable=0, healthy=1)

    answer = evict(api, pods, "one")

    assert answer.status_code == 500
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        "code": 500,
    }
    assert not is_terminating(api, f"{pods}/one")


def test_a_budget_of_another_label_does_not_count(api, pods, budgets):
    run_web(api, pods, "one")
    create_budget(api, budgets, healthy=0, maxUnavailable=0, selector={"matchLabels": {"app": "db"}})

    assert evict(api, pods, "one").status_code == 201


def test_a_pending_pod_is_nobodys_loss(api, pods, budgets):
    run_web(api, pods, "one")
    api.post(pods, json=pod("pending", labels={"app": "web"}))
    create_budget(api, budgets, maxUnavailable=0, healthy=1)

    assert evict(api, pods, "pending").status_code == 201
    assert is_gone(api, f"{pods}/pending")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_nobodys_loss(api, pods, budgets, phase):
    run_web(api, pods, "one", finalizers=[HOLD])
    create_budget(api, budgets, maxUnavailable=0, healthy=1)
    api.patch(f"{pods}/one/status", json={"status": {"phase": phase}}, headers=MERGE)

    assert evict(api, pods, "one").status_code == 201
    assert is_terminating(api, f"{pods}/one")


def test_a_pod_on_its_way_out_is_nobodys_loss(api, pods, budgets):
    run_web(api, pods, "one")
    create_budget(api, budgets, maxUnavailable=0, healthy=1)
    delete(api, f"{pods}/one")

    assert evict(api, pods, "one").status_code == 201


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"minAvailable": 1}, 201),
        ({"minAvailable": 2}, 429),
        ({"minAvailable": 1, "unhealthyPodEvictionPolicy": "IfHealthyBudget"}, 201),
        ({"minAvailable": 2, "unhealthyPodEvictionPolicy": "IfHealthyBudget"}, 429),
        ({"minAvailable": 2, "unhealthyPodEvictionPolicy": "AlwaysAllow"}, 201),
    ],
)
def test_an_unhealthy_pod_goes_by_the_policy(api, pods, budgets, spec, code):
    run_web(api, pods, "healthy")
    run_web(api, pods, "unhealthy", ready=False)
    create_budget(api, budgets, healthy=1, **spec)

    assert evict(api, pods, "unhealthy").status_code == code


def test_a_healthy_pod_is_held_whatever_the_policy(api, pods, budgets):
    run_web(api, pods, "one")
    create_budget(api, budgets, minAvailable=1, unhealthyPodEvictionPolicy="AlwaysAllow", healthy=1)

    assert evict(api, pods, "one").status_code == 429


def test_a_new_budget_has_counted_nothing(api, budgets):
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}

    made = api.post(budgets, json={"metadata": {"name": "web"}, "spec": spec}).json()

    zeros = dict.fromkeys(("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"), 0)
    assert made["status"] == zeros
    assert made["metadata"]["generation"] == 1


def test_a_budget_says_who_is_up_or_who_is_down(api, budgets):
    spec = {"minAvailable": 1, "maxUnavailable": 1, "selector": {}}

    answer = api.post(budgets, json={"metadata": {"name": "web"}, "spec": spec})

    assert answer.status_code == 422
    assert cause_of(answer)["field"] == "spec"
    assert cause_of(answer)["message"].endswith(": minAvailable and maxUnavailable cannot be both set")
