"""Runs the chaos suite: `python -m tests.chaos`.

Exit status 1 if an invariant is broken or a case met no trouble, 2 for a wrong use.

Without more it is the whole suite of the seed; `--cases` chooses evenly, `--only` takes one case by its id.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import matrix, recording
from tests.chaos.arena import prefect_s_address_told, prefect_server
from tests.chaos.campaign import Campaign, campaign
from tests.chaos.cases import all_cases, find_case, spread
from tests.chaos.recorder import record
from tests.chaos.scenarios import FLOWS

if TYPE_CHECKING:
    from tests.chaos.cases import Case
    from tests.chaos.trial import Verdict


def main() -> int:
    """Run what was asked for; returns the exit status."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        cases = [] if asked.record else _chosen(asked)
    except ValueError as error:
        sys.stderr.write(f"chaos: {error}\n")
        return 2
    if asked.list:
        sys.stdout.write("".join(f"{case.id}: {'; '.join(map(str, case.strikes))}\n" for case in cases))
        return 0
    directory = Path(asked.directory or tempfile.mkdtemp(prefix="chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    jobs = 1 if asked.record else min(asked.jobs, len(cases))
    with prefect_server(directory), prefect_s_address_told(), campaign(directory, jobs=jobs) as fought:
        if asked.record:
            recording.write(asyncio.run(record(fought, asked.flows or FLOWS)))
            return 0
        return asyncio.run(_fight(fought, cases, seed=asked.seed))


async def _fight(fought: Campaign, cases: list[Case], *, seed: int) -> int:
    """Run the cases, and tell what became of those that have ended, also when somebody ends the suite before."""
    began = time.monotonic()
    ended: list[tuple[Case, Verdict]] = []

    def tell(case: Case, verdict: Verdict) -> None:
        ended.append((case, verdict))
        sys.stdout.write(f"{matrix.line(len(ended), len(cases), case, verdict)}\n")
        if verdict.status == "failed":
            sys.stdout.write("".join(f"            {broken}\n" for broken in verdict.violations))
        sys.stdout.flush()

    try:
        await fought.run(cases, tell)
    finally:
        order = {case.id: number for number, case in enumerate(cases)}
        ended.sort(key=lambda result: order[result[0].id])
        _tell_all(ended, fought.directory, seed=seed, seconds=time.monotonic() - began)
    return 0 if matrix.all_survived(ended) else 1


def _tell_all(results: matrix.Results, directory: Path, *, seed: int, seconds: float) -> None:
    failed = matrix.failures(results)
    parts = [matrix.table(results), failed, matrix.summary(results, seed=seed, seconds=seconds)]
    if failed:
        parts.append(f"What the clusters' runs said lies in {directory}")
    sys.stdout.write("".join(f"\n{part}\n" for part in parts if part))


def _chosen(asked: argparse.Namespace) -> list[Case]:
    if asked.only:
        return [find_case(case_id) for case_id in asked.only]
    cases = all_cases(asked.seed, flows=asked.flows or FLOWS)
    return spread(cases, asked.cases) if asked.cases else cases


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=7, help="what is left to chance follows from it")
    parser.add_argument("--cases", type=int, default=0, help="about how many, chosen evenly; 0: all")
    parser.add_argument("--only", action="append", metavar="ID", help="this case, whatever the seed; may be repeated")
    parser.add_argument("--flows", nargs="+", choices=FLOWS, help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time, each in a lab of its own")
    parser.add_argument("--list", action="store_true", help="tell the cases, and run none")
    parser.add_argument("--record", action="store_true", help="write anew what runs without trouble ask for")
    parser.add_argument("--directory", help="where labs and logs lie; without it a new one is made")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
