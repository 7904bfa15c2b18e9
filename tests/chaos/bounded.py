"""The part of the chaos suite that every test run has: cases of all flows, steps and faults, shared by two files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.chaos import matrix
from tests.chaos.arena import Mother, prefect_s_address_told
from tests.chaos.campaign import Front, in_rounds
from tests.chaos.cases import Case, all_cases, spread

SEED: Final = 7
CASES: Final = 64
FILES: Final = 2
CASE_SECONDS: Final = 400


def share(number: int) -> list[object]:
    """Return the cases of a file, by their ids, in an order in which its clusters have the shortest ways."""
    chosen = spread(all_cases(SEED), CASES)
    return [pytest.param(case, id=case.id) for case in in_rounds(chosen[number::FILES])]


@contextmanager
def front_in(directory: Path) -> Iterator[Front]:
    """Have a lab for cases, and a process that forks their runs."""
    front = Front(directory, Mother(directory))
    try:
        with prefect_s_address_told():
            yield front
    finally:
        front.close()


async def assert_survived(front: Front, case: Case) -> None:
    """Fail with all that there is to say unless every invariant held; a run that met no trouble proves nothing."""
    verdict = await front.fight(await front.ground_for(case), case)
    ended = [(case, verdict)]
    assert matrix.all_survived(ended), matrix.failures(ended)
