"""What Prometheus is told of the migrations."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from deployments.metrics import Migrations, Seen, metrics
from tasks.events import BEGUN, FAILED, FINISHED

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def run(flow: str, state: str, *, since: timedelta = timedelta()) -> dict[str, Any]:
    return {"flow": flow, "state_name": state, "state": {"timestamp": (NOW - since).isoformat()}}


def event(name: str, cluster: str, **payload: Any) -> dict[str, Any]:
    return {"event": name, "occurred": NOW.isoformat(), "payload": {"seed": "lab", "cluster": cluster, **payload}}


def told(seen: Seen) -> dict[str, float]:
    """Return the samples as Prometheus reads them."""

    class Fixed(Collector):
        def collect(self) -> Any:
            return metrics(seen, now=NOW)

    registry = CollectorRegistry()
    registry.register(Fixed())
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_runs_are_counted_by_flow_and_state() -> None:
    runs = (run("canal-to-cilium", "Running"), run("canal-to-cilium", "Running"), run("migrate-fleet", "Running"))

    samples = told(Seen(active=runs, ended={"FAILED": 2}))

    assert samples['cni_migration_runs{flow="canal-to-cilium",state="Running"}'] == 2
    assert samples['cni_migration_runs{flow="migrate-fleet",state="Running"}'] == 1
    assert samples['cni_migration_runs_ended_last_day{state="failed"}'] == 2


def test_waiting_clusters_are_told_by_what_they_wait_for() -> None:
    runs = (
        run("canal-to-cilium", "AwaitingWindow", since=timedelta(hours=2)),
        run("cilium-to-canal", "AwaitingWindow", since=timedelta(hours=1)),
        run("canal-to-cilium", "Suspended", since=timedelta(days=1)),
        run("migrate-fleet", "AwaitingWindow"),
    )

    samples = told(Seen(active=runs))

    assert samples['cni_migration_clusters_waiting{for="window"}'] == 2
    assert samples['cni_migration_longest_wait_seconds{for="window"}'] == 7200
    assert samples['cni_migration_clusters_waiting{for="approval"}'] == 1
    assert samples['cni_migration_clusters_waiting{for="lock"}'] == 0


def test_the_latest_event_of_a_cluster_is_its_state_and_the_latest_end_its_figures() -> None:
    events = (
        event(FAILED, "abc"),
        event(BEGUN, "abc"),
        event(FINISHED, "abc", seconds=321.5, outage_seconds=7.25),
        event(FINISHED, "abc", seconds=1),
        event(FINISHED, "def", seconds=5, outage_seconds=0),
    )

    samples = told(Seen(events=events))

    assert samples['cni_migration_cluster_state{cluster="abc",seed="lab",state="failed"}'] == 1
    assert samples['cni_migration_cluster_state{cluster="def",seed="lab",state="finished"}'] == 1
    assert samples['cni_migration_duration_seconds{cluster="abc",seed="lab"}'] == 321.5
    assert samples['cni_migration_outage_seconds{cluster="abc",seed="lab"}'] == 7.25
    assert samples['cni_migration_finished_timestamp_seconds{cluster="abc",seed="lab"}'] == NOW.timestamp()


def test_what_is_left_out_is_admitted() -> None:
    assert told(Seen(left_out=True))["cni_migration_left_out"] == 1
    assert told(Seen())["cni_migration_left_out"] == 0


def test_an_answer_is_kept_for_as_long_as_it_is_fresh(monkeypatch: Any) -> None:
    looks = []

    async def look() -> Seen:
        looks.append(1)
        raise TimeoutError

    monkeypatch.setattr("deployments.metrics.look", look)
    kept, anew = Migrations(every_seconds=60), Migrations(every_seconds=0)

    values = [
        [sample.value for metric in each.collect() for sample in metric.samples] for each in (kept, kept, anew, anew)
    ]

    assert len(looks) == 3
    assert values == [[0], [0], [0], [0]]
