"""Runs that wait though their time has come, as people are told of them. Pure."""

from __future__ import annotations

from datetime import UTC

from pydantic import AwareDatetime

from migration.frozen import Frozen
from migration.models import ClusterRef


class LateRun(Frozen):
    """A run of one of our flows that no worker takes up."""

    id: str
    name: str
    cluster: ClusterRef
    state: str
    """The name of the state that it waited in."""
    message: str = ""
    """With which it waited there."""
    scheduled_at: AwareDatetime
    """By which it has its place in its queue."""
    due_at: AwareDatetime
    """Since when a worker could have taken it up."""

    @property
    def since(self) -> str:
        """Since when, for people."""
        return f"{self.due_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

    @property
    def what(self) -> str:
        """What is wrong, in one line."""
        return f"no worker has taken it up since {self.since}, when {self.state} was over"
