"""When something recurs: cron and RRULE as wall times of a time zone, and where these lie in real time. Clock-free.

Both are read as wall times first, so that they agree on daylight saving: a wall time that is left out stands for the
moment right after the gap, one that comes twice for the first of the two. (cronsim 2.8 does the same by itself, but for
expressions whose minute or hour begins with `*`: those it passes over in the gap, and lets come twice.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NoReturn, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrulestr

DAY_SECONDS: Final = 86_400
_CENTURY_SECONDS: Final = 36_525 * DAY_SECONDS

# RFC 5545, 3.3.10: the steps that are shorter than a day.
_STEP_SECONDS: Final = {"SECONDLY": 1, "MINUTELY": 60, "HOURLY": 3600}
# Steps of a fixed number of days, whose beginning can be moved along.
_STEP_DAYS: Final = {"DAILY": 1, "WEEKLY": 7}
_FREQUENCIES: Final = (*_STEP_SECONDS, *_STEP_DAYS, "MONTHLY", "YEARLY")
_BOUNDS: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST")
_BY_PARTS: Final = (
    *("BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY"),
    *("BYHOUR", "BYMINUTE", "BYSECOND", "BYSETPOS"),
)
_MOST: Final = 10_000
_DTSTART: Final = re.compile(r"DTSTART(?:;TZID=([^:;]+))?:(\d{8}T\d{6})(Z?)", re.IGNORECASE)
_UNTIL: Final = re.compile(r"(\d{8})(?:(T\d{6})(Z?))?", re.IGNORECASE)
# dateutil 2.9 looks for the next date of a rule until the year 9999, which takes seconds if there is none. The calendar
# repeats itself every 400 years, so the same rule is looked at close to that end.
_LATE_YEARS: Final = 7600
_EARLIEST_YEAR, _LATEST_YEAR = 1900, 2300
_ENDLESS: Final = datetime(9999, 12, 31)  # noqa: DTZ001 - a wall time


class Rule(Protocol):
    """Says on which days something happens, and at what times of the day."""

    def days_between(self, first: date, last: date) -> Iterator[tuple[date, Sequence[int]]]:
        """Return the days, in order, each with its wall times in seconds since midnight, in order."""


@dataclass(frozen=True)
class CronRule:
    """A cron expression of five fields."""

    fields: CronSim
    times: tuple[int, ...]

    def days_between(self, first: date, last: date) -> Iterator[tuple[date, Sequence[int]]]:
        """Return the days that match."""
        for day in _days(first, last):
            if day.month in self.fields.months and self.fields.match_day(day):
                yield day, self.times


@dataclass(frozen=True)
class SteadyRule:
    """An RRULE in steps of seconds, minutes or hours."""

    start: datetime
    step_seconds: int
    last: datetime

    def days_between(self, first: date, last: date) -> Iterator[tuple[date, Sequence[int]]]:
        """Return the days with the steps that lie in them, as ranges."""
        for day in _days(max(first, self.start.date()), min(last, self.last.date())):
            midnight = datetime.combine(day, time())
            passed = int((midnight - self.start).total_seconds())
            begin = -passed if passed < 0 else -passed % self.step_seconds
            end = min(DAY_SECONDS, int((self.last - midnight).total_seconds()) + 1)
            if begin < end:
                yield day, range(begin, end, self.step_seconds)


@dataclass(frozen=True)
class CalendarRule:
    """An RRULE in steps of days, weeks, months or years."""

    text: str
    start: datetime
    last: datetime
    step_days: int = 0
    """After how many days it may be begun anew without a difference; 0 if it can't."""

    def days_between(self, first: date, last: date) -> Iterator[tuple[date, Sequence[int]]]:
        """Return the days that match."""
        day, times = date.min, list[int]()
        for late in rrulestr(self.text, dtstart=_late(self._start_before(first))):
            wall = late.replace(year=late.year - _LATE_YEARS)
            if wall > self.last or wall.date() > last:
                break
            if wall.date() != day:
                if times:
                    yield day, tuple(times)
                day, times = wall.date(), []
            if day >= first:
                times.append(wall.hour * 3600 + wall.minute * 60 + wall.second)
        if times:
            yield day, tuple(times)

    def _start_before(self, first: date) -> datetime:
        passed = (first - self.start.date()).days
        if not self.step_days or passed <= self.step_days:
            return self.start
        return self.start + timedelta(days=(passed // self.step_days - 1) * self.step_days)


def parse_cron(text: str, *, days_alternate: bool = True) -> CronRule:
    """Return the rule of a cron expression. Raises ValueError if it isn't one of five fields.

    With `days_alternate` a day matches by its date or its weekday where both are restricted, as cron has it.
    """
    advice = "It has five fields: minute, hour, day of the month, month, day of the week (0-7 or SUN-SAT): 0 22 * * 6"
    if (count := len(text.split())) != 5:
        raise ValueError(f"cron {text!r} has {count} fields. {advice}")
    try:
        fields = CronSim(text, datetime(2000, 1, 1))  # noqa: DTZ001 - a wall time: cronsim then leaves time zones alone
    except CronSimError as error:
        raise ValueError(f"cron {text!r} can't be read: {str(error).lower()}. {advice}") from error
    fields.day_and = fields.day_and or not days_alternate
    return CronRule(
        fields, tuple(sorted(hour * 3600 + minute * 60 for hour in fields.hours for minute in fields.minutes))
    )


def parse_rrule(text: str, zone: ZoneInfo, *, start: datetime | None = None) -> SteadyRule | CalendarRule:
    """Return the rule of an RRULE with its DTSTART, a wall time of the zone; `start` takes the place of a missing one.

    Raises ValueError if it can't be read, or is beyond what is supported: one RRULE, no RDATE and no EXDATE.
    """
    lines = text.split()
    starts = [line for line in lines if line.upper().startswith("DTSTART")]
    rules = [line for line in lines if line not in starts]
    if len(rules) != 1 or len(starts) > 1 or not re.match(r"(RRULE:)?[A-Z]+=", rules[0], re.IGNORECASE):
        _refuse(text, "it has to be one DTSTART and one RRULE", "Give several windows for several rules")
    if not starts and start is None:
        _refuse(text, "it has no DTSTART, which says from when and at what time of the day", "Put it in front")
    begin = _start(text, starts[0], zone) if starts else start
    assert begin is not None  # noqa: S101 - refused above
    parts = _parts(text, rules[0].upper().removeprefix("RRULE:"))
    return _rule(text, parts, begin, _until(text, parts.get("UNTIL", ""), zone))


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name. Raises ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"time zone {name!r} is unknown: give an IANA name, as Europe/Berlin or UTC") from error


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when a wall time of a zone is: the first time if it comes twice, after the gap if it never comes."""
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == wall:
        return moment
    # Between the two readings of a wall time in a gap lies the change of the clocks: it is halved in on.
    late, early = moment, wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = late.astimezone(zone).utcoffset()
    while (seconds := int((late - early).total_seconds())) > 1:
        middle = early + timedelta(seconds=seconds // 2)
        early, late = (early, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, late)
    return late


def moments(rule: Rule, zone: ZoneInfo, since: datetime, until: datetime) -> Iterator[datetime]:
    """Return when a rule falls due from `since` until `until`, each moment once, in order."""
    first, last = since.astimezone(zone).date() - timedelta(days=1), until.astimezone(zone).date()
    before = None
    for day, times in rule.days_between(first, last):
        midnight = datetime.combine(day, time())
        for seconds in times:
            moment = moment_of(midnight + timedelta(seconds=seconds), zone)
            if since <= moment <= until and moment != before:
                yield moment
                before = moment


def _rule(text: str, parts: Mapping[str, str], start: datetime, last: datetime) -> SteadyRule | CalendarRule:
    frequency, interval = parts["FREQ"], int(parts.get("INTERVAL", "1"))
    if step := _STEP_SECONDS.get(frequency, 0) * interval:
        if by := sorted(set(parts) & set(_BY_PARTS)):
            _refuse(text, f"{frequency} doesn't go with {', '.join(by)} here", "Write FREQ=DAILY with BYHOUR, BYMINUTE")
        if "COUNT" in parts:
            last = start + timedelta(seconds=min(step * (int(parts["COUNT"]) - 1), _CENTURY_SECONDS))
        return SteadyRule(start, step, last)
    rule = "RRULE:" + ";".join(f"{key}={value}" for key, value in parts.items() if key != "UNTIL")
    try:
        rrulestr(rule, dtstart=_late(start))
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        _refuse(text, str(error), "RFC 5545, 3.3.10 has the parts of a rule")
    return CalendarRule(rule, start, last, 0 if "COUNT" in parts else _STEP_DAYS.get(frequency, 0) * interval)


def _parts(text: str, rule: str) -> dict[str, str]:
    """Return the parts of a rule by their names, after a look at those that dateutil takes for granted."""
    parts = dict(part.partition("=")[::2] for part in rule.split(";") if part)
    if parts.get("FREQ") not in _FREQUENCIES:
        _refuse(text, f"FREQ={parts.get('FREQ', '')} is none", f"Give one of {', '.join(_FREQUENCIES)}")
    if unknown := sorted(set(parts) - {*_BOUNDS, *_BY_PARTS}):
        _refuse(text, f"it has {', '.join(unknown)}, which no rule has", "RFC 5545, 3.3.10 has the parts of a rule")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not (parts[name].isdecimal() and 1 <= int(parts[name]) <= _MOST):
            _refuse(text, f"{name}={parts[name]} is no number from 1 to {_MOST}", "Correct it")
    if "COUNT" in parts and "UNTIL" in parts:
        _refuse(text, "it has COUNT and UNTIL", "RFC 5545 allows one of them")
    return parts


def _start(text: str, line: str, zone: ZoneInfo) -> datetime:
    found = _DTSTART.fullmatch(line)
    if found is None:
        _refuse(text, f"{line!r} can't be read", "Write the local time, as DTSTART:20261128T220000")
    named = "UTC" if found[3] else (found[1] or zone.key)
    if named.upper() != zone.key.upper():
        _refuse(text, f"DTSTART is in {named}, but the time zone is {zone.key}", f"Write the local time of {zone.key}")
    return _wall(text, found[2])


def _until(text: str, until: str, zone: ZoneInfo) -> datetime:
    """Return the last wall time of a rule; a mere date counts to its end."""
    if not until:
        return _ENDLESS
    found = _UNTIL.fullmatch(until)
    if found is None:
        _refuse(text, f"UNTIL={until} can't be read", "Write it as 20261231 or 20261231T235900")
    wall = _wall(text, found[1] + (found[2] or "T235959"))
    return wall.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None, fold=0) if found[3] else wall


def _wall(text: str, written: str) -> datetime:
    try:
        wall = datetime.fromisoformat(written)
    except ValueError as error:
        _refuse(text, f"{written} is no date ({error})", "Correct it")
    if not _EARLIEST_YEAR <= wall.year <= _LATEST_YEAR:
        _refuse(text, f"{written} is out of range", f"Give a year from {_EARLIEST_YEAR} to {_LATEST_YEAR}")
    return wall


def _late(wall: datetime) -> datetime:
    return wall.replace(year=wall.year + _LATE_YEARS)


def _days(first: date, last: date) -> Iterator[date]:
    for number in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(number)


def _refuse(text: str, seen: str, advice: str) -> NoReturn:
    raise ValueError(f"rrule {text!r} can't be used: {seen}. {advice}: DTSTART:20261128T220000 RRULE:FREQ=WEEKLY")
