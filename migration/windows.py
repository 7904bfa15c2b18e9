"""Maintenance windows: when a cluster may be worked on. Pure and clock-free; all moments are aware datetimes.

A window opens at wall times of its zone and stays open for a length of real time, so it keeps its length over a change
of the clocks. A wall time that such a change leaves out opens right after the gap; one that comes twice, at its first.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import Field, model_validator

from migration.frozen import Frozen
from migration.openings import HORIZON, Opening, Recurrence, Timetable, fits
from migration.recurrence import Rule, parse_cron, parse_rrule, zone_of
from migration.update_window import UpdateWindow, recurrence_of

__all__ = ["HORIZON", "Maintenance", "Opening", "Timetable", "UpdateWindow", "Window", "fits", "recurrences"]


class Window(Frozen):
    """A recurring window: when it opens, by cron or RRULE in a time zone, and for how long it stays open."""

    cron: Annotated[str, Field(title="Opens (cron)", description="Five fields, as 0 22 * * 6")] = ""
    rrule: Annotated[
        str,
        Field(
            title="Opens (RRULE)",
            description="With DTSTART in local time, as DTSTART:20261128T220000 RRULE:FREQ=MONTHLY;BYDAY=-1SA",
        ),
    ] = ""
    timezone: Annotated[str, Field(title="Time zone", description="IANA name, as Europe/Berlin")] = "UTC"
    length_minutes: Annotated[int, Field(ge=1, le=10080, title="Stays open (minutes)")]

    @model_validator(mode="after")
    def _can_be_read(self) -> Window:
        """Refuse what would never open, or not as it was meant."""
        self._rule()
        return self

    def recurrence(self, excluded: frozenset[date] = frozenset()) -> Recurrence:
        """Return when it is open, without the openings on excluded dates."""
        return Recurrence(self._rule(), zone_of(self.timezone), timedelta(minutes=self.length_minutes), excluded)

    def _rule(self) -> Rule:
        if bool(self.cron) == bool(self.rrule):
            given = f"cron {self.cron!r} and rrule {self.rrule!r}" if self.cron else "neither cron nor rrule"
            raise ValueError(f"a window opens by a cron or by an rrule, this one has {given}: give exactly one of them")
        zone = zone_of(self.timezone)
        return parse_cron(self.cron) if self.cron else parse_rrule(self.rrule, zone)


class Maintenance(Frozen):
    """When a run may work on its cluster. Nothing given: at any time."""

    windows: Annotated[tuple[Window, ...], Field(title="Windows")] = ()
    cluster_window: Annotated[
        bool, Field(title="The cluster's own window", description="Work in spec.updateWindow of the Cluster as well")
    ] = False
    excluded_dates: Annotated[
        tuple[date, ...], Field(title="Excluded dates", description="Days on which no window opens")
    ] = ()
    """Dates in each window's own time zone (UTC for the cluster's) on which none OPENS; one that opened the evening
    before stays open."""
    margin_percent: Annotated[
        int, Field(ge=0, le=500, title="Margin (%)", description="Added to an estimate before it has to fit")
    ] = 25

    @property
    def has_windows(self) -> bool:
        """Whether there is any time at which a run may not work."""
        return bool(self.windows) or self.cluster_window

    def with_margin(self, seconds: float) -> timedelta:
        """Return an estimate with the margin added to it, which is what has to fit."""
        return timedelta(seconds=seconds * (100 + self.margin_percent) / 100)


def recurrences(maintenance: Maintenance, update_window: UpdateWindow | None) -> Timetable:
    """Return when a run may work.

    Raises InvalidRequest if the cluster's own window is asked for and it has none, or one that can't be read.
    """
    excluded = frozenset(maintenance.excluded_dates)
    found = [window.recurrence(excluded) for window in maintenance.windows]
    if maintenance.cluster_window:
        found.append(recurrence_of(update_window, excluded))
    return Timetable(tuple(found))
