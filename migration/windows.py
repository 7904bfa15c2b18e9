"""Maintenance windows: when a cluster may be worked on. Pure and clock-free; all moments are aware datetimes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import Field

from migration.frozen import Frozen


class Window(Frozen):
    """A recurring window: when it opens, by cron or RRULE in a time zone, and for how long it stays open."""

    cron: Annotated[str, Field(title="Opens (cron)", description="Five fields, as 0 22 * * 6")] = ""
    rrule: Annotated[str, Field(title="Opens (RRULE)", description="With DTSTART, as an alternative to cron")] = ""
    timezone: Annotated[str, Field(title="Time zone", description="IANA name, as Europe/Berlin")] = "UTC"
    length_minutes: Annotated[int, Field(ge=1, le=10080, title="Stays open (minutes)")]


class Maintenance(Frozen):
    """When a run may work on its cluster. Nothing given: at any time."""

    windows: Annotated[tuple[Window, ...], Field(title="Windows")] = ()
    cluster_window: Annotated[
        bool, Field(title="The cluster's own window", description="Work in spec.updateWindow of the Cluster as well")
    ] = False
    excluded_dates: Annotated[
        tuple[date, ...], Field(title="Excluded dates", description="Days on which no window opens")
    ] = ()
    margin_percent: Annotated[
        int, Field(ge=0, le=500, title="Margin (%)", description="Added to an estimate before it has to fit")
    ] = 25


class Opening(NamedTuple):
    """One time that a window is open: from `start` until `end`, exclusive."""

    start: datetime
    end: datetime


def opening_for(openings: object, now: datetime, needed: timedelta) -> Opening | None:
    """Placeholder."""
    raise NotImplementedError(openings, now, needed)
