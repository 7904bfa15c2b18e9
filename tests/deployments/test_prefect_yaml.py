"""Every deployment of prefect.yaml can be made anywhere the project is installed, and none but one starts by itself."""

from __future__ import annotations

import re
import tomllib

import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from deployments.declared import ROOT, WORK_POOL, entries, queues, read
from deployments.schedules import Scheduled, contradictions
from migration.fleet.resuming import FLEET_FLOW
from migration.resuming import MIGRATING_FLOWS
from tasks.landing import URGENT
from tests.deployments.test_schedules import NOW

ENTRIES = entries()
STARTS = "resume-interrupted"
each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])


def schema_of(entry):
    return parameter_schema(load_flow_from_entrypoint(entry["entrypoint"])).model_dump()


@each_entry
def test_entrypoint_is_the_module_path_of_a_flow_with_described_parameters(entry):
    assert re.fullmatch(r"flows(\.\w+){2}", entry["entrypoint"])

    parameters = schema_of(entry)["properties"]

    assert {"seed", "cluster"} <= set(parameters) or entry["name"] in (STARTS, FLEET_FLOW)
    assert all(each.get("description") for each in parameters.values())


@each_entry
def test_it_has_words_for_people_a_version_and_a_queue_that_there_is(entry):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert len(entry["description"]) > 100
    assert "kkp" in entry["tags"]
    assert entry["version"] == project["version"]
    assert entry["work_pool"]["name"] == WORK_POOL
    assert entry["work_pool"]["work_queue_name"] in {queue.name for queue in queues(read())}


@each_entry
def test_nothing_starts_by_itself_but_what_takes_up_crashed_runs(entry):
    schedules = entry.get("schedules") or []

    # Without a slug, every registration would add one more.
    assert all(each["slug"] and each["timezone"] for each in schedules)
    assert [each["active"] for each in schedules if each["active"]] == ([True] if entry["name"] == STARTS else [])
    assert bool(schedules) == (entry["name"] != "check-readiness")


@pytest.mark.parametrize("name", [*MIGRATING_FLOWS, FLEET_FLOW])
def test_an_example_would_be_taken_by_the_form_and_starts_in_its_own_window(name):
    entry = next(entry for entry in ENTRIES if entry["name"] == name)
    (schedule,) = entry["schedules"]
    parameters = schedule["parameters"]

    validate(parameters, schema_of(entry), raise_on_error=True, preprocess=True)
    assert parameters.get("maintenance") or parameters["migration"]["maintenance"]
    assert list(contradictions(Scheduled(name, schedule, parameters), now=NOW, room=NOW - NOW)) == []
    at_noon = {**schedule, "cron": "0 12 * * 6"}
    assert list(contradictions(Scheduled(name, at_noon, parameters), now=NOW, room=NOW - NOW)) != []


def test_those_who_wait_for_others_and_those_who_must_not_wait_have_queues_of_their_own():
    placed = {entry["name"]: entry["work_pool"]["work_queue_name"] for entry in ENTRIES}
    limits = {queue.name: queue.concurrency_limit for queue in queues(read())}

    assert {placed[name] for name in MIGRATING_FLOWS} == {"migrations"}
    assert placed[FLEET_FLOW] == "fleet"
    assert placed[STARTS] == URGENT == queues(read())[0].name
    assert limits[URGENT] is None
