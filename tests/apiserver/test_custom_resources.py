"""Custom resources: from a definition to its objects, their subresources, tables and versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.apiserver.custom_resources import (
    DEFINITIONS,
    INTEGER,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    STRING,
    TABLE,
    an_object,
    causes,
    conditions,
    define,
    definition,
    version,
)

SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}


COLUMNS = [
    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
    {"name": "Wanted", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1, "description": "how many"},
    {"name": "As Text", "type": "string", "jsonPath": ".spec.replicas"},
    {"name": "When", "type": "date", "jsonPath": ".spec.when"},
]
GEAR = version(
    spec=an_object(replicas=INTEGER, mode=STRING, when=STRING, list={"type": "array", "items": STRING}),
    status=an_object(phase=STRING, replicas=INTEGER, selector=STRING),
    subresources={"status": {}, "scale": SCALE},
    additionalPrinterColumns=COLUMNS,
)
# Two versions that have one field in common, and one that is not served; v1 is the stored one.
DIAL = (
    version("v1", spec=an_object(b={"type": "string", "default": "two"}, n=INTEGER)),
    version("v1alpha1", storage=False, spec=an_object(a=STRING, n=INTEGER), deprecated=True),
    version("v1beta1", storage=False) | {"served": False},
)


@pytest.fixture(scope="module")
def resources(api):
    bodies = {
        "gears": definition(GEAR, shortNames=["gr"], categories=["machinery"]),
        "plain": definition(),
        "wide": definition(scope="Cluster"),
        "dials": definition(*DIAL, kind="Dial", plural="dials"),
        "moved": definition(*DIAL, kind="Dial", plural="dials"),
    }
    return dict(zip(bodies, define(api, bodies.values()), strict=True))


@pytest.fixture
def gears(resources, namespace):
    """A resource with a status and a scale, without objects in this namespace."""
    return replace(resources["gears"], namespace=namespace)


@pytest.fixture
def plain(resources, namespace):
    """A resource without subresources and columns."""
    return replace(resources["plain"], namespace=namespace)


@pytest.fixture
def dials(resources, namespace):
    """A resource in two versions."""
    return replace(resources["dials"], namespace=namespace)


def test_a_definition_is_accepted_and_established(gears):
    held = gears.held()

    assert conditions(held) == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }
    assert held["status"]["storedVersions"] == ["v1"]
    assert held["status"]["acceptedNames"] == {
        "plural": "gears",
        "singular": "gear",
        "shortNames": ["gr"],
        "kind": "Gear",
        "listKind": "GearList",
        "categories": ["machinery"],
    }


def test_the_answer_to_a_new_definition_has_its_defaults_and_no_condition_yet(api):
    made = api.post(DEFINITIONS, json=definition()).json()

    assert made["spec"]["names"] == {"plural": "gears", "singular": "gear", "kind": "Gear", "listKind": "GearList"}
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"] == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }
    assert made["metadata"]["generation"] == 1


def test_discovery_lists_a_custom_resource_and_its_subresources(api, gears):
    listed = {entry["name"]: entry for entry in api.get(f"/apis/{gears.group}/v1").json()["resources"]}

    assert set(listed) == {"gears", "gears/status", "gears/scale"}
    gear, scale = listed["gears"], listed["gears/scale"]
    assert (gear["singularName"], gear["namespaced"], gear["kind"]) == ("gear", True, "Gear")
    assert (gear["shortNames"], gear["categories"]) == (["gr"], ["machinery"])
    assert set(gear["verbs"]) == {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


def test_discovery_lists_the_group(api, gears):
    group = api.get(f"/apis/{gears.group}").json()
    names = [entry["name"] for entry in api.get("/apis").json()["groups"]]

    assert gears.group in names
    assert group["preferredVersion"] == {"groupVersion": f"{gears.group}/v1", "version": "v1"}


def test_a_list_of_custom_resources_says_the_kind_of_each(api, gears):
    gears.created("a")

    found = api.get(gears.path()).json()

    assert (found["kind"], found["apiVersion"]) == ("GearList", f"{gears.group}/v1")
    assert [(item["kind"], item["apiVersion"]) for item in found["items"]] == [("Gear", f"{gears.group}/v1")]


def test_a_list_of_all_namespaces_has_them(api, gears):
    gears.created("a")

    found = api.get(f"/apis/{gears.group}/v1/gears").json()["items"]

    assert gears.namespace in {item["metadata"]["namespace"] for item in found}


def test_cluster_wide_resources_have_no_namespace(api, resources, namespace):
    found = resources["wide"]

    made = found.created("a")

    assert "namespace" not in made["metadata"]
    assert api.get(f"/apis/{found.group}/v1/namespaces/{namespace}/gears").status_code == 404


def test_an_object_of_another_version_is_refused(gears):
    body = gears.object("a") | {"apiVersion": f"{gears.group}/v2"}

    answer = gears.api.post(gears.path(), json=body)

    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert answer.json()["message"] == (
        f"the API version in the data ({gears.group}/v2) does not match the expected API version ({gears.group}/v1)"
    )


# --- status, generation and patches ---


def test_the_status_is_dropped_when_an_object_is_created(gears):
    made = gears.created("a", spec={"replicas": 1}, status={"phase": "up"})

    assert "status" not in made
    assert made["metadata"]["generation"] == 1


def test_the_status_subresource_changes_the_status_alone(api, gears):
    gears.created("a", spec={"replicas": 1})
    change = {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 9}, "status": {"phase": "up"}}

    changed = api.patch(gears.path("a/status"), json=change, headers=MERGE).json()

    assert (changed["spec"], changed["status"]) == ({"replicas": 1}, {"phase": "up"})
    assert "labels" not in changed["metadata"]
    assert changed["metadata"]["generation"] == 1


def test_the_resource_itself_leaves_the_status_alone(api, gears):
    gears.created("a")
    api.patch(gears.path("a/status"), json={"status": {"phase": "up"}}, headers=MERGE)

    changed = gears.patch("a", {"spec": {"replicas": 2}, "status": {"phase": "down"}}).json()

    assert changed["status"] == {"phase": "up"}
    assert changed["metadata"]["generation"] == 2


def test_labels_do_not_count_as_a_generation(gears):
    gears.created("a", spec={"replicas": 1})

    assert gears.patch("a", {"metadata": {"labels": {"a": "b"}}}).json()["metadata"]["generation"] == 1


def test_without_a_status_subresource_the_status_is_content(api, plain):
    made = plain.created("a", status={"phase": "up"})
    changed = plain.patch("a", {"status": {"phase": "down"}}).json()

    assert made["status"] == {"phase": "up"}
    assert (changed["status"], changed["metadata"]["generation"]) == ({"phase": "down"}, 2)
    assert api.get(plain.path("a/status")).status_code == 404


def test_a_wrong_status_is_refused_by_its_own_path(api, gears):
    gears.created("a")

    answer = api.patch(gears.path("a/status"), json={"status": {"phase": 3}}, headers=MERGE)

    complaint = 'Invalid value: "integer": phase in body must be of type string: "integer"'
    assert causes(answer) == [("status.phase", "FieldValueTypeInvalid", complaint)]


def test_a_strategic_merge_patch_is_refused(gears):
    gears.created("a")

    answer = gears.patch("a", {"spec": {}}, STRATEGIC)

    assert (answer.status_code, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    assert answer.json()["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


def test_a_merge_patch_replaces_lists_and_removes_with_null(gears):
    gears.created("a", spec={"list": ["1", "2"], "mode": "x"})

    assert gears.patch("a", {"spec": {"list": ["3"], "mode": None}}).json()["spec"] == {"list": ["3"]}


def test_a_json_patch_is_taken(gears):
    gears.created("a", spec={"replicas": 1})

    changed = gears.patch("a", [{"op": "replace", "path": "/spec/replicas", "value": 5}], JSON_PATCH)

    assert changed.json()["spec"]["replicas"] == 5


def test_a_replacement_has_to_say_what_it_replaces(api, gears):
    made = gears.created("a")
    del made["metadata"]["resourceVersion"]

    answer = api.put(gears.path("a"), json=made)

    rule = "Invalid value: 0: must be specified for an update"
    assert causes(answer) == [("metadata.resourceVersion", "FieldValueInvalid", rule)]
    assert answer.json()["message"].startswith(f'gears.{gears.group} "a" is invalid: ')


# --- scale ---


def test_a_scale_shows_what_its_paths_lead_to(api, gears):
    made = gears.created("a", spec={"replicas": 2})
    status = {"replicas": 1, "selector": "app=a"}
    api.patch(gears.path("a/status"), json={"status": status}, headers=MERGE)

    scale = api.get(gears.path("a/scale")).json()

    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, status)
    assert scale["metadata"]["uid"] == made["metadata"]["uid"]


def test_scaling_changes_the_object_and_its_generation(api, gears):
    gears.created("a", spec={"replicas": 2})

    scaled = api.patch(gears.path("a/scale"), json={"spec": {"replicas": 7}}, headers=MERGE).json()
    found = api.get(gears.path("a")).json()

    assert scaled["spec"] == {"replicas": 7}
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (7, 2)


def test_a_stale_scale_conflicts(api, gears):
    gears.created("a", spec={"replicas": 2})
    scale = api.get(gears.path("a/scale")).json()
    scale["spec"]["replicas"] = 3
    assert api.put(gears.path("a/scale"), json=scale).status_code == 200

    assert api.put(gears.path("a/scale"), json=scale).status_code == 409


@pytest.mark.parametrize("subresource", ["", "/scale"])
def test_a_negative_number_of_replicas_is_refused(api, gears, subresource):
    gears.created("a", spec={"replicas": 2})

    answer = api.patch(gears.path(f"a{subresource}"), json={"spec": {"replicas": -1}}, headers=MERGE)

    rule = "Invalid value: -1: should be a non-negative integer"
    assert causes(answer) == [(".spec.replicas", "FieldValueInvalid", rule)]


def test_without_replicas_there_is_no_scale_until_one_is_set(api, gears):
    gears.created("a")

    refused = api.get(gears.path("a/scale"))
    scaled = api.patch(gears.path("a/scale"), json={"spec": {"replicas": 1}}, headers=MERGE)

    assert (refused.status_code, refused.json()["reason"]) == (500, "InternalError")
    assert refused.json()["message"] == (
        'Internal error occurred: the spec replicas field ".spec.replicas" does not exist'
    )
    assert (scaled.status_code, scaled.json()["spec"]) == (200, {"replicas": 1})


# --- tables ---


def test_a_table_has_the_definition_s_columns(api, gears):
    gears.created("a", spec={"mode": "fast", "replicas": 2})
    gears.created("b")

    table = api.get(gears.path(), headers=TABLE).json()

    columns = [(column["name"], column["type"], column["priority"]) for column in table["columnDefinitions"]]
    assert columns == [
        ("Name", "string", 0),
        ("Mode", "string", 0),
        ("Wanted", "integer", 1),
        ("As Text", "string", 0),
        ("When", "date", 0),
    ]
    described = [column["description"] for column in table["columnDefinitions"][1:3]]
    assert described == ["Custom resource definition column (in JSONPath format): .spec.mode", "how many"]
    assert [row["cells"] for row in table["rows"]] == [["a", "fast", 2, "2", None], ["b", None, None, None, None]]


def test_a_date_column_shows_how_long_ago(api, gears):
    gears.created("a", spec={"when": "2020-01-01T00:00:00Z"})

    cell = api.get(gears.path(), headers=TABLE).json()["rows"][0]["cells"][4]

    assert cell[1] == "y"


def test_without_columns_a_table_has_name_and_age(api, plain):
    plain.created("a")

    table = api.get(plain.path(), headers=TABLE).json()

    assert [(c["name"], c["type"]) for c in table["columnDefinitions"]] == [("Name", "string"), ("Age", "date")]
    assert table["rows"][0]["cells"][0] == "a"


# --- versions ---


def test_versions_are_told_in_the_order_of_their_maturity(api, dials):
    group = api.get(f"/apis/{dials.group}").json()

    assert [item["version"] for item in group["versions"]] == ["v1", "v1alpha1"]
    assert group["preferredVersion"]["version"] == "v1"


def test_a_version_that_is_not_served_is_not_found(api, dials):
    assert api.get(dials.path(version="v1beta1")).status_code == 404
    assert api.get(f"/apis/{dials.group}/v1beta1").status_code == 404


def test_an_object_is_seen_in_every_version_with_the_fields_of_each(api, dials):
    dials.created("x", spec={"b": "q", "n": 1})

    one, other = (api.get(dials.path("x", version=name)).json() for name in ("v1", "v1alpha1"))

    assert (one["apiVersion"], one["spec"]) == (f"{dials.group}/v1", {"b": "q", "n": 1})
    assert (other["apiVersion"], other["spec"]) == (f"{dials.group}/v1alpha1", {"n": 1})
    assert one["metadata"]["uid"] == other["metadata"]["uid"]


def test_what_another_version_brings_is_stored_in_the_stored_one(api, dials):
    made = dials.created("x", version="v1alpha1", spec={"a": "lost", "n": 1})

    assert (made["apiVersion"], made["spec"]) == (f"{dials.group}/v1alpha1", {"n": 1})
    assert api.get(dials.path("x")).json()["spec"] == {"b": "two", "n": 1}


def test_a_list_and_a_watch_speak_the_version_asked_for(api, dials, watch):
    dials.created("x", spec={"n": 1})
    path = dials.path(version="v1alpha1")

    listed = api.get(path).json()
    with watch(path, timeoutSeconds=1) as events:
        kind, seen = events.next()

    assert listed["apiVersion"] == f"{dials.group}/v1alpha1"
    assert [item["apiVersion"] for item in listed["items"]] == [f"{dials.group}/v1alpha1"]
    assert (kind, seen["apiVersion"], seen["spec"]) == ("ADDED", f"{dials.group}/v1alpha1", {"n": 1})


def test_a_patch_in_another_version_keeps_what_both_have(api, dials):
    dials.created("x", spec={"b": "q", "n": 1})

    changed = api.patch(dials.path("x", version="v1alpha1"), json={"spec": {"n": 2}}, headers=MERGE).json()

    assert changed["spec"] == {"n": 2}
    assert changed["metadata"]["generation"] == 2
    # The fields that the other version lacks are lost, and come back as defaults.
    assert api.get(dials.path("x")).json()["spec"] == {"b": "two", "n": 2}


def test_a_deprecated_version_warns(api, dials):
    answer = api.get(dials.path(version="v1alpha1"))

    group = dials.group
    assert answer.headers["warning"] == f'299 - "{group}/v1alpha1 Dial is deprecated; use {group}/v1 Dial"'


def test_a_new_stored_version_is_remembered_beside_the_old(api, resources, namespace):
    dials = replace(resources["moved"], namespace=namespace)
    dials.created("x", spec={"n": 1})
    held = dials.held()
    for item in held["spec"]["versions"]:
        item["storage"] = item["name"] == "v1alpha1"

    changed = api.put(dials.own_path, json=held)

    assert (changed.status_code, changed.json()["status"]["storedVersions"]) == (200, ["v1", "v1alpha1"])
    assert api.get(dials.path("x", version="v1alpha1")).json()["spec"] == {"n": 1}


def test_a_stored_version_may_not_go(api, dials):
    held = dials.held()
    held["spec"]["versions"] = [{**held["spec"]["versions"][1], "storage": True}]

    answer = api.put(dials.own_path, json=held)

    ((field, reason, message),) = causes(answer)
    assert (field, reason) == ("status.storedVersions[0]", "FieldValueInvalid")
    assert message.startswith('Invalid value: "v1": missing from spec.versions; v1 was previously a storage version')
