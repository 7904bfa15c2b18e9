"""The times at which windows are open, as stretches of real time. Clock-free; all moments are aware datetimes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from migration.recurrence import Rule, moment_of

HORIZON: Final = timedelta(days=400)
"""How far ahead openings are looked for: a window that opens once a year is found."""
LONGEST_WINDOW: Final = timedelta(days=7)
_LOOK_BACK: Final = 2 * LONGEST_WINDOW


class Opening(NamedTuple):
    """One time that a window is open: from `start` until `end`, exclusive."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        """`Sat 2026-11-28 22:00 to Sun 02:00 UTC`; seconds only where they count."""
        start, end = self.start.astimezone(UTC), self.end.astimezone(UTC)
        clock = "%H:%M:%S" if start.second or end.second else "%H:%M"
        later = "%a " if end - start < LONGEST_WINDOW else "%a %Y-%m-%d "
        day = "" if end.date() == start.date() else later
        return f"{start.strftime('%a %Y-%m-%d ' + clock)} to {end.strftime(day + clock)} UTC"


def fits(opening: Opening, now: datetime, needed: timedelta) -> bool:
    """Tell whether what is left of an opening, from `now` or from its start if that is later, has room for `needed`."""
    return now < opening.end and max(now, opening.start) + needed <= opening.end


@dataclass(frozen=True)
class Recurrence:
    """A window as a rule: it opens at the rule's wall times and stays open for a length of real time."""

    rule: Rule
    zone: ZoneInfo
    length: timedelta
    excluded: frozenset[date] = frozenset()
    """Wall dates on which it doesn't open."""

    def openings(self, since: datetime, until: datetime) -> Iterator[Opening]:
        """Return the openings in their order that end after `since` and begin until `until`; some may overlap."""
        margin = timedelta(days=1) + self.length
        first, last = (since.astimezone(self.zone) - margin).date(), until.astimezone(self.zone).date()
        for day, times in self.rule.days_between(first, last):
            if day not in self.excluded:
                yield from (
                    opening for opening in self._on(day, times) if opening.end > since and opening.start <= until
                )

    def _on(self, day: date, times: Sequence[int]) -> Iterator[Opening]:
        midnight = datetime.combine(day, time())
        start = moment_of(midnight, self.zone)
        if moment_of(midnight + timedelta(days=1), self.zone) - start == timedelta(days=1):
            for opens, closes in _merged(times, int(self.length.total_seconds())):
                yield Opening(start + timedelta(seconds=opens), start + timedelta(seconds=closes))
            return
        # The clocks change on this day, so each time is looked at by itself; a minute apart is close enough.
        if isinstance(times, range) and times.step < 60:
            times = times[:: 60 // times.step]
        for seconds in times:
            opens_at = moment_of(midnight + timedelta(seconds=seconds), self.zone)
            yield Opening(opens_at, opens_at + self.length)


@dataclass(frozen=True)
class Timetable:
    """When a run may work: in the openings of several windows, where those that overlap or touch are one."""

    recurrences: tuple[Recurrence, ...] = ()

    @property
    def is_always(self) -> bool:
        """Whether there is no window at all, so that it is always open."""
        return not self.recurrences

    def openings(self, now: datetime) -> Iterator[Opening]:
        """Return the openings in their order, from those that are over lately until the horizon.

        The start of one that goes on without end is not looked for further back than 14 days.
        """
        if self.is_always:
            yield Opening(now, now + HORIZON)
            return
        now = now.astimezone(UTC)
        every = (recurrence.openings(now - _LOOK_BACK, now + HORIZON) for recurrence in self.recurrences)
        yield from _joined(heapq.merge(*every))

    def opening_at(self, now: datetime) -> Opening | None:
        """Return the opening that `now` lies in; None if it is closed."""
        current = next((opening for opening in self.openings(now) if opening.end > now), None)
        return current if current is not None and current.start <= now else None

    def next_opening(self, now: datetime, needed: timedelta) -> Opening | None:
        """Return the first opening, the current one included, that has room for `needed`; None within 400 days."""
        return next((opening for opening in self.openings(now) if fits(opening, now, needed)), None)

    def longest(self, now: datetime) -> timedelta:
        """Return the longest time that is open at a stretch from now on, within 400 days; zero if none is."""
        lengths = (opening.end - max(now, opening.start) for opening in self.openings(now) if opening.end > now)
        return max(lengths, default=timedelta(0))


def _joined(openings: Iterator[Opening]) -> Iterator[Opening]:
    current: Opening | None = None
    for opening in openings:
        if current is None:
            current = opening
        elif opening.start <= current.end:
            current = Opening(current.start, max(current.end, opening.end))
        else:
            yield current
            current = opening
    if current is not None:
        yield current


@lru_cache(maxsize=256)
def _merged(times: Sequence[int], length: int) -> tuple[tuple[int, int], ...]:
    """Return when it opens and closes on an ordinary day, in seconds since midnight."""
    if isinstance(times, range) and times.step <= length:
        return ((times[0], times[-1] + length),)
    merged: list[tuple[int, int]] = []
    for opens in times:
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], opens + length)
        else:
            merged.append((opens, opens + length))
    return tuple(merged)
