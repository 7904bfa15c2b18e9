"""What every test may count on, and which tests this machine can run."""

from __future__ import annotations

import os

import pytest

from tests.kubectl import MISSING, find_kubectl

LEFT_OUT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need kubectl if there is none, or end with an error where it is required."""
    needing = [item for item in items if item.get_closest_marker("kubectl")]
    if not needing or find_kubectl():
        return
    if os.environ.get("REQUIRE_KUBECTL") == "1":
        raise pytest.UsageError(f"REQUIRE_KUBECTL=1, but {MISSING}")
    items[:] = [item for item in items if item not in needing]
    config.hook.pytest_deselected(items=needing)
    config.stash[LEFT_OUT] = len(needing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in one line how many tests were left out, and how to have them."""
    if left_out := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{left_out} tests left out: {MISSING}")
