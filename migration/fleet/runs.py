"""The runs of a roll-out's clusters, and the rounds of the roll-out itself, by the states that Prefect gives them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from pydantic import AwareDatetime

from migration.frozen import Frozen
from migration.models import ClusterRef

CRASH_PATIENCE: Final = timedelta(minutes=30)
"""For how long a crashed run counts as under way: resume-interrupted, which looks every five minutes, takes it up."""
WAITING_STATES: Final = ("AwaitingWindow", "AwaitingClusterLock", "Suspended")
SOAKING: Final = "Soaking"
AWAITING_CLUSTERS: Final = "AwaitingClusters"
"""States of a roll-out that has left its worker for a while."""
NOT_APPROVED: Final = "NotApproved"
ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED")


class ClusterRun(Frozen):
    """A run for one cluster of the roll-out, as Prefect knows it."""

    id: str
    name: str
    cluster: ClusterRef
    state_type: str
    """As Prefect's API has it: SCHEDULED, RUNNING, COMPLETED and so on."""
    state_name: str
    message: str = ""
    since: AwareDatetime
    """When it came into this state."""
    started_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None
    """When it goes on, if it waits."""
    is_own: bool = True
    """Whether this roll-out started it, or an errand after it, or it was adopted and led to the target."""
    is_errand: bool = False
    """Whether it only brings its cluster to the next safe point, after the run that was at it was cancelled."""
    is_given_up: bool = False
    """Whether nobody takes it up after a crash."""
    is_held_back: bool = False
    """Whether this roll-out cancelled it before it had disrupted anything, because too many had failed."""
    roll_out: str = ""
    """The run of the other roll-out that started it; empty if a person or a schedule did, or this one."""

    def is_over(self, now: datetime) -> bool:
        """Tell whether nothing comes of it any more by itself."""
        if self.state_type == "CRASHED":
            return self.is_given_up or now - self.since > CRASH_PATIENCE
        return self.state_type in ENDED

    @property
    def has_not_begun(self) -> bool:
        """Tell whether it waits, by all that Prefect knows: to be started, or for a window, a lock or a person."""
        if self.state_name in (*WAITING_STATES, "Late"):
            return True
        return self.state_type in ("SCHEDULED", "PENDING") and self.started_at is None

    @property
    def came_to_nothing(self) -> bool:
        """Tell whether it ended because it was held back: as if it had never been there."""
        return self.is_held_back and (self.state_type == "CANCELLED" or self.is_errand)


class Round(Frozen):
    """A try of the whole roll-out: each Retry of its run, after it had ended, begins another one."""

    number: int = 1
    began_at: AwareDatetime | None = None
    """None for the first."""
    follows_cancellation: bool = False
    """Whether somebody had cancelled the round before: its clusters' runs may end only in this one."""


def round_of(states: Iterable[tuple[datetime, str]]) -> Round:
    """Return the round that a roll-out is in, given when its run came into which type of state, in order.

    A crash ends no round: what failed before it has failed.
    """
    found, end = Round(), ""
    for moment, kind in states:
        if end and kind not in (*ENDED, "CRASHED"):
            found, end = Round(number=found.number + 1, began_at=moment, follows_cancellation=end == "CANCELLED"), ""
        if kind in ENDED:
            end = kind
    return found
