"""A run that meets the end of its window at each of its safe points, by a clock that a test can put forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

import flows.safe_points
import tasks.safe_points
from clusters.journal import read_journal
from migration.errors import PreflightFailed
from migration.models import ProxyMode, Stretch
from migration.windows import Maintenance, Window
from tasks import clock

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
CLUSTERS = 11
SATURDAY = datetime(2026, 11, 28, 22, 0, tzinfo=UTC)
NIGHTLY = Maintenance(windows=(Window(cron="0 22 * * *", length_minutes=240),))
USED_UP = Window(rrule="DTSTART:20200101T220000\nRRULE:FREQ=DAILY;COUNT=3", length_minutes=240)
WORKERS = "kube-system/"


class ShiftedClock:
    """A clock on the wall that is put forward: by whoever waits, and by a test."""

    def __init__(self, at: datetime) -> None:
        self._ahead = at - datetime.now(UTC)
        self.waited_until: list[datetime] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    async def sleep_until(self, moment: datetime) -> None:
        self.waited_until.append(moment)
        self.put_to(moment)

    def put_to(self, moment: datetime) -> None:
        self._ahead = moment - datetime.now(UTC)


@pytest.fixture
def wall_clock(monkeypatch):
    found = ShiftedClock(SATURDAY + timedelta(minutes=1))
    monkeypatch.setattr(clock, "now", found.now)
    monkeypatch.setattr(clock, "sleep_until", found.sleep_until)
    return found


@pytest.fixture
def late_at_each(monkeypatch, wall_clock):
    """Have it be a minute before the window's end whenever a run comes to a stretch for the first time."""
    met = []
    arrive = tasks.safe_points.arrive

    async def arrive_late(run, stretch, target="", **options):
        if (stretch, target) not in met:
            met.append((stretch, target))
            end = wall_clock.now().replace(hour=1, minute=59, second=0)
            wall_clock.put_to(end if end > wall_clock.now() else end + timedelta(days=1))
        return await arrive(run, stretch, target, **options)

    monkeypatch.setattr(flows.safe_points, "arrive", arrive_late)
    return met


async def waits_of(cluster):
    """Return the messages with which the newest run waited for a window."""
    async with get_client() as client:
        runs = await client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        states = await client.read_flow_run_states(runs[0].id)
    return [
        state.message or ""
        for state in sorted(states, key=lambda state: state.timestamp)
        if state.name == "AwaitingWindow" and cluster.name in (state.message or "")
    ]


async def journal_of(cluster):
    async with cluster.apis() as (_, api):
        return await read_journal(api)


@pytest.mark.parametrize(
    ("way", "stretches"),
    [
        (
            lambda cluster: cluster.migrate(proxy_mode=ProxyMode.IPVS, maintenance=NIGHTLY),
            [Stretch.MOVE, Stretch.REMOVE, Stretch.MODE, Stretch.NODES],
        ),
        (
            lambda cluster: cluster.change_mode(ProxyMode.IPVS, maintenance=NIGHTLY),
            [Stretch.MODE, Stretch.NODES],
        ),
    ],
    ids=["canal-to-cilium", "change-proxy-mode"],
)
async def test_a_run_waits_at_every_safe_point_where_its_window_ends_and_goes_on_in_the_next_one(
    cluster, late_at_each, way, stretches
):
    report = await way(cluster)

    waits = await waits_of(cluster)
    assert report.outcome == "migrated"
    assert [found for found in stretches if not any(f"the {found}" in wait for wait in waits)] == []
    assert len(waits) == len(stretches), waits
    assert all("State, at a safe point: the Cluster's spec says" in wait for wait in waits)
    assert all("1 min are left of this one" in wait or "s are left of this one" in wait for wait in waits)
    noted = [step.step for step in report.steps if step.step.startswith("window before")]
    assert len(noted) == len(stretches)
    assert (await journal_of(cluster)).open_migration() is None


async def test_the_way_back_waits_at_every_safe_point(cluster, late_at_each):
    await cluster.migrate(rotate_nodes=False)
    late_at_each.clear()

    report = await cluster.to_canal(maintenance=NIGHTLY)

    waits = await waits_of(cluster)
    assert report.outcome == "migrated"
    assert [found for found in (Stretch.MOVE, Stretch.NODES) if not any(f"the {found}" in wait for wait in waits)] == []


async def test_what_waited_for_a_window_before_anything_was_disrupted_has_a_fresh_baseline(cluster, late_at_each):
    await cluster.change_mode(ProxyMode.IPVS, rotate_nodes=False, maintenance=NIGHTLY)

    migration = (await journal_of(cluster)).last_finished()
    baseline = next(step for step in migration.steps if step.step == "record baseline")
    assert migration.finished_at - baseline.finished_at < timedelta(hours=1)


async def test_a_run_that_starts_late_begins_nothing_before_the_next_window(cluster, wall_clock):
    wall_clock.put_to(SATURDAY + timedelta(hours=3, minutes=58))

    report = await cluster.migrate(rotate_nodes=False, maintenance=NIGHTLY)

    assert wall_clock.waited_until == [SATURDAY + timedelta(days=1)]
    waits = await waits_of(cluster)
    assert len(waits) == 1
    assert "State: nothing of it was changed by this run" in waits[0]
    assert report.outcome == "migrated"


async def test_a_closed_window_can_be_ignored_and_the_report_says_so(cluster, wall_clock):
    wall_clock.put_to(SATURDAY - timedelta(hours=9))

    report = await cluster.migrate(rotate_nodes=False, maintenance=NIGHTLY, ignore_window=True)

    assert wall_clock.waited_until == []
    ignored = [step for step in report.steps if step.step.startswith("window before")]
    assert [step.status for step in ignored] == ["skipped", "skipped"], ignored
    assert all("ignored, as asked for" in step.summary for step in ignored)


@pytest.mark.parametrize(
    ("maintenance", "why"),
    [
        (Maintenance(windows=(Window(cron="0 22 * * *", length_minutes=1),)), "the longest is open for 60 s"),
        (Maintenance(windows=(USED_UP,)), "the longest is open for 0 s"),
        (Maintenance(cluster_window=True), "its Cluster has no spec.updateWindow"),
    ],
    ids=["too short", "never opens", "missing"],
)
async def test_a_window_in_which_nothing_may_ever_be_done_can_be_ignored_as_well(cluster, maintenance, why):
    report = await cluster.change_mode(ProxyMode.IPVS, rotate_nodes=False, maintenance=maintenance, ignore_window=True)

    assert report.outcome == "migrated"
    (ignored,) = [step for step in report.steps if step.step.startswith("window before")]
    assert ignored.status == "skipped"
    assert ignored.summary.startswith("ignored, as asked for: ")
    assert why in ignored.summary


async def test_a_window_that_is_too_short_is_told_before_anything_is_changed(cluster_for_refusals):
    short = Maintenance(windows=(Window(cron="0 22 * * *", length_minutes=2),))

    with pytest.raises(PreflightFailed, match="window-too-short"):
        await cluster_for_refusals.migrate(maintenance=short)
