"""The forms that Prefect's UI makes of the deployments' parameters: complete, typed, and the same in all of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError, SignatureMismatchError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from deployments.declared import entries
from flows.canal_to_cilium import canal_to_cilium

ENTRYPOINTS = {entry["name"]: entry["entrypoint"] for entry in entries()}
FILLED = {
    "seed": "production",
    "seeds": ["production"],
    "cluster": "hv2c7xk9tl",
    "proxy_mode": "ebpf",
    "runbook": "canal-to-cilium",
}
"""What a person has to enter, where a form has a field of this name without a default."""
OF_ITS_OWN = {"runbook", "proxy_mode", "approval", "maintenance", "ignore_window"}
"""The parameters that mean something else in one of the flows."""


@pytest.fixture(params=ENTRYPOINTS)
def flow(request) -> Flow[..., Any]:
    return load_flow_from_entrypoint(ENTRYPOINTS[request.param])


@pytest.fixture
def schema(flow) -> dict[str, Any]:
    """The schema as the deployments have it, and so the form."""
    found: dict[str, Any] = json.loads(json.dumps(parameter_schema(flow).model_dump_for_openapi()))
    return found


def test_every_field_has_a_title_for_people_and_says_what_it_is(schema):
    for where, name, field in fields(schema):
        assert field.get("title") not in (None, "", name), where
        assert len(field.get("description", "")) > 10, where
        assert field["description"].endswith("."), where
        assert len(field["description"]) < 300, f"{where}: a form is no manual"


def test_every_field_has_a_type_that_the_form_has_a_control_for(schema):
    for where, _, field in fields(schema):
        assert field.get("format") in (None, "date", "date-time"), where
        for choice in field.get("anyOf", [field]):
            resolved = followed(schema, choice)
            assert resolved.get("type") in ("string", "integer", "number", "boolean", "array", "object", "null"), where
            if resolved["type"] == "object":
                assert resolved["properties"], f"{where} is a free mapping"
                assert resolved["additionalProperties"] is False, f"{where} takes unknown keys"
            if resolved["type"] == "array":
                assert resolved["items"], where
            if resolved["type"] in ("integer", "number"):
                assert {"minimum", "maximum"} <= set(resolved), f"{where} has no bounds"


def test_what_the_form_is_filled_with_at_first_can_be_submitted(flow, schema):
    given = {name: FILLED[name] for name in schema.get("required", ())}
    defaults = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}

    assert validate({**defaults, **given}, schema) == []
    assert flow.validate_parameters({**defaults, **given}) == flow.validate_parameters(given)


def test_a_parameter_is_the_same_field_in_every_form():
    said = defaultdict(set)
    for entrypoint in ENTRYPOINTS.values():
        for name, field in parameter_schema(load_flow_from_entrypoint(entrypoint)).properties.items():
            said[name].add((field["title"], field["description"]))

    assert {name for name, different in said.items() if len(different) > 1} <= OF_ITS_OWN


def test_what_has_to_be_entered_comes_first(schema):
    in_order = sorted(schema["properties"], key=lambda name: schema["properties"][name]["position"])

    assert set(in_order[: len(schema.get("required", ()))]) == set(schema.get("required", ()))


MISTAKES = (
    ({"cluster": " hv2c7xk9tl"}, "cluster: .*begins or ends with a space"),
    ({"cluster": "hv2c7xk9tl\n"}, "cluster: .*begins or ends with a space"),
    ({"cluster": ""}, "cluster: .*nothing was entered"),
    ({"cluster": "Shop"}, "cluster: .*'Shop' is no ID of a cluster"),
    ({"seed": "my seed"}, "seed: .*'my seed' is no name of a connection"),
    ({"proxy_mode": "eBPF"}, "proxy_mode: Input should be 'keep', 'ipvs'"),
    ({"tunnel_port": 70000}, "tunnel_port: Input should be less than or equal to 65535"),
    ({"manifest": "a b.yaml"}, "manifest: .*has a space"),
    ({"pods": {"strategie": "evict"}}, "pods.strategie: Extra inputs are not permitted"),
    ({"deadlines": {"cni": 0}}, "deadlines.cni: Input should be greater than or equal to 1"),
    ({"probes": {"egress": ["example.com:443", "example.com"]}}, "probes.egress.1: .*is no host:port"),
    ({"probes": {"image": ""}}, "probes.image: String should have at least 1 character"),
    ({"maintenance": {"windows": [{"cron": "0 22 * *", "length_minutes": 60}]}}, "windows.0: .*has 4 fields"),
    ({"maintenance": {"windows": [{"rrule": "FREQ=MONTHLY", "length_minutes": 60}]}}, "windows.0: .*DTSTART"),
    (
        {"maintenance": {"windows": [{"cron": "0 22 * * *", "timezone": "Berlin", "length_minutes": 60}]}},
        "windows.0: .*time zone 'Berlin' is unknown",
    ),
    ({"maintenance": {"windows": [{"length_minutes": 60}]}}, "windows.0: .*give exactly one of them"),
    ({"maintenance": {"excluded_dates": ["26.12.2026"]}}, "excluded_dates.0: .*valid date"),
)


@pytest.mark.parametrize(("wrong", "complaint"), MISTAKES)
def test_what_a_form_lets_through_the_flow_refuses_before_it_does_anything(wrong, complaint):
    with pytest.raises(ParameterTypeError, match=complaint):
        canal_to_cilium.validate_parameters({"seed": "production", "cluster": "hv2c7xk9tl", **wrong})


def test_an_unknown_parameter_is_named(flow):
    with pytest.raises(SignatureMismatchError, match="clustr"):
        flow.validate_parameters({**FILLED, "clustr": "hv2c7xk9tl"})


CAUGHT_BY_THE_FORM = (
    {"cluster": "Shop"},
    {"seed": ""},
    {"cilium_version": "latest"},
    {"probes": {"egress": ["example.com"]}},
    {"accept": ["kernel-to-old"]},
    {"accept": ["single-replica"]},
    {"pods": {"strategie": "evict"}},
    {"maintenance": {"windows": [{"cron": "0 22 * * *"}]}},
)


@pytest.mark.parametrize("wrong", CAUGHT_BY_THE_FORM)
def test_what_a_schema_can_say_the_form_itself_refuses(wrong):
    schema = parameter_schema(canal_to_cilium).model_dump_for_openapi()

    assert validate({"seed": "production", "cluster": "hv2c7xk9tl", **wrong}, schema)


@pytest.mark.parametrize("code", ["machine-deployment-unfinished", "verification", "mode-already-set"])
def test_every_code_whose_acceptance_changes_anything_can_be_chosen(code):
    schema = parameter_schema(canal_to_cilium).model_dump_for_openapi()

    assert validate({"seed": "production", "cluster": "hv2c7xk9tl", "accept": [code]}, schema) == []


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield where each field stands, its name and its schema. Items of a list show their own fields, and no title."""
    yield from _fields(schema, schema, "")


def _fields(root: dict[str, Any], within: dict[str, Any], where: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, field in within.get("properties", {}).items():
        yield f"{where}.{name}", name, field
        for choice in field.get("anyOf", [field]):
            resolved = followed(root, choice)
            if resolved.get("type") == "array":
                yield from _fields(root, followed(root, resolved["items"]), f"{where}.{name}[]")
            else:
                yield from _fields(root, resolved, f"{where}.{name}")


def followed(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, or that to which it refers."""
    reference = schema.get("$ref")
    return root["definitions"][reference.rpartition("/")[2]] if reference else schema
