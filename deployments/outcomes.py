"""What became of one thing that was to be on the Prefect server, in a line for whoever put it there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class What(StrEnum):
    """What had to be done about it."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


@dataclass(frozen=True)
class Outcome:
    """One thing, what became of it, and in which way it differed or was left as somebody had made it."""

    kind: str
    name: str
    what: What
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        first = f"{self.what:<10} {self.kind} {self.name}"
        return "\n".join((first, *(f"{'':<10}   {detail}" for detail in self.details)))


class NotApplied(Exception):
    """Something could not be put on the server; the message says why and what to do."""
