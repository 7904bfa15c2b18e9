"""What every test may count on, and which tests this machine can run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.programs import (
    NO_BROWSER,
    NO_CONTROL_PLANE,
    NO_KUBECTL,
    NO_POSTGRES,
    NO_REDIS,
    find_browser,
    find_control_plane,
    find_kubectl,
    find_postgres,
    find_redis,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# How fast a machine is at the moment says nothing of a rule.
settings.register_profile("untimed", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

LONG = "flows"
"""The folder of the tests that take longest, each with a whole migration or several."""
WAYS_IN = {"seed": "lab", "rest": "lab-api"}
"""The lab's connections, by what they are called here."""
MEASURED = "measured"
"""Property by which a test tells lines that whoever runs the tests should see."""


@dataclass(frozen=True)
class Need:
    """Something real that tests with this mark need; without it they are left out, unless the variable is 1."""

    mark: str
    find: Callable[[], object]
    required_by: str
    missing: str


NEEDS = (
    Need("kubectl", find_kubectl, "REQUIRE_KUBECTL", NO_KUBECTL),
    Need("browser", find_browser, "REQUIRE_BROWSER", NO_BROWSER),
    Need("control_plane", find_control_plane, "REQUIRE_CONTROL_PLANE", NO_CONTROL_PLANE),
    Need("postgres", find_postgres, "REQUIRE_POSTGRES", NO_POSTGRES),
    Need("redis", find_redis, "REQUIRE_REDIS", NO_REDIS),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let whoever runs the tests of the flows say by which way these reach KKP."""
    told = "by which way the tests of the flows reach KKP (tests/flows/conftest.py has those that stay on the seed)"
    parser.addoption("--way-in", choices=tuple(WAYS_IN), default="seed", help=told)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say by which way the flows reach KKP, if it isn't the usual one."""
    way = config.getoption("--way-in")
    return None if way == "seed" else f"the flows' clusters are reached by connection {WAYS_IN[way]}"


def pytest_configure(config: pytest.Config) -> None:
    """End with an error where something is required that this machine lacks."""
    for need in NEEDS:
        if os.environ.get(need.required_by) == "1" and not need.find():
            raise pytest.UsageError(f"{need.required_by}=1, but {need.missing}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need what this machine lacks; the long ones first, lest one process ends with them."""
    for need in NEEDS:
        needing = [item for item in items if item.get_closest_marker(need.mark)]
        if needing and not need.find():
            items[:] = [item for item in items if item not in needing]
            config.hook.pytest_deselected(items=needing)
    items.sort(key=lambda item: LONG not in item.path.parts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what tests have measured, and in one line each which were left out and how to have them."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == MEASURED:
                terminalreporter.write_line(str(text))
    for need in NEEDS:
        if not need.find():
            terminalreporter.write_line(f"Tests marked {need.mark} were left out: {need.missing}")
