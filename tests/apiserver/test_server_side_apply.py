"""Server-side apply: who owns which field, and what comes of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.apiserver.bodies import APPLY, MERGE, config_map, thing, workload


@pytest.fixture
def apply(api):
    """Apply a configuration as somebody: `apply(path, config, by="one", force=True)`."""

    def applied(path, config, *, by="one", **query):
        if "force" in query:
            query["force"] = str(query["force"]).lower()
        return api.patch(path, json=config, headers=APPLY, params={"fieldManager": by, **query})

    return applied


@pytest.fixture
def config_maps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def web(namespace):
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/web"


def owned(found, manager, *, operation="Apply", subresource=None):
    """The fieldsV1 of a manager, None if it owns nothing."""
    return next(
        (
            entry["fieldsV1"]
            for entry in found["metadata"].get("managedFields", ())
            if (entry["manager"], entry["operation"], entry.get("subresource")) == (manager, operation, subresource)
        ),
        None,
    )


def conflicts(answer):
    status = answer.json()
    assert (answer.status_code, status["reason"]) == (409, "Conflict"), status
    assert {cause["reason"] for cause in status["details"]["causes"]} == {"FieldManagerConflict"}
    return [(cause["message"], cause["field"]) for cause in status["details"]["causes"]]


def test_applying_creates_and_owns(apply, config_maps):
    answer = apply(f"{config_maps}/one", config_map("one", a="1", b="2"))

    (entry,) = answer.json()["metadata"]["managedFields"]
    assert answer.status_code == 201
    assert answer.json()["data"] == {"a": "1", "b": "2"}
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "manager": "one",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}},
    }


def test_applying_the_same_again_changes_nothing(apply, config_maps):
    first = apply(f"{config_maps}/one", config_map("one", a="1"))

    again = apply(f"{config_maps}/one", config_map("one", a="1"))

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_what_is_no_longer_applied_goes(apply, config_maps):
    apply(f"{config_maps}/one", config_map("one", a="1", b="2"))

    left = apply(f"{config_maps}/one", config_map("one", a="1")).json()

    assert left["data"] == {"a": "1"}
    assert owned(left, "one") == {"f:data": {"f:a": {}}}


def test_what_somebody_else_applies_too_stays(apply, config_maps):
    apply(f"{config_maps}/one", config_map("one", a="1", b="2"))
    shared = apply(f"{config_maps}/one", config_map("one", a="1"), by="two")

    left = apply(f"{config_maps}/one", config_map("one", b="2")).json()

    assert shared.status_code == 200
    assert left["data"] == {"a": "1", "b": "2"}
    assert owned(left, "two") == {"f:data": {"f:a": {}}}
    assert owned(left, "one") == {"f:data": {"f:b": {}}}


def test_another_value_for_what_somebody_applies_conflicts(api, apply, config_maps):
    first = apply(f"{config_maps}/one", config_map("one", a="1")).json()

    answer = apply(f"{config_maps}/one", config_map("one", a="2"), by="two")

    assert conflicts(answer) == [('conflict with "one"', ".data.a")]
    assert answer.json()["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert api.get(f"{config_maps}/one").json() == first


def test_several_conflicts_are_listed_by_manager(apply, config_maps):
    apply(f"{config_maps}/one", config_map("one", a="1", b="1"))

    answer = apply(f"{config_maps}/one", config_map("one", a="2", b="2"), by="two")

    assert [field for _, field in conflicts(answer)] == [".data.a", ".data.b"]
    assert answer.json()["message"] == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'


@pytest.mark.parametrize("force", ["true", "1", "yes"])
def test_force_takes_the_field_over(apply, config_maps, force):
    apply(f"{config_maps}/one", config_map("one", a="1", b="1"))

    forced = apply(f"{config_maps}/one", config_map("one", a="2"), by="two", force=force).json()

    assert forced["data"] == {"a": "2", "b": "1"}
    assert owned(forced, "two") == {"f:data": {"f:a": {}}}
    assert owned(forced, "one") == {"f:data": {"f:b": {}}}


def test_a_plain_update_takes_what_it_changes(api, apply, config_maps):
    apply(f"{config_maps}/one", config_map("one", a="1", b="1"))

    body = {**config_map("one", a="2", b="1"), "metadata": {"name": "one"}}
    changed = api.put(f"{config_maps}/one", json=body, params={"fieldManager": "writer"}).json()
    again = apply(f"{config_maps}/one", config_map("one", a="1", b="1"))

    assert owned(changed, "one") == {"f:data": {"f:b": {}}}
    assert owned(changed, "writer", operation="Update") == {"f:data": {"f:a": {}}}
    assert conflicts(again) == [('conflict with "writer" using v1', ".data.a")]


def test_a_plain_patch_takes_what_it_changes_and_adds(api, apply, config_maps):
    apply(f"{config_maps}/one", config_map("one", a="1", b="1"))

    patch = {"data": {"a": "2", "c": "3"}}
    changed = api.patch(f"{config_maps}/one", json=patch, headers=MERGE, params={"fieldManager": "writer"}).json()
    again = apply(f"{config_maps}/one", config_map("one", a="2", b="1"))

    assert owned(changed, "writer", operation="Update") == {"f:data": {"f:a": {}, "f:c": {}}}
    assert (again.status_code, again.json()["data"]) == (200, {"a": "2", "b": "1", "c": "3"})


def test_a_manager_is_named_after_its_program_unless_it_says_so(api, apply, config_maps):
    apply(f"{config_maps}/one", config_map("one", a="1"))
    headers = {**MERGE, "user-agent": "some-tool/1.2 (linux)"}

    changed = api.patch(f"{config_maps}/one", json={"data": {"b": "1"}}, headers=headers).json()

    assert owned(changed, "some-tool", operation="Update") == {"f:data": {"f:b": {}}}


def test_what_was_created_plainly_belongs_to_its_creator(api, apply, config_maps):
    api.post(config_maps, json=config_map("one", a="1"), params={"fieldManager": "maker"})

    answer = apply(f"{config_maps}/one", config_map("one", a="2"))
    forced = apply(f"{config_maps}/one", config_map("one", a="2"), force=True).json()

    assert conflicts(answer) == [('conflict with "maker" using v1', ".data.a")]
    assert (forced["data"], owned(forced, "one")) == ({"a": "2"}, {"f:data": {"f:a": {}}})


def test_a_removed_field_belongs_to_nobody(api, apply, config_maps):
    apply(f"{config_maps}/one", config_map("one", a="1", b="1"))

    removed = api.patch(f"{config_maps}/one", json={"data": {"a": None}}, headers=MERGE).json()
    back = apply(f"{config_maps}/one", config_map("one", a="2", b="1"), by="two")

    assert owned(removed, "one") == {"f:data": {"f:b": {}}}
    assert (back.status_code, back.json()["data"]) == (200, {"a": "2", "b": "1"})


def test_an_empty_entry_frees_all_fields(api, apply, config_maps):
    apply(f"{config_maps}/one", config_map("one", a="1"))

    body = {**config_map("one", a="1"), "metadata": {"name": "one", "managedFields": [{}]}}
    freed = api.put(f"{config_maps}/one", json=body).json()

    assert "managedFields" not in freed["metadata"]


def test_owners_that_come_back_with_an_update_are_kept(api, apply, config_maps):
    first = apply(f"{config_maps}/one", config_map("one", a="1")).json()

    replaced = api.put(f"{config_maps}/one", json={**first, "data": {"a": "1", "b": "2"}}).json()

    assert owned(replaced, "one") == {"f:data": {"f:a": {}}}


def test_elements_of_a_list_are_owned_one_by_one(apply, web):
    base = apply(web, workload()).json()
    side = {"name": "side", "image": "side:1"}
    config = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"side": "yes"}},
        "spec": {"template": {"spec": {"containers": [side]}}},
    }

    both = apply(web, config, by="two").json()

    containers = both["spec"]["template"]["spec"]["containers"]
    ports: Any = {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}}
    env: Any = {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}
    main = {".": {}, "f:name": {}, "f:image": {}, "f:ports": ports, "f:env": env}
    assert [container["name"] for container in containers] == ["main", "side"]
    assert owned(base, "one")["f:spec"]["f:template"]["f:spec"]["f:containers"] == {'k:{"name":"main"}': main}
    assert owned(base, "one")["f:spec"]["f:selector"] == {}
    assert owned(both, "two") == {
        "f:metadata": {"f:labels": {"f:side": {}}},
        "f:spec": {
            "f:template": {"f:spec": {"f:containers": {'k:{"name":"side"}': {".": {}, "f:name": {}, "f:image": {}}}}}
        },
    }


def test_a_conflict_names_the_element_of_the_list(apply, web):
    apply(web, workload())
    config = workload()
    config["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2"

    answer = apply(web, config, by="two")

    assert conflicts(answer) == [('conflict with "one"', '.spec.template.spec.containers[name="main"].image')]


def test_an_element_that_is_no_longer_applied_goes(apply, web):
    config = workload()
    apply(web, config)
    less = copy.deepcopy(config)
    less["spec"]["template"]["spec"]["containers"][0].pop("env")
    del less["spec"]["template"]["spec"]["containers"][0]["ports"]

    left = apply(web, less).json()

    (container,) = left["spec"]["template"]["spec"]["containers"]
    assert container.keys().isdisjoint({"env", "ports"})
    assert left["metadata"]["generation"] == 2


def test_a_field_that_is_given_up_gets_its_default(apply, web):
    apply(web, workload(revisionHistoryLimit=3))

    left = apply(web, workload()).json()

    assert left["spec"]["revisionHistoryLimit"] == 10
    assert "f:revisionHistoryLimit" not in owned(left, "one")["f:spec"]


def test_finalizers_are_owned_one_by_one(apply, config_maps):
    def holding(finalizer):
        return {**TYPE, "metadata": {"name": "one", "finalizers": [f"example.com/{finalizer}"]}}

    apply(f"{config_maps}/one", holding("a"))
    both = apply(f"{config_maps}/one", holding("b"), by="two").json()
    left = apply(f"{config_maps}/one", {**TYPE, "metadata": {"name": "one"}}).json()

    assert both["metadata"]["finalizers"] == ["example.com/a", "example.com/b"]
    assert owned(both, "two")["f:metadata"] == {"f:finalizers": {'v:"example.com/b"': {}}}
    assert left["metadata"]["finalizers"] == ["example.com/b"]


def test_a_status_is_applied_for_itself(api, apply, things):
    apply(f"{things}/one", thing(replicas=1))

    status = apply(f"{things}/one/status", {**thing(replicas=7), "status": {"phase": "x"}}, by="two").json()
    api.patch(f"{things}/one/status", json={"status": {"phase": "y"}}, headers=MERGE, params={"fieldManager": "three"})
    answer = apply(f"{things}/one/status", {**thing(), "status": {"phase": "x"}}, by="two")

    assert (status["spec"], status["status"]) == ({"replicas": 1}, {"phase": "x"})
    assert owned(status, "two", subresource="status") == {"f:status": {"f:phase": {}}}
    message = 'conflict with "three" with subresource "status" using writing.example.com/v1'
    assert conflicts(answer) == [(message, ".status.phase")]


def test_a_status_is_not_applied_with_the_rest(apply, things):
    found = apply(f"{things}/one", {**thing(replicas=1), "status": {"phase": "x"}}).json()

    assert "status" not in found
    assert owned(found, "one") == {"f:spec": {"f:replicas": {}}}


def test_a_status_of_nothing_is_not_found(apply, things):
    answer = apply(f"{things}/one/status", {**thing(), "status": {"phase": "x"}})

    assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")


def test_lists_of_custom_resources_merge_as_their_schema_says(apply, things):
    apply(f"{things}/one", thing(items=[{"name": "a", "value": "1"}], set=["x"], labels={"a": "1"}))

    both = apply(
        f"{things}/one", thing(items=[{"name": "b", "value": "1"}], set=["y"], labels={"b": "1"}), by="two"
    ).json()

    assert both["spec"] == {
        "items": [{"name": "a", "value": "1"}, {"name": "b", "value": "1"}],
        "set": ["x", "y"],
        "labels": {"a": "1", "b": "1"},
    }
    assert owned(both, "two") == {
        "f:spec": {
            "f:items": {'k:{"name":"b"}': {".": {}, "f:name": {}, "f:value": {}}},
            "f:set": {'v:"y"': {}},
            "f:labels": {"f:b": {}},
        }
    }


def test_other_lists_of_custom_resources_have_one_owner(apply, things):
    apply(f"{things}/one", thing(list=["x"], items=[{"name": "a", "value": "1"}]))

    answer = apply(f"{things}/one", thing(list=["x", "y"], items=[{"name": "a", "value": "2"}]), by="two")

    message = 'conflict with "one"'
    assert conflicts(answer) == [(message, ".spec.list"), (message, '.spec.items[name="a"].value')]


def test_a_rehearsal_tells_of_conflicts_and_stores_nothing(api, apply, config_maps):
    first = apply(f"{config_maps}/one", config_map("one", a="1")).json()

    forced = apply(f"{config_maps}/one", config_map("one", a="2"), by="two", force=True, dryRun="All")
    refused = apply(f"{config_maps}/one", config_map("one", a="2"), by="two", dryRun="All")
    created = apply(f"{config_maps}/two", config_map("two", a="2"), dryRun="All")

    assert (forced.status_code, forced.json()["data"]) == (200, {"a": "2"})
    assert (refused.status_code, created.status_code) == (409, 201)
    assert api.get(f"{config_maps}/one").json() == first
    assert api.get(f"{config_maps}/two").status_code == 404


def test_yaml_is_applied(api, config_maps):
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: b}\n"

    answer = api.patch(f"{config_maps}/one", content=body, headers=APPLY, params={"fieldManager": "one"})

    assert (answer.status_code, answer.json()["data"]) == (201, {"a": "b"})


def test_only_a_new_object_needs_its_name_in_the_configuration(apply, config_maps):
    refused = apply(f"{config_maps}/one", {**TYPE, "data": {"a": "1"}})
    apply(f"{config_maps}/one", config_map("one", a="1"))
    changed = apply(f"{config_maps}/one", {**TYPE, "data": {"a": "2"}})

    assert (refused.status_code, refused.json()["reason"]) == (400, "BadRequest")
    assert "name must be provided" in refused.json()["message"]
    assert (changed.status_code, changed.json()["data"]) == (200, {"a": "2"})


def test_an_apply_needs_a_field_manager(api, config_maps):
    answer = api.patch(f"{config_maps}/one", json=config_map("one"), headers=APPLY)

    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert answer.json()["message"] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )


TYPE = {"apiVersion": "v1", "kind": "ConfigMap"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({"metadata": {"name": "one"}}, "invalid object type: /, Kind=", id="no type"),
        pytest.param({**TYPE, "kind": "Secret"}, "invalid object type: /v1, Kind=Secret", id="another kind"),
        pytest.param({**TYPE, "apiVersion": "v2"}, "invalid object type: /v2, Kind=ConfigMap", id="another version"),
        pytest.param(
            {**TYPE, "metadata": {"name": "two"}},
            "the name of the object (two) does not match the name on the URL (one)",
            id="another name",
        ),
        pytest.param(
            {**TYPE, "metadata": {"name": "one", "namespace": "other"}},
            "the namespace of the provided object does not match the namespace sent on the request",
            id="another namespace",
        ),
        pytest.param(
            {**TYPE, "metadata": {"name": "one", "managedFields": [{"manager": "x"}]}},
            "metadata.managedFields must be nil",
            id="owners",
        ),
        pytest.param(
            [],
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go "
            "value of type map[string]interface {}",
            id="a list",
        ),
        pytest.param({}, "invalid object type: /, Kind=", id="nothing"),
    ],
)
def test_what_is_no_configuration_of_the_object_is_refused(apply, config_maps, config, message):
    apply(f"{config_maps}/one", config_map("one"))

    answer = apply(f"{config_maps}/one", config)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == message


@pytest.mark.parametrize(
    ("metadata", "code", "message"),
    [
        ({"resourceVersion": "1"}, 409, 'Operation cannot be fulfilled on configmaps "one": the object has been'),
        ({"uid": "other"}, 422, 'ConfigMap "one" is invalid: metadata.uid: Invalid value: "other": field is immutable'),
    ],
)
def test_an_apply_may_be_meant_for_one_version_only(apply, config_maps, metadata, code, message):
    apply(f"{config_maps}/one", config_map("one"))

    answer = apply(f"{config_maps}/one", {**TYPE, "metadata": {"name": "one", **metadata}})

    assert answer.status_code == code
    assert answer.json()["message"].startswith(message)


def test_an_apply_to_a_known_uid_creates_nothing(apply, config_maps):
    answer = apply(f"{config_maps}/one", {**TYPE, "metadata": {"name": "one", "uid": "known"}})

    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert answer.json()["message"] == (
        'Operation cannot be fulfilled on configmaps "one": uid mismatch: the provided object specified uid known, '
        "and no existing object was found"
    )


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        pytest.param({**TYPE, "foo": 1}, ".foo: field not declared in schema", id="unknown field"),
        pytest.param({**TYPE, "data": {"a": 1}}, "", id="wrong type"),
    ],
)
def test_a_configuration_fits_its_schema(apply, config_maps, config, complaint):
    answer = apply(f"{config_maps}/one", config)

    assert (answer.status_code, answer.json().get("reason")) == (500, None)
    assert answer.json()["message"].startswith("failed to create typed patch object (/")
    assert f"/v1, Kind=ConfigMap): {complaint}" in answer.json()["message"]


def test_keys_of_a_list_come_once(apply, web):
    config = workload()
    config["spec"]["template"]["spec"]["containers"] *= 2

    answer = apply(web, config)

    assert answer.status_code == 500
    assert answer.json()["message"].endswith('.spec.template.spec.containers: duplicate entries for key [name="main"]')
