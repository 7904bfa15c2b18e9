"""What kubectl shows of custom resources, by the columns of their definition."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver.rows import SPACE, TABLE, shown
from tests.running_lab import eventually

COLUMNS: list[dict[str, Any]] = [
    {"name": "Text", "type": "string", "jsonPath": ".spec.text"},
    {"name": "Count", "type": "integer", "jsonPath": ".spec.count", "priority": 1},
    {"name": "Share", "type": "number", "jsonPath": ".spec.share"},
    {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
    {"name": "Since", "type": "date", "jsonPath": ".spec.since"},
    {"name": "Ready", "type": "string", "jsonPath": '.spec.conditions[?(@.type=="Ready")].status'},
    {"name": "First", "type": "string", "jsonPath": ".spec.conditions[0].type", "description": "of all"},
    {"name": "All", "type": "string", "jsonPath": ".spec.conditions[*].type"},
    {"name": "Number as text", "type": "string", "jsonPath": ".spec.count"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


@pytest.fixture(scope="module")
def space(api):
    api.post("/api/v1/namespaces", json={"metadata": {"name": SPACE}})
    return SPACE


@pytest.fixture(scope="module")
def gauges(api):
    """The path of a custom resource with columns of every type."""
    group, plural = "cells.example.com", "gauges"
    any_fields = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "additionalPrinterColumns": COLUMNS,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any_fields}}},
    }
    definition = {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": "Gauge", "singular": "gauge", "listKind": "GaugeList"},
            "versions": [version],
        },
    }
    assert api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition).status_code == 201
    path = f"/apis/{group}/v1/namespaces/{SPACE}/{plural}"
    eventually(lambda: api.get(path).status_code == 200, what="the custom resource")
    return path


def test_custom_resources_have_the_columns_of_their_definition(api, gauges):
    columns = api.get(gauges, headers=TABLE).json()["columnDefinitions"]

    assert [(c["name"], c["type"], c["priority"]) for c in columns] == [
        ("Name", "string", 0),
        *((c["name"], c["type"], c.get("priority", 0)) for c in COLUMNS),
    ]
    assert next(c["description"] for c in columns if c["name"] == "First") == "of all"


def test_custom_columns_follow_their_paths(api, space, gauges):
    conditions = [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]
    spec = {
        "text": "t",
        "count": 3,
        "share": 0.5,
        "on": True,
        "since": "2020-01-01T00:00:00Z",
        "conditions": conditions,
    }

    row = shown(api, gauges, {"apiVersion": "cells.example.com/v1", "kind": "Gauge", "spec": spec})

    assert row.pop("Since").endswith("d")
    assert row == {
        "Text": "t",
        "Count": 3,
        "Share": 0.5,
        "On": True,
        "Ready": "True",
        "First": "Other",
        "All": "Other",
        "Number as text": "3",
    }


def test_custom_columns_without_value_are_empty(api, space, gauges):
    row = shown(api, gauges, {"apiVersion": "cells.example.com/v1", "kind": "Gauge", "spec": {"since": None}})

    assert set(row.values()) == {None}
