"""A schedule contradicts its windows where it starts a run that may not work then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from pydantic import ValidationError

from migration.schedules import Schedule, misfits, read_schedule, starts
from migration.windows import Maintenance, Timetable, Window, recurrences

NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)
BERLIN = "Europe/Berlin"
SATURDAY_NIGHT = Window(cron="0 22 * * 6", timezone=BERLIN, length_minutes=240)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def missed(schedule: Schedule, *windows: Window, minutes: int = 30, count: int = 7) -> list[str]:
    timetable = recurrences(Maintenance(windows=windows or (SATURDAY_NIGHT,)), None)
    return [str(each) for each in misfits(schedule, timetable, now=NOW, needed=timedelta(minutes=minutes), count=count)]


@pytest.mark.parametrize(
    ("schedule", "since", "expected"),
    [
        (Schedule(cron="0 22 * * 6", timezone=BERLIN), NOW, ["2026-11-28T21:00", "2026-12-05T21:00"]),
        (Schedule(cron="0 0 13 * 5"), NOW, ["2026-11-27T00:00", "2026-12-04T00:00"]),
        (Schedule(cron="0 0 13 * 5", day_or=False), NOW, ["2027-08-13T00:00"]),
        (Schedule(rrule="FREQ=DAILY;BYHOUR=22", timezone=BERLIN), NOW, ["2026-11-23T21:00", "2026-11-24T21:00"]),
        (Schedule(rrule="DTSTART:20261124T010000 RRULE:FREQ=DAILY"), NOW, ["2026-11-24T01:00", "2026-11-25T01:00"]),
        # As in Prefect, days keep the hour of the clock, hours count real time, and an anchor in the future is none.
        (
            Schedule(interval=timedelta(days=7), anchor_date=at("2026-10-17T20:00"), timezone=BERLIN),
            at("2026-10-20T00:00"),
            ["2026-10-24T20:00", "2026-10-31T21:00"],
        ),
        (Schedule(interval=timedelta(hours=7), anchor_date=at("2026-11-01T00:00")), NOW, ["2026-11-23T18:00", "2026-11-24T01:00"]),
        (Schedule(interval=timedelta(hours=7), anchor_date=at("2026-12-01T00:00")), NOW, ["2026-11-23T17:00", "2026-11-24T00:00"]),
        (
            Schedule(interval=timedelta(days=1), anchor_date=datetime(2026, 11, 1, 22), timezone=BERLIN),  # noqa: DTZ001
            NOW,
            ["2026-11-23T21:00", "2026-11-24T21:00"],
        ),
    ],
)  # fmt: skip
def test_a_schedule_starts_when_prefect_would_start_it(schedule, since, expected):
    assert list(islice(starts(schedule, since), 2)) == [at(text) for text in expected]


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(cron="30 3 * * *", timezone=BERLIN),
        Schedule(cron="0 0 1 * 1", timezone="America/New_York"),
        Schedule(cron="0 0 1 * 1", day_or=False),
        Schedule(rrule="DTSTART:20261124T010000\nRRULE:FREQ=WEEKLY;BYDAY=SA,SU", timezone=BERLIN),
        Schedule(rrule="FREQ=MONTHLY;BYDAY=-1SA;BYHOUR=22", timezone=BERLIN),
        Schedule(interval=timedelta(hours=5), anchor_date=at("2026-11-01T00:00"), timezone=BERLIN),
        Schedule(interval=timedelta(days=2), anchor_date=at("2026-11-01T00:00"), timezone="America/New_York"),
    ],
    ids=str,
)
async def test_prefect_itself_finds_the_same_starts(schedule):
    from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule  # noqa: PLC0415

    prefects: CronSchedule | RRuleSchedule | IntervalSchedule
    if schedule.cron:
        prefects = CronSchedule(cron=schedule.cron, day_or=schedule.day_or, timezone=schedule.timezone)
    elif schedule.rrule:
        prefects = RRuleSchedule(rrule=schedule.rrule, timezone=schedule.timezone)
    else:
        prefects = IntervalSchedule(
            interval=schedule.interval, anchor_date=schedule.anchor_date, timezone=schedule.timezone
        )

    assert list(islice(starts(schedule, NOW), 3)) == list(await prefects.get_dates(3, start=NOW))


def test_starts_in_the_window_are_no_contradiction():
    assert missed(Schedule(cron="0 22 * * 6", timezone=BERLIN)) == []


def test_without_a_window_every_start_is_fine():
    assert misfits(Schedule(cron="nonsense"), Timetable(), now=NOW, needed=timedelta(days=9)) == ()


def test_a_start_outside_of_the_window_is_told_with_the_window_it_would_wait_for():
    assert missed(Schedule(cron="0 22 * * *", timezone=BERLIN), count=7)[-1] == (
        "Sun 2026-11-29 21:00 UTC: no window is open, the run would wait for Sat 2026-12-05 21:00 to Sun 01:00 UTC"
    )


def test_a_start_too_late_in_the_window_is_told_with_what_is_left():
    assert missed(Schedule(cron="45 0 * * 0"), count=1) == [
        "Sun 2026-11-29 00:45 UTC: 15 min are left of Sat 2026-11-28 21:00 to Sun 01:00 UTC, of 30 min needed; "
        "the run would wait for Sat 2026-12-05 21:00 to Sun 01:00 UTC"
    ]


def test_a_start_is_told_if_no_window_has_room_at_all():
    assert missed(Schedule(cron="0 3 * * *"), minutes=300, count=1) == [
        "Tue 2026-11-24 03:00 UTC: no window is open, and none has room for it within 400 days"
    ]


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(), "neither cron nor rrule nor interval"),
        (Schedule(cron="@daily"), "fields"),
        (Schedule(cron="0 3 * * *", timezone="Mars"), "time zone"),
        (Schedule(interval=timedelta(hours=1)), "anchor_date"),
    ],
)
def test_a_schedule_that_can_not_be_read_says_why(schedule, said):
    with pytest.raises(ValueError, match=said):
        missed(schedule)


def test_a_schedule_is_read_from_prefect_yaml_and_from_the_api():
    assert read_schedule({"cron": "0 3 * * *", "slug": "nightly", "active": True}) == Schedule(
        name="nightly", cron="0 3 * * *"
    )
    assert read_schedule({"interval": 3600, "anchor_date": "2026-11-01T00:00:00Z", "timezone": None}) == Schedule(
        interval=timedelta(hours=1), anchor_date=at("2026-11-01T00:00")
    )


def test_a_schedule_of_another_shape_is_refused():
    with pytest.raises(ValidationError):
        read_schedule({"interval": "now and then"})
