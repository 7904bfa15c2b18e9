"""The end of namespaces: what holds them, and what they take with them."""

from __future__ import annotations

import pytest

from tests.apiserver.drafts import HOLD, MERGE, config_map, delete, eventually, is_gone, release

NAMESPACES = "/api/v1/namespaces"


@pytest.fixture
def home(namespace):
    return f"{NAMESPACES}/{namespace}"


@pytest.fixture
def terminating(api, home):
    """A namespace that is on its way out, held by one object in it."""
    api.post(f"{home}/configmaps", json=config_map("held", finalizers=[HOLD]))
    api.post(f"{home}/secrets", json={"metadata": {"name": "plain"}})
    answer = api.delete(home)
    assert answer.status_code == 200
    return answer.json()


def test_a_deleted_namespace_is_terminating(terminating):
    assert (terminating["kind"], terminating["status"]) == ("Namespace", {"phase": "Terminating"})
    assert terminating["spec"] == {"finalizers": ["kubernetes"]}
    assert "deletionTimestamp" in terminating["metadata"]
    assert "deletionGracePeriodSeconds" not in terminating["metadata"]


@pytest.mark.parametrize("metadata", [{"name": "new"}, {"generateName": "new"}])
def test_a_terminating_namespace_takes_nothing_new(api, home, namespace, terminating, metadata):
    answer = api.post(f"{home}/configmaps", json={"metadata": metadata})

    status = answer.json()
    assert (answer.status_code, status["reason"]) == (403, "Forbidden")
    assert status["message"] == (
        f'configmaps "new" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    assert status["details"] == {
        "name": "new",
        "kind": "configmaps",
        "causes": [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
        ],
    }


def test_what_is_in_a_terminating_namespace_may_change(api, home, terminating):
    answer = api.patch(f"{home}/configmaps/held", json={"data": {"key": "value"}}, headers=MERGE)

    assert answer.status_code == 200


def test_the_name_of_a_terminating_namespace_is_taken(api, namespace, terminating):
    answer = api.post(NAMESPACES, json={"metadata": {"name": namespace}})

    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")
    assert answer.json()["message"] == f'object is being deleted: namespaces "{namespace}" already exists'


def test_a_namespace_tells_what_holds_it_and_goes_when_it_is_free(api, home, terminating):
    status = eventually(lambda: has_conditions(api, home), "it tells what holds it")

    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}
    assert status["phase"] == "Terminating"
    assert conditions == {
        "NamespaceDeletionDiscoveryFailure": (
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        "NamespaceDeletionGroupVersionParsingFailure": (
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        "NamespaceDeletionContentFailure": (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        "NamespaceContentRemaining": (
            "True",
            "SomeResourcesRemain",
            "Some resources are remaining: configmaps. has 1 resource instances",
        ),
        "NamespaceFinalizersRemaining": (
            "True",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {HOLD} in 1 resource instances",
        ),
    }
    assert "deletionTimestamp" in api.get(f"{home}/configmaps/held").json()["metadata"]
    assert is_gone(api, f"{home}/secrets/plain")
    assert delete(api, home).json()["kind"] == "Namespace"

    release(api, f"{home}/configmaps/held")

    eventually(lambda: is_gone(api, home), "it goes")
    assert api.get(f"{home}/configmaps").json()["items"] == []


def has_conditions(api, home):
    status = api.get(home).json()["status"]
    return status if "conditions" in status else None


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_the_first_namespaces_stay(api, name):
    answer = delete(api, f"{NAMESPACES}/{name}")

    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert answer.json()["message"] == f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    assert answer.json()["details"] == {"name": name, "kind": "namespaces"}


def test_the_namespace_of_node_leases_may_go(api):
    answer = delete(api, f"{NAMESPACES}/kube-node-lease", dryRun=["All"])

    assert (answer.status_code, answer.json()["status"]["phase"]) == (200, "Terminating")


def test_a_namespace_goes_as_soon_as_it_is_finalized(api, home, terminating):
    metadata = {"name": terminating["metadata"]["name"]}
    finalized = api.put(f"{home}/finalize", json={**terminating, "metadata": metadata, "spec": {"finalizers": []}})

    assert finalized.status_code == 200
    assert is_gone(api, home)


def test_a_finalizer_of_its_own_is_added_to_the_platforms(api, namespace):
    body = {"metadata": {"name": f"{namespace}-more"}, "spec": {"finalizers": [HOLD]}}

    made = api.post(NAMESPACES, json=body).json()

    assert made["spec"]["finalizers"] == [HOLD, "kubernetes"]
    assert made["status"] == {"phase": "Active"}


def test_finalize_is_only_put(api, home):
    answer = api.get(f"{home}/finalize")

    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
