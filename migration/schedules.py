"""Whether the schedules of a deployment start its runs when a window is open that has room for them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from migration.frozen import Frozen
from migration.openings import HORIZON, Timetable, fits
from migration.recurrence import moment_of, moments, parse_cron, parse_rrule, zone_of

LOOKED_AT: Final = 20
"""How many of the next starts are looked at: three weeks of a nightly schedule."""
# Prefect 3.8, server/schemas/schedules.py: where an RRULE without DTSTART begins, in the schedule's time zone.
_RRULE_START: Final = datetime(2020, 1, 1)  # noqa: DTZ001 - a wall time


class Schedule(Frozen):
    """A schedule as Prefect has it: one of cron, RRULE and interval."""

    name: str = ""
    cron: str = ""
    day_or: bool = True
    """Whether a cron's day matches by its date or its weekday where both are restricted."""
    rrule: str = ""
    interval: timedelta = timedelta(0)
    anchor_date: datetime | None = None
    timezone: str = "UTC"

    def __str__(self) -> str:
        what = self.cron or self.rrule or f"every {self.interval}"
        return f"{self.name} ({what}, {self.timezone})" if self.name else f"{what}, {self.timezone}"


class Misfit(NamedTuple):
    """A start that the run would not work at: when it is, and why."""

    start: datetime
    reason: str

    def __str__(self) -> str:
        return f"{self.start.astimezone(UTC):%a %Y-%m-%d %H:%M} UTC: {self.reason}"


def read_schedule(found: Mapping[str, Any], name: str = "") -> Schedule:
    """Return a schedule from its JSON, or from its entry in prefect.yaml. Raises ValueError if it is neither."""
    known = {key: found[key] for key in Schedule.model_fields if key != "name" and found.get(key) is not None}
    return Schedule.model_validate({**known, "name": name or str(found.get("slug") or "")})


def starts(schedule: Schedule, since: datetime) -> Iterator[datetime]:
    """Return when a schedule starts runs, within the horizon. Raises ValueError for one that can't be read."""
    zone, until = zone_of(schedule.timezone), since + HORIZON
    if schedule.cron:
        return moments(parse_cron(schedule.cron, days_alternate=schedule.day_or), zone, since, until)
    if schedule.rrule:
        return moments(parse_rrule(schedule.rrule, zone, start=_RRULE_START), zone, since, until)
    if schedule.interval <= timedelta(0):
        raise ValueError(f"schedule {schedule.name!r} has neither cron nor rrule nor interval")
    if schedule.anchor_date is None:
        raise ValueError("an interval without anchor_date starts counting when it is deployed: give it one")
    return _steps(schedule.interval, schedule.anchor_date, zone, since)


def misfits(
    schedule: Schedule, timetable: Timetable, *, now: datetime, needed: timedelta, count: int = LOOKED_AT
) -> tuple[Misfit, ...]:
    """Return those of the next `count` starts at which no window is open, or one without room for `needed`.

    `needed` is what the first stretch of a run takes. Raises ValueError for a schedule that can't be read.
    """
    if timetable.is_always:
        return ()
    planned = tuple(islice(starts(schedule, now), count))
    found = ((start, _why_not(timetable, start, needed)) for start in planned)
    return tuple(Misfit(start, reason) for start, reason in found if reason)


def _why_not(timetable: Timetable, start: datetime, needed: timedelta) -> str:
    opening = timetable.opening_at(start)
    if opening is not None and fits(opening, start, needed):
        return ""
    later = timetable.next_opening(start, needed)
    instead = f"the run would wait for {later}" if later else "and none has room for it within 400 days"
    if opening is None:
        return f"no window is open, {instead}"
    return f"{_minutes(opening.end - start)} are left of {opening}, of {_minutes(needed)} needed; {instead}"


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} min"


def _steps(interval: timedelta, anchor: datetime, zone: ZoneInfo, since: datetime) -> Iterator[datetime]:
    """Return the starts as Prefect 3.8 counts them: in real time to the first, then whole days by the clock."""
    first = anchor if anchor.tzinfo else moment_of(anchor, zone)
    moment = first + interval * int((since - first) / interval)
    while moment <= since + HORIZON:
        if moment >= since:
            yield moment
        wall = moment.astimezone(zone).replace(tzinfo=None)
        moment = moment_of(wall + timedelta(days=interval.days), zone) + interval % timedelta(days=1)
