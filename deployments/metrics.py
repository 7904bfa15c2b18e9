"""Serve what Prefect knows of the migrations to Prometheus: `python -m deployments.metrics --port 9464`.

Prefect's own metrics count its events and websockets, and no runs (docs/observability.md). This asks the configured
Prefect server (PREFECT_API_URL) with at most 15 requests, and not more often than every `--every` seconds, whoever
scrapes. It keeps no state: started anew, it says the same. While the server doesn't answer it says that, and
nothing old.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from migration.resuming import MIGRATING_FLOWS
from tasks.events import BEGUN, FAILED, FINISHED, STOPPED

FLOWS: Final = (*MIGRATING_FLOWS, "migrate-fleet")
PAGE: Final = 200
"""The most runs that the API gives at once, and so the most that are looked at one by one."""
EVENT_PAGES: Final = 8
"""Of 50 events: what ended before the latest 400 is left out, and `events_left_out` says so."""
LOOK_BACK: Final = timedelta(days=7)
"""How long a self-hosted server keeps events by default (PREFECT_SERVER_EVENTS_RETENTION_PERIOD)."""
ENDED_WITHIN: Final = timedelta(days=1)
PATIENCE_SECONDS: Final = 20.0
ACTIVE: Final = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
ENDED: Final = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
WAITS_FOR: Final = {
    "AwaitingWindow": "window",
    "AwaitingClusterLock": "lock",
    "Suspended": "approval",
    "Paused": "approval",
}
"""By the name of a run's state: what a cluster waits for that is migrated by it."""

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What the server said at one look."""

    active: tuple[Mapping[str, Any], ...] = ()
    """Runs that have not ended, each with the name of its flow."""
    ended: Mapping[str, int] = field(default_factory=dict)
    """Mapping of the type of state to how many runs ended so within a day."""
    events: tuple[Mapping[str, Any], ...] = ()
    """The latest events of migrations, the newest first."""
    left_out: bool = False


class Migrations(Collector):
    """The metrics, made from one look for as long as that is fresh."""

    def __init__(self, *, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._metrics: tuple[Metric, ...] = ()

    def collect(self) -> Iterable[Metric]:
        """Return what is known, asked anew if it is older than it may be."""
        with self._lock:
            if time.monotonic() - self._looked_at >= self._every_seconds:
                self._metrics = tuple(self._look())
                self._looked_at = time.monotonic()
            return self._metrics

    def _look(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("cni_migration_prefect_up", "Whether the Prefect server answered the last look")
        try:
            seen = asyncio.run(look())
        except (TimeoutError, OSError, RuntimeError, ValueError, httpx.HTTPError, PrefectHTTPStatusError) as error:
            _logger.warning("the Prefect server can't be asked: %s", type(error).__name__)
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from metrics(seen, now=datetime.now(UTC))


async def look() -> Seen:
    """Return what the Prefect server says now. Raises if it doesn't answer in time."""
    now = datetime.now(UTC)
    async with asyncio.timeout(PATIENCE_SECONDS), get_client() as client:
        active = await _active(client)
        ended = {state: await _ended(client, state, since=now - ENDED_WITHIN) for state in ENDED}
        events, left_out = await _events(client, since=now - LOOK_BACK)
    return Seen(tuple(active), ended, tuple(events), left_out or len(active) >= PAGE)


async def _active(client: PrefectClient) -> list[dict[str, Any]]:
    names = {flow["id"]: flow["name"] for flow in await _asked(client, "/flows/filter", {"flows": _flows()})}
    wanted = {"flows": _flows(), "flow_runs": {"state": {"type": {"any_": list(ACTIVE)}}}, "limit": PAGE}
    runs = await _asked(client, "/flow_runs/filter", {**wanted, "sort": "START_TIME_DESC"})
    return [{**run, "flow": names.get(run["flow_id"], "")} for run in runs]


async def _ended(client: PrefectClient, state: str, *, since: datetime) -> int:
    ended = {"state": {"type": {"any_": [state]}}, "end_time": {"after_": since.isoformat()}}
    return int(await _asked(client, "/flow_runs/count", {"flows": _flows(), "flow_runs": ended}))


async def _events(client: PrefectClient, *, since: datetime) -> tuple[list[Any], bool]:
    occurred = {"since": since.isoformat(), "until": datetime.now(UTC).isoformat()}
    wanted = {"event": {"name": [BEGUN, FINISHED, STOPPED, FAILED]}, "occurred": occurred, "order": "DESC"}
    page = await _asked(client, "/events/filter", {"filter": wanted, "limit": 50})
    found = list(page["events"])
    for _ in range(EVENT_PAGES - 1):
        if not page.get("next_page"):
            return found, False
        query = dict(httpx.URL(page["next_page"]).params)
        response = await client.request("GET", "/events/filter/next", params=query)
        page = response.json()
        found += page["events"]
    return found, bool(page.get("next_page"))


async def _asked(client: PrefectClient, path: str, body: Mapping[str, Any]) -> Any:
    response = await client.request("POST", path, json=dict(body))  # type: ignore[arg-type]
    response.raise_for_status()
    return response.json()


def _flows() -> dict[str, Any]:
    return {"name": {"any_": list(FLOWS)}}


def metrics(seen: Seen, *, now: datetime) -> Iterator[Metric]:
    """Yield the metrics of one look."""
    yield from _of_runs(seen)
    yield from _of_waiting(seen, now=now)
    yield from _of_clusters(seen)
    left_out = GaugeMetricFamily("cni_migration_left_out", "Whether there were more runs or events than are looked at")
    left_out.add_metric([], seen.left_out)
    yield left_out


def _of_runs(seen: Seen) -> Iterator[Metric]:
    active = GaugeMetricFamily("cni_migration_runs", "Runs that have not ended", labels=["flow", "state"])
    for (flow, state), count in sorted(Counter((run["flow"], str(run["state_name"])) for run in seen.active).items()):
        active.add_metric([flow, state], count)
    yield active
    ended = GaugeMetricFamily("cni_migration_runs_ended_last_day", "Runs that ended within a day", labels=["state"])
    for state, count in seen.ended.items():
        ended.add_metric([state.lower()], count)
    yield ended


def _of_waiting(seen: Seen, *, now: datetime) -> Iterator[Metric]:
    since: dict[str, list[float]] = {reason: [] for reason in sorted(set(WAITS_FOR.values()))}
    for run in seen.active:
        reason = WAITS_FOR.get(str(run["state_name"]))
        if reason and run["flow"] in MIGRATING_FLOWS:
            since[reason].append((now - _moment(run["state"]["timestamp"])).total_seconds())
    waiting = GaugeMetricFamily("cni_migration_clusters_waiting", "Clusters that wait, and for what", labels=["for"])
    longest = GaugeMetricFamily(
        "cni_migration_longest_wait_seconds", "Since the latest look of the run", labels=["for"]
    )
    for reason, waits in since.items():
        waiting.add_metric([reason], len(waits))
        longest.add_metric([reason], max(waits, default=0.0))
    yield waiting
    yield longest


def _of_clusters(seen: Seen) -> Iterator[Metric]:
    """Yield what the latest events of each cluster say: how it stands, and what its last migration took."""
    last: dict[tuple[str, str], Mapping[str, Any]] = {}
    finished: dict[tuple[str, str], Mapping[str, Any]] = {}
    for event in seen.events:
        cluster = (str(event["payload"].get("seed", "")), str(event["payload"].get("cluster", "")))
        last.setdefault(cluster, event)
        if event["event"] == FINISHED:
            finished.setdefault(cluster, event)
    labels = ["seed", "cluster"]
    state = GaugeMetricFamily("cni_migration_cluster_state", "Always 1: what happened last", labels=[*labels, "state"])
    for cluster, event in sorted(last.items()):
        state.add_metric([*cluster, event["event"].rpartition(".")[2]], 1)
    yield state
    for name, key, told in (
        ("duration_seconds", "seconds", "From the first change to the last of the latest migration"),
        ("outage_seconds", "outage_seconds", "In which at least one workload had no ready pod"),
        ("mixed_seconds", "mixed_seconds", "In which pods were on both CNIs"),
    ):
        family = GaugeMetricFamily(f"cni_migration_{name}", told, labels=labels)
        for cluster, event in sorted(finished.items()):
            family.add_metric([*cluster], float(event["payload"].get(key) or 0.0))
        yield family
    at = GaugeMetricFamily("cni_migration_finished_timestamp_seconds", "When it ended (Unix time)", labels=labels)
    for cluster, event in sorted(finished.items()):
        at.add_metric([*cluster], _moment(event["occurred"]).timestamp())
    yield at


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m deployments.metrics", description=__doc__)
    parser.add_argument("--port", type=int, default=9464, help="where /metrics is served (9464)")
    parser.add_argument("--address", default="127.0.0.1", help="on which address (127.0.0.1); it has no login")
    parser.add_argument("--every", type=float, default=15.0, metavar="SECONDS", help="how long an answer is kept (15)")
    chosen = parser.parse_args(arguments)
    registry = CollectorRegistry()
    registry.register(Migrations(every_seconds=chosen.every))
    server, thread = start_http_server(chosen.port, chosen.address, registry)
    sys.stdout.write(f"http://{chosen.address}:{server.server_port}/metrics\n")
    sys.stdout.flush()
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
