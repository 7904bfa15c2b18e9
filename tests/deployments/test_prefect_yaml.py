"""Every deployment of prefect.yaml can be made anywhere the project is installed."""

from __future__ import annotations

import re

import pytest
import yaml

from deployments.serve import PREFECT_YAML, deployment

ENTRIES = yaml.safe_load(PREFECT_YAML.read_text())["deployments"]
SCHEDULED = "resume-interrupted"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_entrypoint_is_the_module_path_of_a_flow_with_described_parameters(entry):
    assert re.fullmatch(r"flows(\.\w+){2}", entry["entrypoint"])

    parameters = deployment(entry)._parameter_openapi_schema.properties

    assert {"seed", "cluster"} <= set(parameters) or entry["name"] == SCHEDULED
    assert all(each.get("description") for each in parameters.values())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_nothing_starts_by_itself_but_what_takes_up_crashed_runs(entry):
    schedules = deployment(entry).schedules

    assert bool(schedules) == bool(entry.get("schedules")) == (entry["name"] == SCHEDULED)


def test_the_schedule_is_the_same_whether_served_or_deployed():
    entry = next(entry for entry in ENTRIES if entry["name"] == SCHEDULED)

    found = deployment(entry).schedules

    assert found is not None
    (schedule,) = found
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("*/5 * * * *", "UTC")
    # Without a slug, every registration would add one more.
    assert (schedule.slug, schedule.active) == ("every-five-minutes", True)
