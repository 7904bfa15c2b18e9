"""CustomResourceDefinitions themselves: what is refused, what may change, and how they go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.apiserver.custom_resources import (
    DEFINITIONS,
    MERGE,
    STRING,
    an_object,
    causes,
    conditions,
    define,
    definition,
    version,
)
from tests.running_lab import eventually

SPARE = 13
"""How many of the tests need a definition of their own."""


@pytest.fixture(scope="module")
def spare(api):
    """Definitions that nobody has used yet, and the one that goes while the tests run."""
    *found, going = define(api, [definition(shortNames=["one"]) for _ in range(SPARE)])
    hold(going)
    api.delete(going.own_path)
    eventually(lambda: "deletionTimestamp" in api.get(going.path("held")).json()["metadata"], what="the object's end")
    assert going.patch("held", {"metadata": {"finalizers": None}}).status_code == 200
    return {"unused": found, "going": going}


@pytest.fixture
def found(spare, namespace):
    """A resource whose definition the test has for itself."""
    return replace(spare["unused"].pop(), namespace=namespace)


def hold(found):
    """Create an object that stays when it is deleted."""
    found.created("held")
    assert found.patch("held", {"metadata": {"finalizers": ["lab.example.com/hold"]}}).status_code == 200


SCHEMA = "spec.validation.openAPIV3Schema"
"""How a server names the schema that all versions have alike."""


def of(schema):
    """Return a definition whose objects have a field of this schema."""
    return definition(version(schema=an_object(a=schema)))


REQUIRED, REFUSED, FORBIDDEN = "FieldValueRequired", "FieldValueInvalid", "FieldValueForbidden"
UNSUPPORTED = "FieldValueNotSupported"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {}}, (".type", REQUIRED, "Required value: must not be empty for specified object fields")),
        (
            {"type": "int"},
            (
                ".type",
                UNSUPPORTED,
                'Unsupported value: "int": supported values: "array", "boolean", "integer", "number", "object", "string"',
            ),
        ),
        ({"type": "array"}, (".items", REQUIRED, "Required value: must be specified")),
        (
            {"type": "array", "items": {}},
            (".items.type", REQUIRED, "Required value: must not be empty for specified array items"),
        ),
        (
            {**an_object(b=STRING), "additionalProperties": STRING},
            (".additionalProperties", FORBIDDEN, "Forbidden: additionalProperties and properties are mutual exclusive"),
        ),
        (
            {"type": "object", "oneOf": [{"type": "object"}]},
            (".oneOf[0].type", FORBIDDEN, "Forbidden: must be empty to be structural"),
        ),
        (
            {"type": "object", "not": {"default": {}}},
            (".not.default", FORBIDDEN, "Forbidden: must be undefined to be structural"),
        ),
        (
            {"type": "integer", "default": "x"},
            (
                ".default",
                "FieldValueTypeInvalid",
                'Invalid value: "string":  in body must be of type integer: "string"',
            ),
        ),
        (
            {"type": "object", "default": {"b": 1}},
            (".default", REFUSED, 'Invalid value: {"b":1}: must not have unknown fields'),
        ),
        (
            {"type": "array", "items": STRING, "uniqueItems": True},
            (
                ".uniqueItems",
                FORBIDDEN,
                "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ),
        ),
    ],
)
def test_a_schema_that_is_not_structural_is_refused(api, schema, expected):
    field, reason, message = expected

    assert causes(api.post(DEFINITIONS, json=of(schema))) == [(f"{SCHEMA}.properties[a]{field}", reason, message)]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {}}, (".type", REQUIRED, "Required value: must not be empty at the root")),
        ({"type": "string"}, (".type", REFUSED, 'Invalid value: "string": must be object at the root')),
        (
            {"type": "object", "additionalProperties": STRING},
            (".additionalProperties", FORBIDDEN, "Forbidden: must not be used at the root"),
        ),
        (
            an_object(metadata=an_object(labels={"type": "object"})),
            (
                ".properties[metadata]",
                FORBIDDEN,
                "Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ),
        ),
    ],
)
def test_the_root_of_a_schema_is_an_object_with_its_own_metadata(api, schema, expected):
    field, reason, message = expected

    assert causes(api.post(DEFINITIONS, json=definition(version(schema=schema)))) == [(SCHEMA + field, reason, message)]


def test_a_malformed_pattern_is_refused(api):
    ((field, reason, message),) = causes(api.post(DEFINITIONS, json=of({"type": "string", "pattern": "("})))

    assert (field, reason) == (f"{SCHEMA}.properties[a].pattern", REFUSED)
    assert message.startswith('Invalid value: "(": must be a valid regular expression, but isn\'t: ')


LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"scope": "Everywhere"},
            ("spec.scope", UNSUPPORTED, 'Unsupported value: "Everywhere": supported values: "Cluster", "Namespaced"'),
        ),
        ({"scope": None}, ("spec.scope", REQUIRED, "Required value")),
        (
            {"preserveUnknownFields": True},
            (
                "spec.preserveUnknownFields",
                REFUSED,
                "Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            ),
        ),
        (
            {"conversion": {"strategy": "X"}},
            ("spec.conversion.strategy", UNSUPPORTED, 'Unsupported value: "X": supported values: "None", "Webhook"'),
        ),
        (
            {"versions": [{"name": "v1", "served": True, "storage": True}]},
            ("spec.versions[0].schema.openAPIV3Schema", REQUIRED, "Required value"),
        ),
        (
            {"names": {"plural": "gears", "kind": "Gear", "shortNames": ["A_b"]}},
            ("spec.names.shortNames[0]", REFUSED, f'Invalid value: "A_b": {LABEL}'),
        ),
        (
            {"names": {"plural": "gears", "kind": "Gear", "listKind": "Gear"}},
            ("spec.names.listKind", REFUSED, 'Invalid value: "Gear": kind and listKind may not be the same'),
        ),
        (
            {
                "versions": [
                    version(subresources={"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.y"}})
                ]
            },
            (
                "spec.subresources.scale.specReplicasPath",
                REFUSED,
                'Invalid value: ".x": should be a json path under .spec',
            ),
        ),
        (
            {"versions": [version(additionalPrinterColumns=[{"name": "A", "type": "x", "jsonPath": ".a"}])]},
            (
                "spec.additionalPrinterColumns[0].type",
                REFUSED,
                'Invalid value: "x": must be one of boolean,date,integer,number,string',
            ),
        ),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(api, change, expected):
    body = definition()
    body["spec"] |= change

    assert causes(api.post(DEFINITIONS, json=body)) == [expected]


def test_a_definition_has_the_name_of_what_it_defines(api):
    body = definition()
    body["metadata"]["name"] = "other.lab.example.com"

    rule = 'Invalid value: "other.lab.example.com": must be spec.names.plural+"."+spec.group'
    assert causes(api.post(DEFINITIONS, json=body)) == [("metadata.name", REFUSED, rule)]


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        ((False, False), "must have exactly one version marked as storage version"),
        ((True, True), "must have exactly one version"),
    ],
)
def test_one_version_is_the_stored_one(api, stored, complaint):
    versions = [version(f"v{i + 1}", storage=storage) for i, storage in enumerate(stored)]

    found = {field: message for field, _, message in causes(api.post(DEFINITIONS, json=definition(*versions)))}

    assert set(found) == {"spec.versions", "status.storedVersions"}
    assert complaint in found["spec.versions"]


def test_a_group_of_kubernetes_needs_an_approval(api):
    body = definition()
    body["spec"]["group"] = "lab.k8s.io"
    body["metadata"]["name"] = "gears.lab.k8s.io"
    field = "metadata.annotations[api-approved.kubernetes.io]"

    ((missing, reason, _),) = causes(api.post(DEFINITIONS, json=body))
    body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "because"}
    ((malformed, other, _),) = causes(api.post(DEFINITIONS, json=body))
    body["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}

    assert (missing, reason, malformed, other) == (field, REQUIRED, field, REFUSED)
    assert api.post(DEFINITIONS, json=body, params={"dryRun": "All"}).status_code == 201


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"scope": "Cluster"}, "spec.scope", "Cluster"),
        ({"names": {"kind": "Other"}}, "spec.names.kind", "Other"),
    ],
)
def test_what_names_the_objects_may_not_change(api, found, change, field, value):
    answer = found.change_definition({"spec": change})

    assert causes(answer) == [(field, REFUSED, f'Invalid value: "{value}": field is immutable')]


def test_short_names_may_change(api, found):
    found.change_definition({"spec": {"names": {"shortNames": ["two"]}}})

    def told():
        resources = api.get(f"/apis/{found.group}/v1").json()["resources"]
        return resources[0].get("shortNames") == ["two"]

    eventually(told, what="the new short name")
    assert found.held()["status"]["acceptedNames"]["shortNames"] == ["two"]


def test_a_kind_that_is_taken_is_not_accepted(api, found):
    body = definition(plural="wheels")
    body["spec"]["group"], body["metadata"]["name"] = found.group, f"wheels.{found.group}"
    path = f"{DEFINITIONS}/wheels.{found.group}"

    assert api.post(DEFINITIONS, json=body).status_code == 201
    waiting = eventually(lambda: conditions(api.get(path).json()), what="its conditions")

    assert waiting["NamesAccepted"] == ("False", "ListKindConflict", '"GearList" is already in use')
    assert waiting["Established"] == ("False", "NotAccepted", "not all names are accepted")
    assert api.get(f"/apis/{found.group}/v1/wheels").status_code == 404


# --- deletion ---


def test_a_deleted_definition_has_a_finalizer_until_its_objects_are_gone(api, found):
    hold(found)

    answer = api.delete(found.own_path)

    assert answer.status_code == 200
    assert answer.json()["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert "deletionTimestamp" in answer.json()["metadata"]
    assert conditions(answer.json())["Terminating"] == (
        "True",
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    )
    in_progress = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
    eventually(lambda: conditions(found.held()).get("Terminating") == in_progress, what="the deletion")
    eventually(lambda: "deletionTimestamp" in api.get(found.path("held")).json()["metadata"], what="the object's end")


def test_nothing_is_created_while_a_definition_ends(api, found):
    hold(found)
    api.delete(found.own_path)

    def refused():
        answer = found.create("late")
        return answer if answer.status_code == 403 else None

    answer = eventually(refused, what="the refusal")

    why = "create not allowed while custom resource definition is terminating"
    assert answer.json()["message"] == f'gears.{found.group} "late" is forbidden: {why}'
    assert answer.json()["details"] == {"name": "late", "group": found.group, "kind": "gears"}


def test_a_deleted_definition_takes_its_objects_and_its_discovery_along(api, found, watch):
    made = found.created("x")
    with watch(found.path(), resourceVersion=made["metadata"]["resourceVersion"]) as events:
        api.delete(found.own_path)
        kind, last = events.next()

    assert (kind, last["metadata"]["name"]) == ("DELETED", "x")
    eventually(lambda: api.get(found.own_path).status_code == 404, what="the definition's end")
    eventually(lambda: api.get(found.path()).status_code == 404, what="the resource's end")
    eventually(lambda: api.get(f"/apis/{found.group}").status_code == 404, what="the group's end")
    assert found.group not in api.get("/apis").text


def test_a_definition_that_was_deleted_can_be_created_anew_and_is_empty(api, found):
    found.created("x")
    api.delete(found.own_path)
    eventually(lambda: api.get(found.own_path).status_code == 404, what="the definition's end")

    (again,) = define(api, [found.body])

    assert api.get(again.path()).json()["items"] == []


def test_a_definition_is_not_created_twice(api, found):
    answer = api.post(DEFINITIONS, json=found.body)

    assert (answer.status_code, answer.json()["reason"]) == (409, "AlreadyExists")


def test_a_version_that_is_served_no_more_is_gone(api, found):
    held = found.held()
    held["spec"]["versions"][0]["served"] = False

    assert api.put(found.own_path, json=held).status_code == 200

    eventually(lambda: api.get(found.path()).status_code == 404, what="the version's end")
    assert conditions(found.held())["Established"][0] == "True"


def test_a_definition_s_status_is_left_alone_by_writes_of_its_spec(api, found):
    changed = api.patch(found.own_path, json={"status": {"storedVersions": []}}, headers=MERGE).json()

    assert changed["status"]["storedVersions"] == ["v1"]


def test_a_definition_goes_with_the_last_finalizer_of_its_objects(api, spare):
    # Begun before the other tests: a server looks every 5 seconds whether all objects are gone.
    eventually(lambda: api.get(spare["going"].own_path).status_code == 404, what="the definition's end")

    assert api.get(spare["going"].path("held")).status_code == 404
