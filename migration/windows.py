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

    cron: Annotated[
        str,
        Field(
            title="Opens (cron)",
            description="When it opens: minute, hour, day of the month, month, day of the week. 0 22 * * 6 is "
            "Saturdays at 22:00. Leave it empty if you give an RRULE.",
        ),
    ] = ""
    rrule: Annotated[
        str,
        Field(
            title="Opens (RRULE)",
            description="For what cron can't say, with DTSTART in local time. DTSTART:20261128T220000 "
            "RRULE:FREQ=MONTHLY;BYDAY=-1SA is the last Saturday of each month. Leave it empty if you give a cron.",
        ),
    ] = ""
    timezone: Annotated[
        str,
        Field(title="Time zone", description="Of the time at which it opens, by its IANA name: Europe/Berlin, UTC."),
    ] = "UTC"
    length_minutes: Annotated[
        int, Field(ge=1, le=10080, title="Stays open (minutes)", description="240 are four hours, 10080 a week.")
    ]

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


ExcludedDate = Annotated[date, Field(title="Date", description="Year, month and day, as 2026-12-26.")]


class Maintenance(Frozen):
    """When a run may work on its cluster. Nothing given: at any time."""

    windows: Annotated[
        tuple[Window, ...],
        Field(title="Windows", description="When they open, and for how long. Windows that overlap or touch are one."),
    ] = ()
    cluster_window: Annotated[
        bool,
        Field(
            title="The cluster's own window",
            description="Work in the Cluster's spec.updateWindow as well, read as UTC. A cluster without one is a "
            "blocker.",
        ),
    ] = False
    excluded_dates: Annotated[
        tuple[ExcludedDate, ...],
        Field(
            title="Excluded dates",
            description="Days on which no window opens, by each window's time zone. One that opened the evening before "
            "stays open.",
        ),
    ] = ()
    margin_percent: Annotated[
        int,
        Field(
            ge=0,
            le=500,
            title="Margin (%)",
            description="Is added to an estimate before it has to fit into what is left of a window. Raise it if your "
            "clusters take longer than estimated.",
        ),
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
