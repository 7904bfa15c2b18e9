"""What the chaos suite tells of its cases, and when it is content."""

from __future__ import annotations

import pytest

from tests.chaos import matrix
from tests.chaos.cases import Case
from tests.chaos.scenarios import BY_NAME
from tests.chaos.strikes import Strike
from tests.chaos.trial import Verdict

CASE = Case(
    "canal-to-cilium/verify/kill-inside/7-1",
    BY_NAME["canal-to-cilium"],
    "verify",
    "kill-inside",
    (Strike(kind="kill", step="verify"),),
)


def ended(status, **more):
    return [(CASE, Verdict(status, 1, 1.0, **more))]


@pytest.mark.parametrize(
    ("status", "is_content"), [("through", True), ("resumed", True), ("failed", False), ("missed", False)]
)
def test_a_case_that_met_nothing_is_as_bad_as_one_that_failed(status, is_content):
    assert matrix.all_survived(ended(status)) is is_content
    assert bool(matrix.failures(ended(status))) is not is_content


def test_a_case_that_met_nothing_says_how_to_mend_that():
    told = matrix.failures(ended("missed"))

    assert told.startswith(f"MET NOTHING {CASE.id}")
    assert "--record" in told


def test_a_kill_that_came_late_has_a_column_of_its_own():
    results = [*ended("resumed", struck=1), *ended("resumed", struck=1, late=1)]

    assert matrix.table(results).splitlines() == [
        "| flow | step | kill-inside | kill-inside (late) |",
        "|---|---|---|---|",
        "| canal-to-cilium | verify | 1r | 1r |",
    ]
    assert "2 of 2 troubles were met, 1 of them at the end" in matrix.summary(results, seed=7, seconds=60)
