"""Runs that crashed: taken up again, a bounded number of times. Scheduled every few minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import timedelta
from typing import Annotated, Any, Final, TypeVar, cast

from prefect import flow
from prefect.states import Completed, Failed

from migration.parameters import shown
from migration.resuming import Limits, Resumption
from tasks.cancelled_runs import find_cancelled_runs, land_cancelled_run
from tasks.crashed_fleets import find_interrupted_fleets, settle_fleet
from tasks.fleet_landing import land_cancelled_fleets
from tasks.interrupted import find_interrupted_runs, report_resumption, settle
from tasks.late_runs import mark_late_runs
from tasks.waiting_fleets import wake_waiting_fleets

Attempts = Annotated[
    int,
    shown(
        "Attempts",
        "How often a run may start in all. After that it is given up, and people are told.",
        ge=1,
        le=100,
    ),
]
QuietSeconds = Annotated[
    int,
    shown(
        "Quiet time (seconds)",
        "How long a crash is left alone, because its worker may report it late and end the new attempt. Prefect's "
        "workers need up to a minute.",
        ge=0,
        le=3600,
    ),
]
MaxAgeHours = Annotated[
    int,
    shown(
        "Oldest crash (hours)",
        "Crashes that are older than that are left to people, who may have begun something else since.",
        ge=1,
        le=720,
    ),
]

T = TypeVar("T")
AT_A_TIME: Final = 8
"""How many clusters are asked at the same time."""


@flow(name="resume-interrupted", persist_result=False)
async def resume_interrupted(
    attempts: Attempts = 5,
    quiet_seconds: QuietSeconds = 60,
    max_age_hours: MaxAgeHours = 24,
) -> Resumption:
    """Start migrating runs that crashed again, as the same runs: each goes on where it was.

    A run is left alone if another one for its cluster is under way, or if the cluster's journal says that its migration
    is over or in another run's hands. Runs that failed are none of its business. The cluster of one that was cancelled
    while no process had it, or that crashed while it was being cancelled, is brought to a safe point. Runs that wait
    though their time has come become Late.
    """
    limits = Limits(attempts=attempts, quiet_seconds=quiet_seconds, max_age_hours=max_age_hours)
    # Step 1. Which runs are crashed, and what else is there for their clusters?
    crashed, others = await find_interrupted_runs(limits)
    # Step 2. Ask each one's cluster, and act.
    settled, troubles = await _each(settle(run, others, limits) for run in crashed)
    # Step 3. Bring clusters to a safe point whose runs somebody cancelled while no worker had them.
    landed, more = await _each(land_cancelled_run(run) for run in await find_cancelled_runs(limits))
    troubles += more
    # Step 4. Roll-outs over many clusters have nothing to ask: their clusters' runs are seen to by themselves.
    fleets, more = await _each(settle_fleet(run, limits) for run in await find_interrupted_fleets(limits))
    troubles += more
    await land_cancelled_fleets(timedelta(hours=max_age_hours))
    # Step 5. Roll-outs that have stepped aside come back if something has happened to their clusters meanwhile.
    await wake_waiting_fleets()
    # Step 6. Which runs wait though their time has come?
    late = await mark_late_runs()
    # Step 7. Tell.
    resumption = Resumption(settled=(*settled, *fleets), landed=tuple(run for run in landed if run), late=late)
    await report_resumption(resumption)
    if troubles:
        message = f"{resumption.message}; {len(troubles)} could not be seen to, the first because of: {troubles[0]}"
        return cast("Resumption", Failed(message=message, data=troubles[0]))
    # Prefect takes a state that a flow returns as its own, and hands the data to whoever awaits the flow.
    return cast("Resumption", Completed(message=resumption.message, data=resumption))


async def _each(asked: Iterable[Coroutine[Any, Any, T]]) -> tuple[list[T], list[Exception]]:
    """Return what came of each, and the errors of those that failed: one bad run must not keep the others down."""
    places = asyncio.Semaphore(AT_A_TIME)

    async def in_turn(one: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await one

    results = await asyncio.gather(*map(in_turn, asked), return_exceptions=True)
    good: list[T] = []
    troubles: list[Exception] = []
    for result in results:
        if isinstance(result, Exception):
            troubles.append(result)
        elif isinstance(result, BaseException):
            raise result
        else:
            good.append(result)
    return good, troubles
