"""Owners and dependents: who goes with whom, and what references are refused."""

from __future__ import annotations

import pytest

from tests.apiserver.drafts import HOLD, MERGE, cause_of, config_map, delete, eventually, is_gone, release

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@pytest.fixture
def path(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


def create(api, path, name, *owners, **metadata):
    references = [reference(owner) for owner in owners]
    answer = api.post(path, json=config_map(name, **{"ownerReferences": references, **metadata}))
    assert answer.status_code == 201, answer.text
    return answer.json()


def reference(owner, **more):
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        **more,
    }


def wait_until_gone(api, path):
    eventually(lambda: is_gone(api, path), f"{path} goes")


def wait_until_terminating(api, path):
    return eventually(lambda: "deletionTimestamp" in api.get(path).json()["metadata"], f"{path} is on its way out")


def owners_of(api, path):
    return [owner["name"] for owner in api.get(path).json()["metadata"].get("ownerReferences", ())]


@pytest.mark.parametrize("options", [{"propagationPolicy": "Background"}, {"orphanDependents": False}, {}])
def test_dependents_follow_their_owner(api, path, options):
    owner = create(api, path, "owner")
    create(api, path, "dependent", owner)

    answer = delete(api, f"{path}/owner", **options)

    assert answer.json()["details"]["uid"] == owner["metadata"]["uid"]
    assert is_gone(api, f"{path}/owner")
    wait_until_gone(api, f"{path}/dependent")


def test_whole_families_go(api, path):
    grandmother = create(api, path, "grandmother")
    mother = create(api, path, "mother", grandmother)
    create(api, path, "child", mother)

    api.delete(f"{path}/grandmother")

    for name in ("mother", "child"):
        wait_until_gone(api, f"{path}/{name}")


def test_in_the_foreground_an_owner_waits_for_those_that_block_it(api, path):
    owner = create(api, path, "owner")
    blocking = reference(owner, blockOwnerDeletion=True)
    create(api, path, "dependent", ownerReferences=[blocking], finalizers=[HOLD])

    waiting = delete(api, f"{path}/owner", propagationPolicy="Foreground").json()

    assert waiting["metadata"]["finalizers"] == [FOREGROUND]
    assert "deletionTimestamp" in waiting["metadata"]
    wait_until_terminating(api, f"{path}/dependent")
    assert not is_gone(api, f"{path}/owner")
    release(api, f"{path}/dependent")
    wait_until_gone(api, f"{path}/owner")
    assert is_gone(api, f"{path}/dependent")


def test_in_the_foreground_an_owner_waits_for_no_others(api, path):
    owner = create(api, path, "owner")
    create(api, path, "dependent", owner, finalizers=[HOLD])

    delete(api, f"{path}/owner", propagationPolicy="Foreground")

    wait_until_gone(api, f"{path}/owner")
    wait_until_terminating(api, f"{path}/dependent")


@pytest.mark.parametrize("options", [{"propagationPolicy": "Orphan"}, {"orphanDependents": True}])
def test_orphans_stay_without_their_owner(api, path, options):
    owner = create(api, path, "owner")
    create(api, path, "dependent", owner)

    held = delete(api, f"{path}/owner", **options).json()

    assert held["metadata"]["finalizers"] == [ORPHAN]
    wait_until_gone(api, f"{path}/owner")
    assert owners_of(api, f"{path}/dependent") == []


def test_a_later_deletion_says_how(api, path):
    create(api, path, "owner", finalizers=[HOLD])
    first = delete(api, f"{path}/owner", propagationPolicy="Foreground").json()["metadata"]

    second = delete(api, f"{path}/owner", propagationPolicy="Background").json()["metadata"]

    assert first["finalizers"] == [HOLD, FOREGROUND]
    assert second["finalizers"] == [HOLD]
    assert second["deletionTimestamp"] == first["deletionTimestamp"]


def test_a_dependent_stays_while_one_of_its_owners_does(api, path):
    first, second = create(api, path, "first"), create(api, path, "second")
    create(api, path, "dependent", first, second)

    api.delete(f"{path}/first")
    eventually(lambda: owners_of(api, f"{path}/dependent") == ["second"], "the lost owner is dropped")

    api.delete(f"{path}/second")
    wait_until_gone(api, f"{path}/dependent")


def test_what_comes_after_its_owner_went_goes_too(api, path):
    owner = create(api, path, "owner")
    api.delete(f"{path}/owner")

    create(api, path, "late", owner)

    wait_until_gone(api, f"{path}/late")


def test_a_namesake_is_not_the_owner(api, path):
    owner = create(api, path, "owner")
    api.delete(f"{path}/owner")
    create(api, path, "owner")

    create(api, path, "dependent", owner)

    wait_until_gone(api, f"{path}/dependent")
    assert not is_gone(api, f"{path}/owner")


def test_a_held_dependent_waits_for_its_release(api, path):
    owner = create(api, path, "owner")
    create(api, path, "dependent", owner, finalizers=[HOLD])

    api.delete(f"{path}/owner")

    wait_until_terminating(api, f"{path}/dependent")
    release(api, f"{path}/dependent")
    assert is_gone(api, f"{path}/dependent")


def template(name):
    containers = [{"name": "main", "image": "web:1"}]
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}


@pytest.fixture
def deployment(api, namespace):
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("web")}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert api.post(path, json={"metadata": {"name": "web"}, "spec": spec}).status_code == 201
    eventually(lambda: len(items(api, f"/api/v1/namespaces/{namespace}/pods")) == 2, "its pods are made")
    return f"{path}/web"


def items(api, path):
    return api.get(path).json()["items"]


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_a_deployment_takes_its_replica_sets_and_pods_with_it(api, namespace, deployment, policy):
    delete(api, deployment, propagationPolicy=policy)

    wait_until_gone(api, deployment)
    replica_sets, pods = f"/apis/apps/v1/namespaces/{namespace}/replicasets", f"/api/v1/namespaces/{namespace}/pods"
    eventually(lambda: not items(api, replica_sets), "its replica sets are gone")
    eventually(lambda: not items(api, pods), "its pods are gone")


def test_an_orphaned_replica_set_keeps_its_pods(api, namespace, deployment):
    pods = {pod["metadata"]["uid"] for pod in items(api, f"/api/v1/namespaces/{namespace}/pods")}

    delete(api, deployment, propagationPolicy="Orphan")

    wait_until_gone(api, deployment)
    (left,) = items(api, f"/apis/apps/v1/namespaces/{namespace}/replicasets")
    assert "ownerReferences" not in left["metadata"]
    assert {pod["metadata"]["uid"] for pod in items(api, f"/api/v1/namespaces/{namespace}/pods")} == pods


def test_a_job_orphans_its_pods_unless_told_otherwise(api, namespace):
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    body = template("work")
    body["spec"]["restartPolicy"] = "Never"
    assert api.post(path, json={"metadata": {"name": "work"}, "spec": {"template": body}}).status_code == 201
    pods = f"/api/v1/namespaces/{namespace}/pods"
    eventually(lambda: items(api, pods), "its pod is made")

    answer = api.delete(f"{path}/work")

    held = answer.json()
    assert answer.headers["warning"] == (
        '299 - "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove '
        'them or set propagationPolicy=Orphan to suppress this warning"'
    )
    assert held["metadata"]["finalizers"] == [ORPHAN]
    wait_until_gone(api, f"{path}/work")
    (left,) = items(api, pods)
    assert "ownerReferences" not in left["metadata"]
    assert "deletionTimestamp" not in left["metadata"]


COMPLETE = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "1"}
EMPTY = 'Invalid value: "": must not be empty'
NO_VERSION = "version must not be empty"


@pytest.mark.parametrize(
    ("changed", "violations"),
    [
        ({"uid": ""}, [("uid", EMPTY)]),
        ({"name": ""}, [("name", EMPTY)]),
        ({"kind": ""}, [("kind", EMPTY)]),
        ({"apiVersion": ""}, [("apiVersion", f'Invalid value: "": {NO_VERSION}')]),
        ({"apiVersion": "a/b/c"}, [("apiVersion", f'Invalid value: "a/b/c": {NO_VERSION}')]),
        ({"kind": "", "uid": ""}, [("kind", EMPTY), ("uid", EMPTY)]),
    ],
)
def test_a_reference_says_all_of_its_owner(api, path, changed, violations):
    answer = api.post(path, json=config_map("a", ownerReferences=[{**COMPLETE, **changed}]))

    status = answer.json()
    causes = [(f"metadata.ownerReferences.{field}", message) for field, message in violations]
    texts = [f"{field}: {message}" for field, message in causes]
    assert (answer.status_code, status["reason"]) == (422, "Invalid")
    assert [(cause["field"], cause["message"]) for cause in status["details"]["causes"]] == causes
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    assert status["message"] == f'ConfigMap "a" is invalid: {listed}'


def test_the_same_owner_counts_once_and_with_a_warning(api, path):
    answer = api.post(path, json=config_map("a", ownerReferences=[COMPLETE, COMPLETE]))

    assert answer.status_code == 201
    assert answer.json()["metadata"]["ownerReferences"] == [COMPLETE]
    warning = answer.headers["warning"]
    assert warning.startswith('299 - ".metadata.ownerReferences contains duplicate entries; ')
    assert warning.endswith('duplicate UID(s) observed: 1"')


def test_an_event_owns_nothing(api, path):
    answer = api.post(path, json=config_map("a", ownerReferences=[{**COMPLETE, "kind": "Event"}]))

    assert answer.status_code == 422
    assert cause_of(answer)["message"] == (
        'Invalid value: {"apiVersion":"v1","kind":"Event","name":"owner","uid":"1"}: '
        "/v1, Kind=Event is disallowed from being an owner"
    )


def test_only_one_owner_controls(api, path):
    owners = [{**COMPLETE, "controller": True}, {**COMPLETE, "name": "other", "uid": "2", "controller": True}]

    answer = api.post(path, json=config_map("a", ownerReferences=owners))

    assert answer.status_code == 422
    assert cause_of(answer)["field"] == "metadata.ownerReferences"
    assert cause_of(answer)["message"].endswith(
        ': Only one reference can have Controller set to true. Found "true" in references for '
        "ConfigMap/owner and ConfigMap/other"
    )


def test_an_update_is_held_to_the_same_rules(api, path):
    create(api, path, "a")

    body = {"metadata": {"ownerReferences": [{**COMPLETE, "uid": ""}]}}
    answer = api.patch(f"{path}/a", json=body, headers=MERGE)

    cause = {"reason": "FieldValueInvalid", "message": EMPTY, "field": "metadata.ownerReferences.uid"}
    assert answer.status_code == 422
    assert answer.json()["message"] == f'ConfigMap "a" is invalid: {cause["field"]}: {EMPTY}'
    # The real server says it once for each of its validations, whose number differs from kind to kind.
    assert all(found == cause for found in answer.json()["details"]["causes"])


def test_an_owner_of_an_unknown_kind_keeps_its_dependents(api, path):
    unknown = {"apiVersion": "nowhere.example.org/v1", "kind": "Riddle", "name": "x", "uid": "1"}
    made = create(api, path, "dependent", ownerReferences=[unknown])
    owner = create(api, path, "owner")
    create(api, path, "other", owner)
    api.delete(f"{path}/owner")
    wait_until_gone(api, f"{path}/other")

    assert api.get(f"{path}/dependent").json() == made
