"""Runs that crashed: taken up again, a bounded number of times. Scheduled every few minutes."""

from __future__ import annotations

import asyncio
from typing import Annotated, cast

from prefect import flow
from prefect.states import Completed
from pydantic import Field

from migration.resuming import Limits, Resumption
from tasks.interrupted import find_interrupted_runs, report_resumption, settle


@flow(name="resume-interrupted", persist_result=False)
async def resume_interrupted(
    attempts: Annotated[int, Field(ge=1, le=100)] = 5,
    quiet_seconds: Annotated[int, Field(ge=0, le=3600)] = 60,
    max_age_hours: Annotated[int, Field(ge=1, le=720)] = 24,
) -> Resumption:
    """Start migrating runs that crashed again, as the same runs: each goes on where it was.

    A run is left alone if another one for its cluster began later or is under way, or if the cluster's journal says
    that its migration is over. Runs that failed or were cancelled are none of its business.

    Args:
        attempts: How often a run may start in all before it is given up, and people are told.
        quiet_seconds: How long a crash is left alone, because its worker may report it late and end the new attempt.
        max_age_hours: After how long a crash is left to people.
    """
    limits = Limits(attempts=attempts, quiet_seconds=quiet_seconds, max_age_hours=max_age_hours)
    # Step 1. Which runs are crashed, and what else is there for their clusters?
    crashed, others = await find_interrupted_runs(limits)
    # Step 2. Ask each one's cluster, and act.
    settled = await asyncio.gather(*(settle(run, others, limits) for run in crashed))
    # Step 3. Tell.
    resumption = await report_resumption(tuple(settled))
    # Prefect takes a state that a flow returns as its own, and hands the data to whoever awaits the flow.
    return cast("Resumption", Completed(message=resumption.message, data=resumption))
