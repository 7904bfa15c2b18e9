"""What is told of a step to Prefect: names, payloads, and that telling never fails it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from migration.errors import DeadlineExceeded
from migration.models import (
    ClusterRef,
    Finding,
    MigrationRequest,
    RunningMigration,
    Severity,
    StepOutcome,
    StepStatus,
)
from tasks import events, progress

REF = ClusterRef(seed="lab", name="abc")
RUN = RunningMigration(request=MigrationRequest(cluster=REF), id="m1", holder="run-1/x")
BEGAN = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)


@pytest.fixture
def emitted(monkeypatch):
    found = []
    monkeypatch.setattr(events, "emit_event", lambda event, **fields: found.append((event, fields)))
    return found


def finding(number):
    return Finding(code="pod-stuck", severity=Severity.WARNING, subject=f"Pod {number}", seen="x", advice="y")


def outcome(**fields):
    known = {"step": "switch CNI", "status": StepStatus.CHANGED, "summary": "done", "started_at": BEGAN}
    return StepOutcome(**{**known, "finished_at": BEGAN + timedelta(seconds=2), **fields})


def test_a_step_is_told_from_its_beginning_to_its_end(emitted):
    with events.telling_step(RUN, "switch CNI") as told:
        told.outcome = outcome(count=3, outage_seconds=1.5, findings=(finding(1),))

    assert [event for event, _ in emitted] == [
        "cni-migration.step.started",
        "cni-migration.step.finished",
        "cni-migration.finding",
    ]
    assert emitted[1][1]["resource"]["prefect.resource.id"] == "cni-migration.cluster.lab/abc"
    assert emitted[1][1]["payload"] == {
        "seed": "lab",
        "cluster": "abc",
        "migration": "m1",
        "runbook": "canal-to-cilium",
        "step": "switch CNI",
        "try": 1,
        "status": "changed",
        "summary": "done",
        "seconds": 2.0,
        "count": 3,
        "outage_seconds": 1.5,
        "mixed_seconds": 0.0,
        "findings": 1,
    }
    assert emitted[2][1]["payload"]["code"] == "pod-stuck"


def test_a_step_that_fails_says_of_what(emitted):
    with pytest.raises(DeadlineExceeded), events.telling_step(RUN, "wait for Cilium"):
        raise DeadlineExceeded("Cilium", waited=timedelta(minutes=1), last_seen="4/6 nodes ready")

    event, fields = emitted[-1]
    assert event == "cni-migration.step.failed"
    assert fields["payload"]["error"] == "DeadlineExceeded"
    assert "4/6 nodes ready" in fields["payload"]["summary"]


def test_what_an_unexpected_error_quotes_is_not_told(emitted):
    with pytest.raises(ValueError, match="hunter2"), events.telling_step(RUN, "switch CNI"):
        raise ValueError("password hunter2")

    assert "hunter2" not in str(emitted)


def test_a_step_that_is_cancelled_has_failed(emitted):
    with pytest.raises(asyncio.CancelledError), events.telling_step(RUN, "switch CNI"):
        raise asyncio.CancelledError

    assert [event for event, _ in emitted] == ["cni-migration.step.started", "cni-migration.step.failed"]


def test_an_event_that_can_not_be_emitted_fails_no_step(monkeypatch):
    def refuse(*_arguments, **_fields):
        raise RuntimeError("no server")

    monkeypatch.setattr(events, "emit_event", refuse)
    with events.telling_step(RUN, "switch CNI") as told:
        told.outcome = outcome(findings=(finding(1),))


def test_events_stay_small(emitted):
    events.emit_findings(REF, [finding(number) for number in range(5000)])
    events.emit(events.FAILED, REF, {"summary": "x" * 5000})

    assert len(emitted) == events.MOST_FINDINGS + 1
    assert len(emitted[-1][1]["payload"]["summary"]) == events.LONGEST_TEXT


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "UPDATE_SECONDS", 0.0)


@pytest.fixture
def bars(monkeypatch):
    """What is shown; `create` and `update` can be replaced by what fails."""
    shown = []

    async def create(percent, **fields):
        shown.append(("create", percent, fields["description"]))
        return "an id"

    async def update(_artifact, percent, **fields):
        shown.append(("update", percent, fields["description"]))

    monkeypatch.setattr(progress, "acreate_progress_artifact", create)
    monkeypatch.setattr(progress, "aupdate_progress_artifact", update)
    return shown


async def test_a_bar_follows_the_step_to_where_it_ends(quick, bars):
    async with progress.progress_artifact(REF, "restart pods") as take:
        take(1, 4, "pods restarted")
        while not bars:
            await asyncio.sleep(0)
        take(4, 4, "pods restarted")

    assert bars[0] == ("create", 25.0, "lab/abc: restart pods: 1 of 4 pods restarted")
    assert bars[-1] == ("update", 100.0, "lab/abc: restart pods: 4 of 4 pods restarted")
    assert len(bars) == 2


async def test_a_short_step_has_no_bar(bars):
    async with progress.progress_artifact(REF, "restart pods") as take:
        take(4, 4, "pods restarted")

    assert bars == []


async def test_a_server_that_is_away_disturbs_no_step(quick, monkeypatch):
    asked = asyncio.Event()

    async def fail(*_arguments, **_fields):
        asked.set()
        raise ConnectionError

    monkeypatch.setattr(progress, "acreate_progress_artifact", fail)
    async with progress.progress_artifact(REF, "restart pods") as take:
        take(1, 4, "pods restarted")
        await asked.wait()


async def test_a_server_that_hangs_holds_up_no_end(quick, monkeypatch):
    asked = asyncio.Event()

    async def hang(*_arguments, **_fields):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(progress, "acreate_progress_artifact", hang)
    async with asyncio.timeout(5), progress.progress_artifact(REF, "restart pods") as take:
        take(1, 4, "pods restarted")
        await asked.wait()
