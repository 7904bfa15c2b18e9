"""One case on one cluster: the run is struck, trouble ceases, the flow is started again, and everything is looked at."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import migration.errors
from clusters.kinds import LEASES, MACHINES
from migration.journal import NAME, NAMESPACE
from tests.chaos.births import Births
from tests.chaos.invariants import Known, Look, failed_badly, look, stopped_badly, taken_back_badly, violations
from tests.chaos.patterns import SAFE_POINT
from tests.chaos.recording import steps_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clusters.api import KubeApi
    from clusters.seed import Seed
    from tests.chaos.arena import End, Ground, Mother
    from tests.chaos.cases import Case

RUNS: Final = 3
"""The struck one, and at most two more."""
REVERT: Final = "revert-migration"
TAKEN_BACK: Final = migration.errors.MigrationReverted.__name__
GOOD: Final = ("migrated", "taken back", "nothing to do")
LOG_LINES: Final = 15
WAY_AND_BACK: Final = ("canal-to-cilium+nodes", "cilium-to-canal+nodes")
"""What a run that takes itself back goes through."""
ROTATION: Final = "rotate MachineDeployment"
MACHINE_DEPLOYMENTS: Final = ("kube-system/workers-1", "kube-system/workers-2")
REPAIR_SECONDS: Final = 4.0
"""How often somebody sees to the Machines: one without a node since the last time is replaced."""
WINDOW_HOURS: Final = 6
NEXT_DAY: Final = 23.5
"""Hours until half an hour after the window's next opening."""
Status = Literal["through", "resumed", "failed", "missed"]
"""The struck run came through; another one finished it; an invariant is broken; the strike met nothing."""


@dataclass(frozen=True)
class Verdict:
    """What became of a case."""

    status: Status
    runs: int
    seconds: float
    violations: tuple[str, ...] = ()
    struck: int = 0
    """How many of its strikes the run met."""
    late: int = 0
    """How many of these came at the end of their step, which had asked for too little before."""
    first_end: str = ""
    log: tuple[str, ...] = ()
    history: tuple[str, ...] = field(default=())


async def try_case(mother: Mother, ground: Ground, case: Case) -> Verdict:
    """Conduct a case to its end, and return what is to be said of it."""
    began = time.monotonic()
    log = Path(mother.log_of(ground))
    log.unlink(missing_ok=True)  # noqa: ASYNC240 - a small file
    async with ground.open() as (seed, api):
        trial = Trial(mother, ground, case, seed, api)
        await trial.hold()
    first, broken = trial.ends[0], tuple(trial.broken)
    status: Status = "through" if len(trial.ends) == 1 else "resumed"
    if broken or first.struck < case.least_met:
        status = "failed" if broken else "missed"
    return Verdict(
        status,
        len(trial.ends),
        time.monotonic() - began,
        broken,
        first.struck,
        first.late,
        f"{first.outcome} {first.error} {first.message}".strip(),
        _last_lines(log) if broken else (),
        tuple(ground.history),
    )


class Trial:
    """A case while it is held: how its runs ended, and what was found to be wrong."""

    def __init__(self, mother: Mother, ground: Ground, case: Case, seed: Seed, api: KubeApi) -> None:
        self._mother, self._ground, self._case = mother, ground, case
        self._seed, self._api = seed, api
        self.ends: list[End] = []
        self.broken: list[str] = []

    async def hold(self) -> None:
        """Run the flow until it has come to its end, and look at everything before and after."""
        before = await self._look()
        births = Births()
        async with births.noting(self._api):
            await self._run_to_the_end(before)
            after = await self._look()
        self.broken += _judged(self.ends, self._case)
        self.broken += violations(self._case.scenario, before, after, births.told())

    async def _run_to_the_end(self, before: Look) -> None:
        """Run the flow, struck at first; trouble lasts as long as the first run."""
        windows = _windows(self._case)
        for number in range(RUNS):
            repairing = asyncio.create_task(self._repair())
            end = await self._run(number, windows)
            self.ends.append(end)
            self._ground.lab.remote.clear_faults()
            repairing.cancel()
            await asyncio.gather(repairing, return_exceptions=True)
            self.broken += await self._untruths(before, end, is_first=number == 0)
            if _is_over(end) or end.outcome == "hung":
                return
            await self._let_lease_expire()

    async def _untruths(self, before: Look, end: End, *, is_first: bool) -> list[str]:
        """Return what a run said in its end, or where it waits, that the cluster belies."""
        if said := _said_at_safe_point(end):
            return list(stopped_badly(before, await self._look(), said))
        if end.outcome != "failed":
            return []
        at, known = await self._look(), self._known(before)
        if end.error == TAKEN_BACK:
            return list(taken_back_badly(known, at, end.message))
        return list(failed_badly(known, at, end.message, is_first=is_first))

    def _known(self, before: Look) -> Known:
        case = self._case
        return Known(
            cluster=f"{case.scenario.connection}/{self._ground.name}",
            before=before,
            steps=frozenset(_names_of_steps(case)),
            has_api_trouble=any(strike.kind == "request" for strike in case.strikes),
        )

    async def _run(self, number: int, windows: dict[str, Any]) -> End:
        scenario = self._case.scenario
        parameters = {**scenario.parameters, **windows}
        if number == 1 and any(strike.then_stopped for strike in self._case.strikes):
            parameters["stop_at_safe_point"] = True
        flow = scenario.flow
        if number and scenario.goes_back:
            flow, parameters = REVERT, {}  # as the message of a run says that was killed while it went back
        orders = self._mother.orders(
            self._ground,
            flow,
            parameters,
            strikes=() if number else self._case.strikes,
            hours=NEXT_DAY if number and windows else 0.0,
        )
        return await self._mother.run(orders)

    async def _look(self) -> Look:
        return await look(self._seed, self._api, self._ground.name)

    async def _repair(self) -> None:
        """Do what a person does whose nodes don't join, and whom the run told to look: have another Machine made."""
        waiting: set[str] = set()
        while any(strike.trouble == "node-never-joins" for strike in self._case.strikes):
            await asyncio.sleep(REPAIR_SECONDS)
            found = [machine["metadata"] for machine in await self._api.list(MACHINES) if _has_no_node(machine)]
            for place in found:
                if place["uid"] in waiting:
                    await self._api.delete(MACHINES, place["name"], namespace=place["namespace"], uid=place["uid"])
            waiting = {place["uid"] for place in found}

    async def _let_lease_expire(self) -> None:
        """Have the lease of a killed run be old, as it is a minute later."""
        lease = await self._api.find(LEASES, NAME, namespace=NAMESPACE)
        if lease is not None and lease["spec"].get("holderIdentity"):
            with suppress(migration.errors.NotFound):
                patch = {"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}
                await self._api.patch(LEASES, NAME, patch, namespace=NAMESPACE)


def _names_of_steps(case: Case) -> Iterator[str]:
    """Yield the steps in which a run may fail, as messages name them."""
    recorded = WAY_AND_BACK if case.scenario.goes_back else (case.scenario.name,)
    for step in (step for name in recorded for step in steps_of(name)):
        yield step
        if step == ROTATION:
            yield from (f"rotate {name}" for name in MACHINE_DEPLOYMENTS)
        task, _, stretch = step.partition(": ")
        if task == SAFE_POINT:
            yield from (
                f"safe point before the {stretch}{of}" for of in ("", *(f" {name}" for name in MACHINE_DEPLOYMENTS))
            )


def _is_over(end: End) -> bool:
    """Tell whether a run has seen its migration through, there or back."""
    return end.outcome in GOOD or end.error == TAKEN_BACK


def _has_no_node(machine: Any) -> bool:
    return not (machine.get("status") or {}).get("nodeRef") and "deletionTimestamp" not in machine["metadata"]


def _windows(case: Case) -> dict[str, Any]:
    """Return a window that has been open for an hour, once a day, for cases in which the clock jumps past its end."""
    if not any(strike.kind == "clock" for strike in case.strikes):
        return {}
    opened = datetime.now(UTC) - timedelta(hours=1)
    window = {"cron": f"{opened.minute} {opened.hour} * * *", "length_minutes": WINDOW_HOURS * 60}
    return {"maintenance": {"windows": [window]}}


def _said_at_safe_point(end: End) -> str:
    """Return what a run said that waits for a window or has stopped; empty for one that did neither."""
    if end.outcome == "stopped":
        return end.message
    return end.waits[-1] if end.outcome == "killed" and end.waits else ""


def _judged(ends: list[End], case: Case) -> list[str]:
    """Return what is wrong with how the runs ended."""
    found = []
    for number, end in enumerate(ends, 1):
        if end.outcome == "hung":
            found.append(f"run {number} hung")
        if end.outcome == "killed" and not end.struck:
            found.append(f"run {number} was killed, though nobody meant to")
        if end.outcome == "failed" and not _is_of_ours(end.error):
            found.append(f"run {number} ended with an error that nobody foresaw: {end.error}: {end.message}")
    if any(strike.waits for strike in case.strikes) and not ends[0].waits:
        found.append("the run did not wait for its window, though the clock had jumped past its end")
    if not _is_over(ends[-1]):
        found.append(f"the last of {len(ends)} runs ended as {ends[-1].outcome}: {ends[-1].error} {ends[-1].message}")
    return found


def _is_of_ours(error: str) -> bool:
    kind = getattr(migration.errors, error, None)
    return isinstance(kind, type) and issubclass(kind, migration.errors.MigrationError)


def _last_lines(log: Path) -> tuple[str, ...]:
    return tuple(log.read_text(errors="replace").splitlines()[-LOG_LINES:]) if log.exists() else ()
