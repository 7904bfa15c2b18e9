"""`python -m deployments.schedules` tells whoever deploys that a schedule contradicts the windows of its runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from deployments.declared import PREFECT_YAML
from deployments.schedules import Scheduled, contradictions, main

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
NIGHT = {"windows": [{"cron": "0 22 * * 6", "length_minutes": 240}]}


def told(schedule: dict[str, Any], **parameters: object) -> list[str]:
    found = Scheduled("prefect.yaml: canal-to-cilium", schedule, parameters)
    return list(contradictions(found, now=NOW, room=timedelta(minutes=10)))


def written(path, *entries: dict[str, Any]):
    path.write_text(yaml.safe_dump({"deployments": [{"name": "nightly-migration", **entry} for entry in entries]}))
    return str(path)


@pytest.mark.parametrize(
    ("schedule", "parameters"),
    [
        ({"cron": "0 3 * * *"}, {}),
        ({"cron": "0 22 * * 6"}, {"maintenance": NIGHT}),
        ({"cron": "0 3 * * *"}, {"maintenance": {**NIGHT, "cluster_window": True}}),
        ({"cron": "0 3 * * *"}, {"maintenance": NIGHT, "ignore_window": True}),
        ({"cron": "0 3 * * *"}, {"migration": {}}),
        ({"cron": "0 22 * * 6"}, {"migration": {"maintenance": NIGHT}}),
        ({"cron": "0 3 * * *"}, {"migration": {"maintenance": {**NIGHT, "cluster_window": True}}}),
        ({"cron": "0 3 * * *"}, {"migration": {"maintenance": NIGHT, "ignore_window": True}}),
    ],
)
def test_what_fits_or_can_not_be_known_yet_is_not_told(schedule, parameters):
    assert told(schedule, **parameters) == []


@pytest.mark.parametrize(
    ("schedule", "parameters", "said"),
    [
        ({"cron": "0 3 * * *", "slug": "nightly"}, {"maintenance": NIGHT}, "nightly (0 3 * * *, UTC): 20 of the next 20"),
        ({"cron": "55 1 * * 0"}, {"maintenance": NIGHT}, "5 min are left"),
        ({"interval": 86400}, {"maintenance": NIGHT}, "anchor_date"),
        ({"cron": "0 3 * * *"}, {"maintenance": {"windows": [{"cron": "x", "length_minutes": 5}]}}, "windows.0: Value error"),
        ({"cron": "0 3 * * *"}, {"maintenance": {"window": []}}, "window: Extra inputs"),
        # A roll-out's own run waits for no window, its clusters' runs do.
        ({"cron": "0 3 * * *"}, {"migration": {"maintenance": NIGHT}}, "20 of the next 20"),
        ({"cron": "0 3 * * *"}, {"migration": {"maintenance": {"window": []}}}, "window: Extra inputs"),
    ],
)  # fmt: skip
def test_what_contradicts_is_told_in_one_line(schedule, parameters, said):
    (line,) = told(schedule, **parameters)

    assert line.startswith("prefect.yaml: canal-to-cilium: schedule")
    assert said in line
    assert "\n" not in line


def test_a_contradiction_in_the_file_is_exit_status_one(tmp_path, capsys):
    path = written(
        tmp_path / "prefect.yaml", {"schedules": [{"cron": "0 3 * * 1"}], "parameters": {"maintenance": NIGHT}}
    )

    assert main(["--file", path]) == 1
    assert "nightly-migration: schedule 0 3 * * 1, UTC: 20 of the next 20" in capsys.readouterr().out


def test_a_schedules_own_parameters_count_and_inactive_ones_do_not(tmp_path, capsys):
    path = written(
        tmp_path / "prefect.yaml",
        {"schedules": [{"cron": "0 3 * * 1", "parameters": {"maintenance": {}}}], "parameters": {"maintenance": NIGHT}},
        {"schedules": [{"cron": "0 3 * * 1", "active": False}], "parameters": {"maintenance": NIGHT}},
    )

    assert main(["--file", path]) == 0
    assert "all of 1 active schedules fit" in capsys.readouterr().out


def test_this_projects_own_schedules_fit(capsys):
    assert main(["--file", str(PREFECT_YAML)]) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read"),
        ("a: [", "can't be read"),
        ("- a", "is no prefect.yaml"),
        ("deployments: [1]", "is no prefect.yaml"),
    ],
)
def test_a_file_that_is_no_prefect_yaml_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "prefect.yaml"
    if content is not None:
        path.write_text(content)

    with pytest.raises(SystemExit, match=said):
        main(["--file", str(path)])
