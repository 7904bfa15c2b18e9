"""Every deployment of prefect.yaml can be made anywhere the project is installed."""

from __future__ import annotations

import re

import pytest
import yaml

from deployments.serve import PREFECT_YAML, deployment

ENTRIES = yaml.safe_load(PREFECT_YAML.read_text())["deployments"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_entrypoint_is_the_module_path_of_a_flow_with_described_parameters(entry):
    assert re.fullmatch(r"flows(\.\w+){2}", entry["entrypoint"])

    parameters = deployment(entry)._parameter_openapi_schema.properties

    assert {"seed", "cluster"} <= set(parameters)
    assert all(each.get("description") for each in parameters.values())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_nothing_starts_by_itself(entry):
    assert not entry.get("schedules")
    assert not deployment(entry).schedules
