"""What a structural schema does to objects: it refuses, drops and fills in."""

from __future__ import annotations

import pytest

from tests.apiserver.custom_resources import (
    INTEGER,
    STRING,
    an_object,
    causes,
    define,
    definition,
    version,
)
from tests.running_lab import eventually

EITHER = {"properties": {"a": STRING, "b": STRING}, "type": "object"}
SPEC = {
    **an_object(
        size={"type": "integer", "minimum": 1, "maximum": 9},
        above={"type": "integer", "minimum": 3, "exclusiveMinimum": True},
        ratio={"type": "number", "multipleOf": 0.5},
        mode={"type": "string", "enum": ["ipvs", "ebpf"], "default": "ipvs"},
        level={"type": "integer", "enum": [1, 2]},
        code={"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
        ports={"type": "array", "minItems": 1, "maxItems": 2, "items": INTEGER},
        flags={"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "boolean"}},
        when={"type": "string", "format": "date-time"},
        cidr={"type": "string", "format": "cidr"},
        ip={"type": "string", "format": "ipv4"},
        bytes={"type": "string", "format": "byte"},
        uid={"type": "string", "format": "uuid"},
        lasts={"type": "string", "format": "duration"},
        one={**EITHER, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        any={**EITHER, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        all={**EITHER, "allOf": [{"required": ["a"]}, {"properties": {"a": {"minLength": 2}}}]},
        never={"type": "string", "not": {"enum": ["x"]}},
        port={"x-kubernetes-int-or-string": True},
        may={"type": "string", "nullable": True},
        fallback={"type": "string", "default": "e"},
        nested={"type": "object", "default": {}, "properties": {"deep": {"type": "integer", "default": 3}}},
        free={
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"known": an_object(a=STRING)},
        },
        set={"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
        list={
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"required": ["name"], **an_object(name=STRING, v={"type": "integer", "default": 7})},
        },
    ),
    "required": ["size"],
}
FILLED_IN = {"mode": "ipvs", "fallback": "e", "nested": {"deep": 3}}


@pytest.fixture(scope="module")
def resources(api):
    bodies = {
        "probes": definition(version(spec=SPEC, subresources={"status": {}}), kind="Probe", plural="probes"),
        "narrowed": definition(version(spec=an_object(mode=STRING, size=INTEGER))),
        "free": definition(version(schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True})),
        "empty": definition(version(schema={"type": "object"})),
    }
    return dict(zip(bodies, define(api, bodies.values()), strict=True))


@pytest.fixture(scope="module")
def probes(resources):
    """A resource with a schema that has something of everything."""
    return resources["probes"]


WRONG_TYPE = "FieldValueTypeInvalid"
REFUSED = "FieldValueInvalid"


@pytest.mark.parametrize(
    ("spec", "field", "reason", "message"),
    [
        ({"size": None}, "size", "FieldValueRequired", "Required value"),
        (
            {"size": "2"},
            "size",
            WRONG_TYPE,
            'Invalid value: "string": spec.size in body must be of type integer: "string"',
        ),
        (
            {"size": 2.5},
            "size",
            WRONG_TYPE,
            'Invalid value: "number": spec.size in body must be of type integer: "number"',
        ),
        (
            {"size": True},
            "size",
            WRONG_TYPE,
            'Invalid value: "boolean": spec.size in body must be of type integer: "boolean"',
        ),
        (
            {"size": []},
            "size",
            WRONG_TYPE,
            'Invalid value: "array": spec.size in body must be of type integer: "array"',
        ),
        ({"size": 0}, "size", REFUSED, "Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": 10}, "size", REFUSED, "Invalid value: 10: spec.size in body should be less than or equal to 9"),
        ({"above": 3}, "above", REFUSED, "Invalid value: 3: spec.above in body should be greater than 3"),
        ({"ratio": 0.3}, "ratio", REFUSED, "Invalid value: 0.3: spec.ratio in body should be a multiple of 0.5"),
        ({"mode": "x"}, "mode", "FieldValueNotSupported", 'Unsupported value: "x": supported values: "ipvs", "ebpf"'),
        ({"mode": ""}, "mode", "FieldValueNotSupported", 'Unsupported value: "": supported values: "ipvs", "ebpf"'),
        ({"level": 3}, "level", "FieldValueNotSupported", 'Unsupported value: 3: supported values: "1", "2"'),
        ({"code": "a"}, "code", REFUSED, 'Invalid value: "a": spec.code in body should be at least 2 chars long'),
        ({"code": "abcde"}, "code", "FieldValueTooLong", "Too long: may not be more than 4 bytes"),
        ({"code": "A1"}, "code", REFUSED, "Invalid value: \"A1\": spec.code in body should match '^[a-z]+$'"),
        ({"ports": []}, "ports", REFUSED, "Invalid value: 0: spec.ports in body should have at least 1 items"),
        ({"ports": [1, 2, 3]}, "ports", "FieldValueTooMany", "Too many: 3: must have at most 2 items"),
        (
            {"ports": "x"},
            "ports",
            WRONG_TYPE,
            'Invalid value: "string": spec.ports in body must be of type array: "string"',
        ),
        (
            {"ports": ["x"]},
            "ports[0]",
            WRONG_TYPE,
            'Invalid value: "string": spec.ports[0] in body must be of type integer: "string"',
        ),
        (
            {"ports": [None]},
            "ports[0]",
            WRONG_TYPE,
            'Invalid value: "null": spec.ports[0] in body must be of type integer: "null"',
        ),
        ({"flags": {}}, "flags", REFUSED, "Invalid value: 0: spec.flags in body should have at least 1 properties"),
        ({"flags": {"a": True, "b": True}}, "flags", "FieldValueTooMany", "Too many: 2: must have at most 1 item"),
        (
            {"flags": {"a": "x"}},
            "flags.a",
            WRONG_TYPE,
            'Invalid value: "string": spec.flags.a in body must be of type boolean: "string"',
        ),
        ({"when": "x"}, "when", WRONG_TYPE, 'Invalid value: "x": spec.when in body must be of type date-time: "x"'),
        (
            {"cidr": "10.0.0.0"},
            "cidr",
            WRONG_TYPE,
            'Invalid value: "10.0.0.0": spec.cidr in body must be of type cidr: "10.0.0.0"',
        ),
        ({"ip": "x"}, "ip", WRONG_TYPE, 'Invalid value: "x": spec.ip in body must be of type ipv4: "x"'),
        ({"bytes": "*"}, "bytes", WRONG_TYPE, 'Invalid value: "*": spec.bytes in body must be of type byte: "*"'),
        ({"uid": "x"}, "uid", WRONG_TYPE, 'Invalid value: "x": spec.uid in body must be of type uuid: "x"'),
        ({"lasts": "x"}, "lasts", WRONG_TYPE, 'Invalid value: "x": spec.lasts in body must be of type duration: "x"'),
        (
            {"port": 1.5},
            "port",
            WRONG_TYPE,
            'Invalid value: "number": spec.port in body must be of type integer,string: "number"',
        ),
        ({"set": ["a", "a"]}, "set[1]", "FieldValueDuplicate", 'Duplicate value: "a"'),
        ({"list": [{"name": "a"}, {"name": "a"}]}, "list[1]", "FieldValueDuplicate", 'Duplicate value: {"name":"a"}'),
        ({"list": [{}]}, "list[0].name", "FieldValueRequired", "Required value"),
    ],
)
def test_the_schema_refuses(probes, spec, field, reason, message):
    answer = probes.create("refused", spec={"size": 1, **spec})

    assert causes(answer) == [(f"spec.{field}", reason, message)]
    assert answer.json()["message"] == f'Probe.{probes.group} "refused" is invalid: spec.{field}: {message}'
    details = answer.json()["details"]
    assert (details["name"], details["group"], details["kind"]) == ("refused", probes.group, "Probe")


@pytest.mark.parametrize(
    ("spec", "complaints"),
    [
        ({"one": {}}, ["validate one and only one schema (oneOf). Found none valid", "spec.one.a: Required value"]),
        ({"one": {"a": "", "b": ""}}, ["validate one and only one schema (oneOf). Found 2 valid alternatives"]),
        ({"any": {}}, ["validate at least one schema (anyOf)", "spec.any.a: Required value"]),
        ({"all": {}}, ["spec.all.a: Required value", "validate all the schemas (allOf)"]),
        (
            {"all": {"a": "1"}},
            ["spec.all.a in body should be at least 2 chars long", "validate all the schemas (allOf)"],
        ),
        ({"never": "x"}, ["must not validate the schema (not)"]),
    ],
)
def test_combined_schemas_refuse_without_a_field_of_their_own(probes, spec, complaints):
    answer = probes.create("refused", spec={"size": 1, **spec})

    assert "<nil>" in {field for field, _, _ in causes(answer)}
    assert len(causes(answer)) == len(complaints)
    assert [text for text in complaints if text not in answer.json()["message"]] == []


def test_a_value_of_another_type_that_is_none_of_the_enumeration_is_refused_twice(probes):
    assert causes(probes.create("refused", spec={"size": 1, "mode": 3})) == [
        ("spec.mode", "FieldValueNotSupported", 'Unsupported value: 3: supported values: "ipvs", "ebpf"'),
        ("spec.mode", WRONG_TYPE, 'Invalid value: "integer": spec.mode in body must be of type string: "integer"'),
    ]


def test_everything_that_is_wrong_is_told_at_once(probes):
    answer = probes.create("refused", spec={"size": 0, "mode": "x", "code": "A"})

    assert [field for field, _, _ in causes(answer)] == ["spec.code", "spec.mode", "spec.size"]
    assert answer.json()["message"].startswith(f'Probe.{probes.group} "refused" is invalid: [')


def test_a_spec_that_is_no_object_is_refused(probes):
    complaint = 'Invalid value: "string": spec in body must be of type object: "string"'
    assert causes(probes.create("refused", spec="x")) == [("spec", WRONG_TYPE, complaint)]


@pytest.mark.parametrize(
    ("spec", "added"),
    [
        ({}, {}),
        ({"mode": "ebpf", "nested": {"deep": 9}}, {"mode": "ebpf", "nested": {"deep": 9}}),
        ({"mode": None, "nested": None}, {}),
        ({"nested": {"deep": None}}, {}),
        ({"may": None, "fallback": None}, {"may": None}),
        ({"code": None, "list": None, "one": None}, {}),
        ({"list": [{"name": "q"}, {"name": "r", "v": None}]}, {"list": [{"name": "q", "v": 7}, {"name": "r", "v": 7}]}),
        ({"unknown": 1, "nested": {"deep": 4, "gone": 1}}, {"nested": {"deep": 4}}),
        ({"free": {"x": {"y": 1}, "known": {"a": "1", "b": 2}}}, {"free": {"x": {"y": 1}, "known": {"a": "1"}}}),
        ({"free": {"x": None, "known": None}}, {"free": {"x": None}}),
        ({"list": [{"name": "q", "x": 1}]}, {"list": [{"name": "q", "v": 7}]}),
        ({"flags": {"anything": True}}, {"flags": {"anything": True}}),
        ({"port": "http"}, {"port": "http"}),
        ({"port": 80}, {"port": 80}),
        ({"when": "2026-08-21T10:00:00Z", "cidr": "10.0.0.0/8", "lasts": "1h30m"}, None),
    ],
)
def test_an_object_comes_out_with_defaults_and_without_unknown_fields_and_nulls(probes, spec, added):
    body = probes.object("x", spec={"size": 1, **spec}) | {"metadata": {"generateName": "x-"}}
    answer = probes.api.post(probes.path(), json=body)

    assert answer.status_code == 201, answer.text
    made = answer.json()["spec"]
    assert made == {"size": 1, **FILLED_IN, **(spec if added is None else added)}
    assert probes.api.get(probes.path(answer.json()["metadata"]["name"])).json()["spec"] == made


def test_unknown_fields_beside_spec_and_status_are_dropped_too(probes):
    made = probes.created("beside", spec={"size": 1}, extra=1)

    assert "extra" not in made


def test_a_patch_that_breaks_the_schema_changes_nothing(probes):
    probes.created("kept", spec={"size": 1})

    refused = probes.patch("kept", {"spec": {"size": 99}})

    assert causes(refused)[0][0] == "spec.size"
    assert probes.api.get(probes.path("kept")).json()["spec"]["size"] == 1


def test_a_default_comes_back_when_its_field_is_removed(probes):
    probes.created("back", spec={"size": 1, "mode": "ebpf"})

    assert probes.patch("back", {"spec": {"mode": None}}).json()["spec"]["mode"] == "ipvs"


def test_nothing_changes_when_a_patch_removes_a_default(probes):
    made = probes.created("same", spec={"size": 1})

    changed = probes.patch("same", {"spec": {"mode": None}}).json()

    assert changed["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_what_was_wrong_before_may_stay_but_not_become_wrong_anew(api, resources):
    found = resources["narrowed"]
    found.created("x", spec={"mode": "old", "size": 1})
    held = found.held()
    held["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["mode"]["enum"] = [
        "new"
    ]
    assert api.put(found.own_path, json=held).status_code == 200

    def refused():
        return causes(answer) if (answer := found.create("y", spec={"mode": "old"})).status_code == 422 else None

    assert eventually(refused, what="the new schema")[0][0] == "spec.mode"
    assert found.patch("x", {"spec": {"size": 2}}).status_code == 200
    assert found.patch("x", {"spec": {"mode": "other"}}).status_code == 422


def test_a_schema_that_preserves_everything_keeps_everything(resources):
    found = resources["free"]

    made = found.created("x", spec={"a": {"b": [1, None]}}, whatever=[{"c": None}])

    assert (made["spec"], made["whatever"]) == ({"a": {"b": [1, None]}}, [{"c": None}])


def test_a_schema_without_fields_drops_everything(resources):
    found = resources["empty"]

    made = found.created("x", spec={"a": 1})

    assert set(made) == {"apiVersion", "kind", "metadata"}
