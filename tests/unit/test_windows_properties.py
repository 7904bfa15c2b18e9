"""What holds for every timetable at every moment."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from migration.windows import Maintenance, Timetable, Window, fits, recurrences

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu")
START = datetime(2026, 1, 1, tzinfo=UTC)

moments = st.integers(0, 366 * 1440 * 60).map(lambda seconds: START + timedelta(seconds=seconds))
rooms = st.integers(0, 3000).map(lambda minutes: timedelta(minutes=minutes))
lengths = st.integers(1, 3000)
zones = st.sampled_from(ZONES)
hours, minutes, weekdays = st.integers(0, 23), st.integers(0, 59), st.sampled_from(["*", "0", "6", "1-5"])


@st.composite
def crons(draw) -> Window:
    cron = f"{draw(minutes)} {draw(hours)} * * {draw(weekdays)}"
    return Window(cron=cron, timezone=draw(zones), length_minutes=draw(lengths))


@st.composite
def rrules(draw) -> Window:
    start = (
        f"DTSTART:2026{draw(st.integers(1, 12)):02}{draw(st.integers(1, 28)):02}T{draw(hours):02}{draw(minutes):02}00"
    )
    frequency = draw(st.sampled_from(["HOURLY", "DAILY", "WEEKLY", "MONTHLY", "MONTHLY;BYDAY=SA;BYSETPOS=-1"]))
    bound = draw(st.sampled_from(["", ";COUNT=3", ";UNTIL=20261101"]))
    rule = f"{start} RRULE:FREQ={frequency};INTERVAL={draw(st.integers(1, 40))}{bound}"
    return Window(rrule=rule, timezone=draw(zones), length_minutes=draw(lengths))


windows = crons() | rrules()
excluded = st.lists(st.dates(date(2026, 1, 1), date(2027, 1, 31)), max_size=5)
timetables = st.builds(
    lambda some, dates: recurrences(Maintenance(windows=tuple(some), excluded_dates=tuple(dates)), None),
    st.lists(windows, min_size=1, max_size=3),
    excluded,
)


@settings(max_examples=60)
@given(timetables, moments, rooms)
def test_an_opening_that_is_found_has_room_and_is_not_over(timetable: Timetable, now, needed):
    found = timetable.next_opening(now, needed)

    if found is not None:
        assert found.start < found.end
        assert found.end > now
        assert max(now, found.start) + needed <= found.end
        assert fits(found, now, needed)


@settings(max_examples=60)
@given(timetables, moments, rooms)
def test_nothing_is_found_only_if_it_is_longer_than_any_opening(timetable: Timetable, now, needed):
    assert (timetable.next_opening(now, needed) is None) == (
        timetable.longest(now) < needed or not timetable.longest(now)
    )


@settings(max_examples=60)
@given(timetables, moments)
def test_openings_are_apart_and_in_order(timetable: Timetable, now):
    assert all(before.end < after.start for before, after in pairwise(islice(timetable.openings(now), 50)))


@settings(max_examples=60)
@given(timetables, moments, rooms, rooms)
def test_more_room_is_never_found_earlier(timetable: Timetable, now, one, other):
    early, late = (timetable.next_opening(now, needed) for needed in sorted((one, other)))

    assert late is None or (early is not None and early.start <= late.start)


@settings(max_examples=60)
@given(timetables, moments, st.integers(0, 60 * 1440).map(lambda minutes: timedelta(minutes=minutes)), rooms)
def test_who_asks_later_is_never_sent_back(timetable: Timetable, now, passed, needed):
    first, second = timetable.next_opening(now, needed), timetable.next_opening(now + passed, needed)

    assert first is None or second is None or first.end <= second.end


@settings(max_examples=60)
@given(timetables, moments)
def test_it_is_open_now_exactly_if_the_next_opening_has_begun(timetable: Timetable, now):
    current, following = timetable.opening_at(now), timetable.next_opening(now, timedelta(0))

    assert current == (following if following is not None and following.start <= now else None)


@settings(max_examples=60)
@given(crons(), crons(), moments)
def test_a_further_window_never_closes_what_was_open(one, other, now):
    alone, both = (recurrences(Maintenance(windows=some), None) for some in ((one,), (one, other)))

    opening, joined = alone.opening_at(now), both.opening_at(now)
    if opening is not None:
        assert joined is not None
        assert joined.end >= opening.end


def day_by_day(window: Window, now: datetime) -> bool:
    """Whether a window is open, found by trying every day of two weeks and every minute behind a gap."""
    minute, hour, _, _, weekdays = window.cron.split()
    zone, length = ZoneInfo(window.timezone), timedelta(minutes=window.length_minutes)
    allowed = {"*": range(7), "0": (6,), "6": (5,), "1-5": range(5)}[weekdays]
    for days in range(-14, 2):
        wall = datetime.combine(now.astimezone(zone).date() + timedelta(days=days), time(int(hour), int(minute)))
        if wall.weekday() not in allowed:
            continue
        while wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
            wall += timedelta(minutes=1)
        start = wall.replace(tzinfo=zone).astimezone(UTC)
        if start <= now < start + length:
            return True
    return False


@settings(max_examples=200)
@given(st.lists(crons(), min_size=1, max_size=3), moments)
def test_it_is_open_whenever_one_of_the_windows_is(some, now):
    opening = recurrences(Maintenance(windows=tuple(some)), None).opening_at(now)

    assert (opening is not None) == any(day_by_day(window, now) for window in some)


@settings(max_examples=60)
@given(windows, moments, st.lists(st.integers(0, 400), max_size=8))
def test_no_window_opens_on_an_excluded_date(window: Window, now, days):
    dates = frozenset((now + timedelta(days=number)).date() for number in days)
    recurrence = window.recurrence(dates)

    for opening in islice(recurrence.openings(now, now + timedelta(days=400)), 50):
        # A merged opening of a day with several starts begins on that day; one moved out of a gap stays on its day.
        assert opening.start.astimezone(recurrence.zone).date() not in dates


@settings(max_examples=60)
@given(hours, minutes, zones, lengths, moments)
def test_cron_and_rrule_of_the_same_times_agree(hour, minute, zone, length, now):
    cron = Window(cron=f"{minute} {hour} * * *", timezone=zone, length_minutes=length)
    rrule = Window(
        rrule=f"DTSTART:20200101T{hour:02}{minute:02}00 RRULE:FREQ=DAILY", timezone=zone, length_minutes=length
    )

    by_cron, by_rrule = (recurrences(Maintenance(windows=(window,)), None).openings(now) for window in (cron, rrule))
    assert list(islice(by_cron, 20)) == list(islice(by_rrule, 20))
