"""What becomes of a roll-out's run that crashed. Its clusters' runs go on meanwhile, so there is no hurry. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import AwareDatetime

from migration.resuming import CANCELLED_BEFORE, CrashedFleet, Decision, Limits, Ruling

FLEET_FLOW: Final = "migrate-fleet"
FLEET_AGAIN: Final = (
    "nothing to do, resume-interrupted takes the run up within minutes; without that, press Retry at the run in the "
    "Prefect UI: clusters that are finished are not touched"
)
UNHARMED: Final = "the clusters' own runs go on by themselves; none is begun meanwhile"


def decide_on_fleet(run: CrashedFleet, limits: Limits, now: AwareDatetime) -> Decision:
    """Return what becomes of it. Other roll-outs don't matter: each leaves to the others what they have begun."""
    age = now - run.crashed_at
    if run.given_up:
        return Decision(ruling=Ruling.LEAVE, reason="it was given up before, and people were told")
    if age < timedelta(seconds=limits.quiet_seconds):
        return Decision(ruling=Ruling.LEAVE, reason=f"it crashed only {age.total_seconds():.0f} s ago")
    if age > timedelta(hours=limits.max_age_hours):
        return Decision(ruling=Ruling.LEAVE, reason=f"it crashed more than {limits.max_age_hours} h ago")
    if run.cancelled:
        return CANCELLED_BEFORE
    if run.crashes >= limits.attempts:
        return Decision(ruling=Ruling.GIVE_UP, reason=f"it crashed {run.crashes} times, of {limits.attempts} attempts")
    return Decision(ruling=Ruling.TAKE_UP, reason=f"it crashed: attempt {run.crashes + 1} of {limits.attempts}")
