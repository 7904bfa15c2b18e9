"""Windows open at the wall time that they name, and stay open for the real time that they last."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from migration.errors import InvalidRequest
from migration.windows import HORIZON, Maintenance, Opening, Timetable, UpdateWindow, Window, fits, recurrences

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
NONE = timedelta(0)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(minutes: int = 60, **fields: str) -> Window:
    return Window(length_minutes=minutes, **fields)


def timetable(*windows: Window, **fields: object) -> Timetable:
    return recurrences(Maintenance.model_validate({"windows": windows, **fields}), None)


def openings(since: str, *windows: Window, count: int = 3, **fields: object) -> list[str]:
    """The first openings that end after a moment, in UTC."""
    found = (each for each in timetable(*windows, **fields).openings(at(since)) if each.end > at(since))
    return [f"{each.start:%m-%d %H:%M}-{each.end:%d %H:%M}" for each in islice(found, count)]


BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
DAILY = "DTSTART:20200101T{} RRULE:FREQ=DAILY"


@pytest.mark.parametrize(
    ("since", "zone", "hour", "minute", "minutes", "expected"),
    [
        # Berlin, 29 March 2026: 02:00 CET is 03:00 CEST (01:00 UTC).
        ("2026-03-28", BERLIN, 2, 30, 60, ["03-28 01:30-28 02:30", "03-29 01:00-29 02:00", "03-30 00:30-30 01:30"]),
        ("2026-03-28T12", BERLIN, 1, 30, 90, ["03-29 00:30-29 02:00", "03-29 23:30-30 01:00", "03-30 23:30-31 01:00"]),
        ("2026-03-28T12", BERLIN, 3, 0, 60, ["03-29 01:00-29 02:00", "03-30 01:00-30 02:00", "03-31 01:00-31 02:00"]),
        # Berlin, 25 October 2026: 03:00 CEST is 02:00 CET (01:00 UTC).
        ("2026-10-24", BERLIN, 2, 30, 60, ["10-24 00:30-24 01:30", "10-25 00:30-25 01:30", "10-26 01:30-26 02:30"]),
        ("2026-10-24T12", BERLIN, 22, 0, 360, ["10-24 20:00-25 02:00", "10-25 21:00-26 03:00", "10-26 21:00-27 03:00"]),
        ("2026-10-24T12", BERLIN, 3, 0, 60, ["10-25 02:00-25 03:00", "10-26 02:00-26 03:00", "10-27 02:00-27 03:00"]),
        # New York, 8 March and 1 November 2026, both at 02:00.
        ("2026-03-07", NEW_YORK, 2, 15, 60, ["03-07 07:15-07 08:15", "03-08 07:00-08 08:00", "03-09 06:15-09 07:15"]),
        ("2026-10-31", NEW_YORK, 1, 30, 60, ["10-31 05:30-31 06:30", "11-01 05:30-01 06:30", "11-02 06:30-02 07:30"]),
        # Lord Howe moves its clocks by half an hour: 4 October (02:00 to 02:30) and 5 April 2026 (02:00 to 01:30).
        ("2026-10-02", LORD_HOWE, 2, 15, 60, ["10-02 15:45-02 16:45", "10-03 15:30-03 16:30", "10-04 15:15-04 16:15"]),
        ("2026-04-03", LORD_HOWE, 1, 45, 30, ["04-03 14:45-03 15:15", "04-04 14:45-04 15:15", "04-05 15:15-05 15:45"]),
        # Havana moves its clocks at midnight: 8 March (00:00 to 01:00) and 1 November 2026 (01:00 to 00:00).
        (
            "2026-03-07T02",
            "America/Havana",
            0,
            30,
            30,
            ["03-07 05:30-07 06:00", "03-08 05:00-08 05:30", "03-09 04:30-09 05:00"],
        ),
        (
            "2026-10-31T02",
            "America/Havana",
            0,
            0,
            30,
            ["10-31 04:00-31 04:30", "11-01 04:00-01 04:30", "11-02 05:00-02 05:30"],
        ),
    ],
)
def test_cron_and_rrule_agree_when_clocks_change(since, zone, hour, minute, minutes, expected):  # noqa: PLR0917 - a table
    cron = window(minutes, cron=f"{minute} {hour} * * *", timezone=zone)
    rrule = window(minutes, rrule=DAILY.format(f"{hour:02}{minute:02}00"), timezone=zone)

    assert openings(since, cron) == expected
    assert openings(since, rrule) == expected


@pytest.mark.parametrize("cron", ["*/30 2 * * *", "0,30 2 * * *"])
def test_a_star_does_not_let_a_cron_pass_over_the_gap_or_open_twice(cron):
    every_half_hour = window(10, cron=cron, timezone=BERLIN)

    assert openings("2026-03-29", every_half_hour, count=2) == ["03-29 01:00-29 01:10", "03-30 00:00-30 00:10"]
    assert openings("2026-10-25", every_half_hour) == [
        "10-25 00:00-25 00:10",
        "10-25 00:30-25 00:40",
        "10-26 01:00-26 01:10",
    ]


@pytest.mark.parametrize(
    ("since", "made", "expected"),
    [
        ("2026-11-23", window(240, cron="0 22 * * 6"), ["11-28 22:00-29 02:00", "12-05 22:00-06 02:00"]),
        ("2026-11-23", window(240, cron="0 22 * * SAT"), ["11-28 22:00-29 02:00", "12-05 22:00-06 02:00"]),
        ("2026-11-28T23:30", window(240, cron="0 22 * * 6"), ["11-28 22:00-29 02:00", "12-05 22:00-06 02:00"]),
        ("2026-12-31", window(240, cron="0 22 31 12 *"), ["12-31 22:00-01 02:00", "12-31 22:00-01 02:00"]),
        ("2028-02-01", window(120, cron="30 23 29 2 *"), ["02-29 23:30-01 01:30"]),
        ("2028-02-28T12", window(120, cron="30 23 * * *"), ["02-28 23:30-29 01:30", "02-29 23:30-01 01:30"]),
        ("2026-11-23", window(60, cron="0 22 L * *"), ["11-30 22:00-30 23:00", "12-31 22:00-31 23:00"]),
        (
            "2026-11-23",
            window(60, rrule="DTSTART:20260101T220000\nRRULE:FREQ=MONTHLY;BYDAY=SA;BYSETPOS=-1", timezone=BERLIN),
            ["11-28 21:00-28 22:00", "12-26 21:00-26 22:00"],
        ),
        (
            "2026-11-23",
            window(60, rrule="dtstart;tzid=Europe/Berlin:20261107T220000 freq=weekly;interval=2", timezone=BERLIN),
            ["12-05 21:00-05 22:00", "12-19 21:00-19 22:00"],
        ),
        ("2026-11-23", window(60, rrule="DTSTART:20261120T220000Z RRULE:FREQ=DAILY;COUNT=5"), ["11-23 22:00-23 23:00", "11-24 22:00-24 23:00"]),
        ("2026-11-25", window(60, rrule="DTSTART:20261120T220000 RRULE:FREQ=DAILY;COUNT=5"), []),
        ("2026-11-24", window(60, rrule="DTSTART:20261120T220000 RRULE:FREQ=DAILY;UNTIL=20261124"), ["11-24 22:00-24 23:00"]),
        ("2026-11-24", window(60, rrule="DTSTART:20261120T220000 RRULE:FREQ=DAILY;UNTIL=20261124T215959"), []),
        (
            "2026-11-24",
            window(60, rrule="DTSTART:20261120T220000 RRULE:FREQ=DAILY;UNTIL=20261124T210000Z", timezone=BERLIN),
            ["11-24 21:00-24 22:00"],
        ),
        ("2026-11-24", window(60, rrule="DTSTART:20261120T220000 RRULE:FREQ=DAILY;UNTIL=20261124T205959Z", timezone=BERLIN), []),
        ("2026-11-23", window(60, rrule="DTSTART:20261201T220000 RRULE:FREQ=DAILY"), ["12-01 22:00-01 23:00", "12-02 22:00-02 23:00"]),
        ("2026-11-23", window(20, rrule="DTSTART:19990101T001500 RRULE:FREQ=HOURLY;INTERVAL=7"), ["11-23 05:15-23 05:35", "11-23 12:15-23 12:35"]),
        ("2026-11-23", window(60, rrule="DTSTART:20200101T000000 RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"), []),
    ],
)  # fmt: skip
def test_a_window_opens_when_its_rule_says(since, made, expected):
    assert openings(since, made, count=2) == expected


def test_a_window_of_seconds_opens_at_its_second():
    opens = window(1, rrule="DTSTART:20261123T150005 RRULE:FREQ=SECONDLY;INTERVAL=90")

    assert timetable(opens).next_opening(NOW, NONE) == Opening(NOW + timedelta(seconds=5), NOW + timedelta(seconds=65))
    assert timetable(opens).next_opening(NOW + timedelta(seconds=65), NONE).start == NOW + timedelta(seconds=95)


def test_a_window_of_seconds_ends_with_its_count():
    once = timetable(window(1, rrule="DTSTART:20261123T150005 RRULE:FREQ=SECONDLY;INTERVAL=90;COUNT=1"))

    assert once.next_opening(NOW, NONE) is not None
    assert once.next_opening(NOW + timedelta(seconds=65), NONE) is None


def test_windows_that_overlap_or_touch_are_one_opening():
    found = openings(
        "2026-11-28",
        window(120, cron="0 22 28 11 *"),
        window(60, cron="0 23 28 11 *"),
        window(60, cron="0 0 29 11 *"),
        window(30, cron="1 1 29 11 *"),
    )

    assert found[:2] == ["11-28 22:00-29 01:00", "11-29 01:01-29 01:31"]


def test_windows_of_several_zones_are_one_timetable():
    found = openings("2026-11-23", window(60, cron="0 22 * * *", timezone=BERLIN), window(60, cron="0 22 * * *"))

    assert found[0] == "11-23 21:00-23 23:00"


def test_no_window_opens_on_an_excluded_date_and_one_from_the_evening_before_stays_open():
    every_night = window(240, cron="0 22 * * *", timezone=BERLIN)

    found = openings("2026-12-23T12", every_night, excluded_dates=[date(2026, 12, 24), date(2026, 12, 25)])

    assert found == ["12-23 21:00-24 01:00", "12-26 21:00-27 01:00", "12-27 21:00-28 01:00"]


def test_an_excluded_date_is_one_of_the_windows_zone():
    just_after_midnight = window(30, cron="30 0 * * *", timezone=BERLIN)

    found = openings("2026-12-23T12", just_after_midnight, count=1, excluded_dates=[date(2026, 12, 24)])

    assert found == ["12-24 23:30-25 00:00"]


def test_nothing_given_is_always_open():
    always = timetable()

    assert always.is_always
    assert always.opening_at(NOW) == Opening(NOW, NOW + HORIZON)
    assert always.next_opening(NOW, timedelta(days=3)) == Opening(NOW, NOW + HORIZON)
    assert always.longest(NOW) == HORIZON


@pytest.mark.parametrize(
    ("now", "minutes", "has_room"),
    [
        ("2026-11-28T20:00", 240, True),
        ("2026-11-28T20:00", 241, False),
        ("2026-11-28T23:00", 180, True),
        ("2026-11-28T23:00", 181, False),
        ("2026-11-29T01:59", 0, True),
        ("2026-11-29T02:00", 0, False),
    ],
)
def test_what_fits_counts_from_now_or_from_the_start(now, minutes, has_room):
    opening = Opening(at("2026-11-28T22:00"), at("2026-11-29T02:00"))

    assert fits(opening, at(now), timedelta(minutes=minutes)) is has_room


def test_the_opening_of_a_moment_ends_before_its_end():
    night = timetable(window(240, cron="0 22 * * 6"))
    opening = Opening(at("2026-11-28T22:00"), at("2026-11-29T02:00"))

    assert night.opening_at(at("2026-11-28T21:59:59")) is None
    assert night.opening_at(at("2026-11-28T22:00")) == opening
    assert night.opening_at(at("2026-11-29T01:59:59")) == opening
    assert night.opening_at(at("2026-11-29T02:00")) is None


@pytest.mark.parametrize(
    ("now", "needed", "expected"),
    [
        ("2026-11-23T15:00", 240, "2026-11-28T22:00"),
        ("2026-11-28T23:00", 180, "2026-11-28T22:00"),
        ("2026-11-28T23:00", 181, "2026-12-05T22:00"),
        ("2026-11-29T02:00", 0, "2026-12-05T22:00"),
        ("2026-11-23T15:00", 241, None),
    ],
)
def test_the_next_opening_has_room_from_now_on(now, needed, expected):
    found = timetable(window(240, cron="0 22 * * 6")).next_opening(at(now), timedelta(minutes=needed))

    assert (found and found.start) == (expected and at(expected))


def test_the_longest_opening_counts_from_now():
    once = timetable(window(240, rrule="DTSTART:20261123T140000 RRULE:FREQ=DAILY;COUNT=1"))

    assert once.longest(NOW) == timedelta(hours=3)
    assert once.longest(NOW + timedelta(hours=3)) == NONE


@pytest.mark.parametrize(
    "made",
    [
        window(60, rrule="DTSTART:19700101T220000 RRULE:FREQ=YEARLY"),
        window(1, cron="* * * * *", timezone=BERLIN),
        window(60, rrule="DTSTART:20000101T000000 RRULE:FREQ=SECONDLY"),
    ],
    ids=["yearly", "minutely", "secondly"],
)
def test_a_rare_window_and_a_permanent_one_are_found_at_once(made):
    begun = time.process_time()

    found = timetable(made)
    found.opening_at(NOW), found.next_opening(NOW, timedelta(minutes=30)), found.longest(NOW)

    assert time.process_time() - begun < 0.3  # generous: about 0.02 s


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        ("22:30", "2h", "11-23 22:30-24 00:30"),
        ("Mon 21:00", "1h30m", "11-23 21:00-23 22:30"),
        ("thu 3:05", "90m", "11-26 03:05-26 04:35"),
        ("04:00", "1.5h", "11-24 04:00-24 05:30"),
    ],
)
def test_the_clusters_own_window_is_read_as_kkp_writes_it(start, length, expected):
    found = recurrences(Maintenance(cluster_window=True), UpdateWindow(start, length))

    opening = found.next_opening(NOW, NONE)
    assert f"{opening.start:%m-%d %H:%M}-{opening.end:%d %H:%M}" == expected


def test_the_clusters_own_window_joins_the_others_and_keeps_the_excluded_dates():
    both = Maintenance(
        windows=(window(60, cron="30 22 24 11 *"),), cluster_window=True, excluded_dates=(date(2026, 11, 23),)
    )

    assert recurrences(both, UpdateWindow("21:30", "1h")).next_opening(NOW, NONE) == Opening(
        at("2026-11-24T21:30"), at("2026-11-24T23:30")
    )


def test_a_length_beyond_a_week_is_open_without_end():
    found = recurrences(Maintenance(cluster_window=True), UpdateWindow("Mon 21:00", "200h"))

    assert found.longest(NOW) > timedelta(days=365)


@pytest.mark.parametrize(
    "found",
    [
        *(None, UpdateWindow("", "2h"), UpdateWindow("22:30", ""), UpdateWindow("25:00", "2h")),
        *(UpdateWindow("Monday 21:00", "2h"), UpdateWindow("22:30", "2"), UpdateWindow("22:30", "-2h")),
        *(UpdateWindow("22:30", "0s"), UpdateWindow("22:30", "2 h")),
    ],
)
def test_a_cluster_window_that_is_missing_or_unreadable_is_refused(found):
    with pytest.raises(InvalidRequest, match=r"spec\.updateWindow"):
        recurrences(Maintenance(cluster_window=True), found)


def test_a_cluster_window_that_was_not_asked_for_does_not_matter():
    assert recurrences(Maintenance(), UpdateWindow("x", "y")).is_always


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "neither cron nor rrule"),
        ({"cron": "0 22 * * 6", "rrule": "DTSTART:20261128T220000 RRULE:FREQ=DAILY"}, "exactly one"),
        ({"cron": "0 22 * *"}, "4 fields"),
        ({"cron": "0 0 22 * * 6"}, "6 fields"),
        ({"cron": "61 22 * * 6"}, "bad minute"),
        ({"cron": "0 22 30 2 *"}, "bad day-of-month"),
        ({"cron": "0 22 * * 6", "timezone": "Europe/Bonn"}, "time zone 'Europe/Bonn' is unknown"),
        ({"cron": "0 22 * * 6", "timezone": "../etc/passwd"}, "is unknown"),
        ({"cron": "0 22 * * 6", "timezone": ""}, "is unknown"),
        ({"rrule": "FREQ=DAILY"}, "no DTSTART"),
        ({"rrule": "DTSTART:20261128T220000"}, "one DTSTART and one RRULE"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=DAILY EXDATE:20261129T220000"}, "one DTSTART and one RRULE"),
        ({"rrule": "DTSTART:20261128 RRULE:FREQ=DAILY"}, "can't be read"),
        ({"rrule": "DTSTART:20261328T220000 RRULE:FREQ=DAILY"}, "no date"),
        ({"rrule": "DTSTART:26661128T220000 RRULE:FREQ=DAILY"}, "out of range"),
        ({"rrule": "DTSTART:20261128T220000Z RRULE:FREQ=DAILY", "timezone": BERLIN}, "DTSTART is in UTC"),
        ({"rrule": "DTSTART;TZID=Asia/Tokyo:20261128T220000 RRULE:FREQ=DAILY", "timezone": BERLIN}, "Asia/Tokyo"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=FORTNIGHTLY"}, "FREQ=FORTNIGHTLY is none"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:BYDAY=SA"}, "FREQ= is none"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=DAILY;INTERVAL=0"}, "INTERVAL=0"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=DAILY;COUNT=-1"}, "COUNT=-1"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=DAILY;COUNT=2;UNTIL=20270101"}, "COUNT and UNTIL"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=DAILY;UNTIL=soon"}, "UNTIL=SOON"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=WEEKLY;BYDAY=XX"}, "BYDAY"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=WEEKLY;BYFUN=1"}, "BYFUN"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=DAILY;BYHOUR=25"}, "hour"),
        ({"rrule": "DTSTART:20261128T220000 RRULE:FREQ=MINUTELY;BYHOUR=22"}, "FREQ=DAILY with BYHOUR"),
    ],
)
def test_a_window_that_can_not_be_meant_is_refused_with_its_reason(fields, said):
    with pytest.raises(ValidationError) as refused:
        window(**fields)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2026-11-28T22:00", "2026-11-29T02:00", "Sat 2026-11-28 22:00 to Sun 02:00 UTC"),
        ("2026-11-28T22:00", "2026-11-28T23:30", "Sat 2026-11-28 22:00 to 23:30 UTC"),
        ("2026-11-28T22:00", "2026-12-12T02:00", "Sat 2026-11-28 22:00 to Sat 2026-12-12 02:00 UTC"),
        ("2026-11-28T22:00:05", "2026-11-28T22:01:05", "Sat 2026-11-28 22:00:05 to 22:01:05 UTC"),
    ],
)
def test_an_opening_reads_well(start, end, text):
    assert str(Opening(at(start), at(end))) == text
    assert str(Opening(at(start).astimezone(ZoneInfo(BERLIN)), at(end))) == text
