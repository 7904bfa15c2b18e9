"""What every test may count on, and which tests this machine can run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.programs import NO_CONTROL_PLANE, NO_KUBECTL, find_control_plane, find_kubectl

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Need:
    """Something real that tests with this mark need; without it they are left out, unless the variable is 1."""

    mark: str
    find: Callable[[], object]
    required_by: str
    missing: str


NEEDS = (
    Need("kubectl", find_kubectl, "REQUIRE_KUBECTL", NO_KUBECTL),
    Need("control_plane", find_control_plane, "REQUIRE_CONTROL_PLANE", NO_CONTROL_PLANE),
)
LEFT_OUT = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need what this machine lacks, or end with an error where that is required."""
    left_out = config.stash.setdefault(LEFT_OUT, {})
    for need in NEEDS:
        needing = [item for item in items if item.get_closest_marker(need.mark)]
        if not needing or need.find():
            continue
        if os.environ.get(need.required_by) == "1":
            raise pytest.UsageError(f"{need.required_by}=1, but {need.missing}")
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)
        left_out[need.missing] = len(needing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in one line each how many tests were left out, and how to have them."""
    for missing, count in config.stash.get(LEFT_OUT, {}).items():
        terminalreporter.write_line(f"{count} tests left out: {missing}")
