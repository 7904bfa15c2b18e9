"""Deletion: what it answers, when an object goes, and what holds it."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.apiserver.drafts import HOLD, MERGE, bind, cause_of, config_map, delete, is_gone, pod, release, run_pod


@pytest.fixture
def path(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def pods(namespace):
    return f"/api/v1/namespaces/{namespace}/pods"


def create(api, path, name="a", **metadata):
    answer = api.post(path, json=config_map(name, **metadata))
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_object_that_goes_at_once_is_answered_with_its_uid(api, path):
    made = create(api, path)

    answer = api.delete(f"{path}/a")

    assert answer.status_code == 200
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    }
    assert is_gone(api, f"{path}/a")


def test_the_answer_names_the_group_of_what_went(api, namespace):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    uid = api.post(path, json={"metadata": {"name": "a"}}).json()["metadata"]["uid"]

    details = api.delete(f"{path}/a").json()["details"]

    assert details == {"name": "a", "group": "coordination.k8s.io", "kind": "leases", "uid": uid}


@pytest.mark.parametrize(("plural", "spec"), [("services", {"ports": [{"port": 80}]}), ("serviceaccounts", None)])
def test_some_kinds_are_answered_with_what_went(api, namespace, plural, spec):
    path = f"/api/v1/namespaces/{namespace}/{plural}"
    body = {"metadata": {"name": "a"}} if spec is None else {"metadata": {"name": "a"}, "spec": spec}
    made = api.post(path, json=body).json()

    gone = api.delete(f"{path}/a").json()

    assert (gone["kind"], gone["metadata"]["uid"]) == (made["kind"], made["metadata"]["uid"])
    assert "deletionTimestamp" not in gone["metadata"]
    assert is_gone(api, f"{path}/a")


def test_a_pod_on_its_way_out_gets_no_node(api, pods):
    api.post(pods, json=pod("one", finalizers=[HOLD]))
    api.delete(f"{pods}/one")

    answer = api.post(f"{pods}/one/binding", json={"metadata": {"name": "one"}, "target": {"name": "somewhere"}})

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"].endswith(": pod one is being deleted, cannot be assigned to a host")


def test_what_is_not_there_is_not_found(api, path):
    answer = api.delete(f"{path}/a")

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
    assert answer.json()["message"] == 'configmaps "a" not found'
    assert answer.json()["details"] == {"name": "a", "kind": "configmaps"}


def test_a_finalizer_holds_an_object(api, path):
    made = create(api, path, finalizers=[HOLD])

    answer = api.delete(f"{path}/a")

    held = answer.json()
    assert (answer.status_code, held["kind"]) == (200, "ConfigMap")
    assert held["metadata"]["finalizers"] == [HOLD]
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    assert "deletionTimestamp" in held["metadata"]
    assert int(held["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert api.get(f"{path}/a").json() == held


def test_deleting_again_changes_nothing(api, path):
    create(api, path, finalizers=[HOLD])
    held = api.delete(f"{path}/a").json()

    assert api.delete(f"{path}/a").json() == held


def test_an_object_on_its_way_out_may_still_change(api, path):
    create(api, path, finalizers=[HOLD])
    held = api.delete(f"{path}/a").json()

    changed = api.patch(f"{path}/a", json={"data": {"key": "value"}}, headers=MERGE).json()

    assert changed["data"] == {"key": "value"}
    assert changed["metadata"]["deletionTimestamp"] == held["metadata"]["deletionTimestamp"]


def test_the_last_finalizer_lets_an_object_go(api, path):
    create(api, path, finalizers=[HOLD, "example.org/second"])
    api.delete(f"{path}/a")
    api.patch(f"{path}/a", json={"metadata": {"finalizers": [HOLD]}}, headers=MERGE)
    assert not is_gone(api, f"{path}/a")

    last = release(api, f"{path}/a")

    assert (last.status_code, last.json()["kind"]) == (200, "ConfigMap")
    assert "finalizers" not in last.json()["metadata"]
    assert is_gone(api, f"{path}/a")


def test_nobody_adds_a_finalizer_to_what_is_on_its_way_out(api, path):
    create(api, path, finalizers=[HOLD])
    api.delete(f"{path}/a")

    answer = api.patch(f"{path}/a", json={"metadata": {"finalizers": [HOLD, "example.org/late"]}}, headers=MERGE)

    status = answer.json()
    detail = (
        "Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"example.org/late"}'
    )
    cause = {"reason": "FieldValueForbidden", "message": detail, "field": "metadata.finalizers"}
    assert (answer.status_code, status["reason"]) == (422, "Invalid")
    assert status["message"] == f'ConfigMap "a" is invalid: metadata.finalizers: {detail}'
    assert status["details"]["causes"] == [cause, cause]


def test_the_name_of_what_is_on_its_way_out_is_taken(api, path):
    create(api, path, finalizers=[HOLD])
    api.delete(f"{path}/a")

    answer = api.post(path, json=config_map("a"))

    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")
    assert answer.json()["message"] == 'object is being deleted: configmaps "a" already exists'


@pytest.mark.parametrize(
    ("finalizers", "field", "detail"),
    [
        (["short"], "metadata.finalizers[0]", "name is neither a standard finalizer name nor is it fully qualified"),
        (
            ["orphan", "foregroundDeletion"],
            "metadata.finalizers",
            "finalizer orphan and foregroundDeletion cannot be both set",
        ),
    ],
)
def test_finalizers_are_names_of_a_kind(api, path, finalizers, field, detail):
    answer = api.post(path, json=config_map("a", finalizers=finalizers))

    assert answer.status_code == 422
    assert cause_of(answer)["field"] == field
    assert cause_of(answer)["message"].endswith(f": {detail}")


def test_another_uid_than_the_one_that_is_meant_stays(api, path):
    uid = create(api, path)["metadata"]["uid"]

    answer = delete(api, f"{path}/a", preconditions={"uid": "another"})

    status = answer.json()
    assert (answer.status_code, status["reason"]) == (409, "Conflict")
    assert status["message"] == (
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (another) does not match the UID '
        f"in record ({uid}). The object might have been deleted and then recreated"
    )
    assert status["details"] == {"name": "a", "kind": "ConfigMap"}
    assert not is_gone(api, f"{path}/a")


def test_another_version_than_the_one_that_is_meant_stays(api, path):
    first = create(api, path)["metadata"]["resourceVersion"]
    current = api.patch(f"{path}/a", json={"data": {"key": "value"}}, headers=MERGE).json()["metadata"]

    refused = delete(api, f"{path}/a", preconditions={"resourceVersion": first})
    done = delete(
        api,
        f"{path}/a",
        preconditions={"uid": current["uid"], "resourceVersion": current["resourceVersion"]},
    )

    assert refused.status_code == 409
    assert refused.json()["message"] == (
        f'Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition ({first}) does not '
        f"match the ResourceVersion in record ({current['resourceVersion']}). The object might have been modified"
    )
    assert done.status_code == 200


SENSELESS = [
    (
        {"propagationPolicy": "Sideways"},
        "propagationPolicy",
        'Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil"',
    ),
    (
        {"propagationPolicy": "Orphan", "orphanDependents": True},
        "propagationPolicy",
        'Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set',
    ),
    ({"dryRun": ["Some"]}, "dryRun", 'Unsupported value: ["Some"]: supported values: "All"'),
]


@pytest.mark.parametrize(("options", "field", "message"), SENSELESS)
def test_options_that_make_no_sense_are_invalid(api, path, options, field, message):
    create(api, path)

    answer = delete(api, f"{path}/a", **options)

    status = answer.json()
    assert (answer.status_code, status["reason"]) == (422, "Invalid")
    assert status["message"] == f'DeleteOptions.meta.k8s.io "" is invalid: {field}: {message}'
    assert status["details"]["group"] == "meta.k8s.io"
    assert status["details"]["kind"] == "DeleteOptions"
    assert (cause_of(answer)["field"], cause_of(answer)["message"]) == (field, message)
    assert not is_gone(api, f"{path}/a")


@pytest.mark.parametrize("query", [{"propagationPolicy": "Sideways"}, {"dryRun": "Some"}])
def test_options_in_the_query_are_checked_too(api, path, query):
    create(api, path)

    answer = api.delete(f"{path}/a", params=query)

    assert (answer.status_code, answer.json()["details"]["kind"]) == (422, "DeleteOptions")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"gracePeriodSeconds": "soon"},
            "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
        ),
        (
            {"kind": "Pod", "apiVersion": "v1"},
            'no kind "Pod" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"',
        ),
    ],
)
def test_a_body_that_is_no_delete_options_is_a_bad_request(api, path, body, message):
    create(api, path)

    answer = delete(api, f"{path}/a", **body)

    assert (answer.status_code, answer.json()["reason"], answer.json()["message"]) == (400, "BadRequest", message)


@pytest.mark.parametrize(
    "options",
    [{"preconditions": 1}, {"gracePeriodSeconds": "x"}, {"propagationPolicy": {}}, {"dryRun": 1}],
)
def test_options_are_held_to_their_types_wherever_they_stand(api, pods, options):
    api.post(pods, json=pod("one"))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}, "deleteOptions": options}

    answers = [delete(api, f"{pods}/one", **options), delete(api, pods, **options)]
    answers.append(api.post(f"{pods}/one/eviction", json=eviction))

    assert [answer.status_code for answer in answers] == 3 * [400]
    assert not is_gone(api, f"{pods}/one")


@pytest.mark.parametrize("grace", ["soon", "1.5", ""])
def test_a_grace_in_the_query_is_a_number(api, path, grace):
    create(api, path)

    answer = api.delete(f"{path}/a", params={"gracePeriodSeconds": grace})

    assert answer.status_code == 400
    assert answer.json()["message"] == f'strconv.ParseInt: parsing "{grace}": invalid syntax'


@pytest.mark.parametrize("options", [{"dryRun": ["All"]}, {"dryRun": ["All"], "propagationPolicy": "Foreground"}])
def test_a_dry_run_deletes_nothing(api, path, options):
    made = create(api, path)

    assert delete(api, f"{path}/a", **options).status_code == 200
    assert api.get(f"{path}/a").json() == made


def test_a_dry_run_may_be_asked_for_in_the_query(api, path):
    made = create(api, path)

    answer = api.delete(f"{path}/a", params={"dryRun": "All"})

    assert answer.json()["details"]["uid"] == made["metadata"]["uid"]
    assert api.get(f"{path}/a").json() == made


def test_a_body_counts_for_all_of_the_query(api, path):
    create(api, path)

    answer = api.request("DELETE", f"{path}/a", params={"dryRun": "All", "propagationPolicy": "Foreground"}, json={})

    assert answer.json()["status"] == "Success"
    assert is_gone(api, f"{path}/a")


def test_a_grace_is_nothing_to_what_does_not_run(api, path):
    for grace in (-5, 0, 60):
        create(api, path)
        assert delete(api, f"{path}/a", gracePeriodSeconds=grace).json()["status"] == "Success"


def test_a_pod_without_node_goes_at_once(api, pods):
    uid = api.post(pods, json=pod("one")).json()["metadata"]["uid"]

    answer = api.delete(f"{pods}/one")

    gone = answer.json()
    assert (answer.status_code, gone["kind"], gone["metadata"]["uid"]) == (200, "Pod", uid)
    assert gone["metadata"]["deletionGracePeriodSeconds"] == 0
    assert gone["metadata"]["generation"] == 2
    assert is_gone(api, f"{pods}/one")


def test_a_pod_on_a_node_has_its_grace(api, pods):
    api.post(pods, json=pod("one", grace_seconds=45))
    bind(api, pods, "one")

    terminating = api.delete(f"{pods}/one").json()

    metadata = terminating["metadata"]
    assert (metadata["deletionGracePeriodSeconds"], metadata["generation"]) == (45, 2)
    wait = datetime.fromisoformat(metadata["deletionTimestamp"]) - datetime.fromisoformat(metadata["creationTimestamp"])
    assert 44 <= wait.total_seconds() <= 50
    assert api.get(f"{pods}/one").json() == terminating


def test_a_grace_only_ever_shrinks(api, pods):
    api.post(pods, json=pod("one"))
    bind(api, pods, "one")
    first = api.delete(f"{pods}/one").json()

    longer = delete(api, f"{pods}/one", gracePeriodSeconds=60).json()
    shorter = delete(api, f"{pods}/one", gracePeriodSeconds=5).json()["metadata"]
    default = api.delete(f"{pods}/one").json()["metadata"]

    assert longer == first
    assert shorter["deletionGracePeriodSeconds"] == default["deletionGracePeriodSeconds"] == 5
    assert shorter["deletionTimestamp"] < first["metadata"]["deletionTimestamp"]
    assert shorter["generation"] == 2


def test_a_pod_with_no_grace_left_goes(api, pods):
    api.post(pods, json=pod("one"))
    bind(api, pods, "one")
    api.delete(f"{pods}/one")

    last = delete(api, f"{pods}/one", gracePeriodSeconds=0)

    assert (last.json()["kind"], last.json()["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 0)
    assert is_gone(api, f"{pods}/one")


@pytest.mark.parametrize("grace", [-1, -7])
def test_a_negative_grace_is_a_second(api, pods, grace):
    api.post(pods, json=pod("one"))
    bind(api, pods, "one")

    terminating = delete(api, f"{pods}/one", gracePeriodSeconds=grace).json()

    assert terminating["metadata"]["deletionGracePeriodSeconds"] == 1


def test_the_query_may_say_the_grace(api, pods):
    api.post(pods, json=pod("one"))
    bind(api, pods, "one")

    terminating = api.delete(f"{pods}/one", params={"gracePeriodSeconds": "7"}).json()

    assert terminating["metadata"]["deletionGracePeriodSeconds"] == 7


@pytest.mark.parametrize(("phase", "grace"), [("Succeeded", 0), ("Failed", 0), ("Running", 30), ("Unknown", 30)])
def test_a_pod_that_has_finished_needs_no_grace(api, pods, phase, grace):
    run_pod(api, pods, "one", phase=phase, finalizers=[HOLD])

    marked = api.delete(f"{pods}/one").json()

    assert marked["metadata"]["deletionGracePeriodSeconds"] == grace


def test_a_pod_needs_both_its_grace_and_its_finalizers_to_be_over(api, pods):
    api.post(pods, json=pod("one", finalizers=[HOLD]))
    bind(api, pods, "one")
    api.delete(f"{pods}/one")

    released = release(api, f"{pods}/one").json()

    assert released["metadata"]["deletionGracePeriodSeconds"] == 30
    assert not is_gone(api, f"{pods}/one")
    delete(api, f"{pods}/one", gracePeriodSeconds=0)
    assert is_gone(api, f"{pods}/one")


@pytest.fixture
def secrets(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/secrets"
    for name, app in (("a", "web"), ("b", "db"), ("c", "web")):
        assert api.post(path, json={"metadata": {"name": name, "labels": {"app": app}}}).status_code == 201
    return path


def names(answer):
    return [item["metadata"]["name"] for item in answer.json()["items"]]


def test_a_collection_goes_together(api, secrets):
    answer = api.delete(secrets)

    assert (answer.status_code, answer.json()["kind"]) == (200, "SecretList")
    assert names(answer) == ["a", "b", "c"]
    assert names(api.get(secrets)) == []


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ({"labelSelector": "app=web"}, ["b"]),
        ({"fieldSelector": "metadata.name=b"}, ["a", "c"]),
        ({"labelSelector": "app=nothing"}, ["a", "b", "c"]),
        ({"dryRun": "All"}, ["a", "b", "c"]),
    ],
)
def test_a_selected_part_of_a_collection_goes(api, secrets, query, left):
    assert api.delete(secrets, params=query).status_code == 200
    assert names(api.get(secrets)) == left


def test_a_held_part_of_a_collection_stays(api, secrets):
    api.post(secrets, json={"metadata": {"name": "held", "finalizers": [HOLD]}})

    api.delete(secrets)

    (held,) = api.get(secrets).json()["items"]
    assert held["metadata"]["name"] == "held"
    assert "deletionTimestamp" in held["metadata"]


@pytest.mark.parametrize("path", ["/api/v1/secrets", "/api/v1/namespaces", "/apis/apps/v1/deployments"])
def test_not_everything_goes_together(api, path):
    answer = api.delete(path, params={"dryRun": "All"})

    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")
    assert answer.json()["details"] == {}
