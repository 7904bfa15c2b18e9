"""What a flow run is doing, read from the Prefect API: its steps, how long each took, and what it waits for.

Speaks plain HTTP: the client library would bring the settings of whatever Prefect profile this machine has.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

import httpx

RETRY_PAUSES_SECONDS = (0.2, 1.0, 3.0)
# The most that the API gives at once.
PAGE = 200
# Prefect names a task run after its task, with three hexadecimal digits behind.
RUN_NAME_SUFFIX = re.compile(r"-[0-9a-f]{3}$")
# Prefect's own lines say nothing that the steps don't.
CHATTER = ("Finished in state", "Beginning flow run", "View at ", "Created task run", "Task run ", "Opening process")
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Step:
    """A task run as people see it; `ended` counts from the start of the flow run, or is now."""

    name: str
    state: str
    is_over: bool
    is_good: bool
    seconds: float
    ended: float
    last_word: str


@dataclass(frozen=True, order=True)
class Event:
    """Something that happened in a flow run, and how long after its start."""

    seconds: float
    text: str


@dataclass
class Progress:
    """A flow run as last looked at."""

    flow_run_id: str
    state: str = "Scheduled"
    message: str = ""
    is_over: bool = False
    is_good: bool = False
    seconds: float = 0.0
    steps: tuple[Step, ...] = ()
    _said: dict[str, Event] = field(default_factory=dict)
    _last_words: dict[str | None, str] = field(default_factory=dict)

    @property
    def last_word(self) -> str:
        """The last thing that the flow itself said."""
        return self._last_words.get(None, "")

    @property
    def events(self) -> list[Event]:
        """What happened so far, in its order: what was said, and which step ended."""
        over = (step for step in self.steps if step.is_over)
        ended = (Event(step.ended, f"{step.name}: {step.state} after {step.seconds:.1f} s") for step in over)
        return sorted((*self._said.values(), *ended))

    async def look(self, api: RunReader) -> None:
        """Bring everything up to date."""
        run = await api.flow_run(self.flow_run_id)
        started = [each for each in await api.task_runs(self.flow_run_id) if each["start_time"]]
        started.sort(key=lambda each: str(each["start_time"]))
        self._hear(await api.logs(self.flow_run_id), begun=run["start_time"])
        self.steps = tuple(
            _step(each, begun=run["start_time"], last_word=self._last_words.get(each["id"], "")) for each in started
        )
        state = run["state"] or {}
        self.state, self.message = state.get("name") or self.state, state.get("message") or ""
        self.is_over, self.is_good = state.get("type") in FINAL, state.get("type") == "COMPLETED"
        self.seconds = _seconds(run)

    def _hear(self, logs: list[dict[str, Any]], *, begun: str | None) -> None:
        told = [log for log in logs if log["message"].strip() and not log["message"].startswith(CHATTER)]
        for log in told:
            line = log["message"].strip().splitlines()[0]
            self._last_words[log["task_run_id"]] = line
            self._said[log["id"]] = Event(_between(begun, log["timestamp"]), f"  {line}")


class RunReader(Protocol):
    """Gives what the Prefect API knows of a flow run, as JSON."""

    async def flow_run(self, flow_run_id: str) -> dict[str, Any]:
        """Return the flow run."""

    async def task_runs(self, flow_run_id: str) -> list[dict[str, Any]]:
        """Return its latest task runs."""

    async def logs(self, flow_run_id: str) -> list[dict[str, Any]]:
        """Return its latest log lines, the oldest first."""


class PrefectApi:
    """The few calls to a Prefect server that watching a run takes; raises httpx.HTTPError."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def start_run(self, deployment: str, *, parameters: dict[str, Any]) -> str:
        """Start a run of `flow/deployment` and return its id."""
        found = await self._call("GET", f"/deployments/name/{deployment}")
        # The key keeps a repeated request from starting a second run.
        body = {"parameters": parameters, "idempotency_key": str(uuid4())}
        created = await self._call("POST", f"/deployments/{found['id']}/create_flow_run", body)
        return str(created["id"])

    async def flow_run(self, flow_run_id: str) -> dict[str, Any]:
        """Return a flow run as JSON."""
        return dict(await self._call("GET", f"/flow_runs/{flow_run_id}"))

    async def task_runs(self, flow_run_id: str) -> list[dict[str, Any]]:
        """Return the latest task runs of a flow run as JSON."""
        body = {"flow_runs": {"id": {"any_": [flow_run_id]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": PAGE}
        return list(await self._call("POST", "/task_runs/filter", body))

    async def logs(self, flow_run_id: str) -> list[dict[str, Any]]:
        """Return the latest log lines of a flow run as JSON, the oldest first."""
        body = {"logs": {"flow_run_id": {"any_": [flow_run_id]}}, "sort": "TIMESTAMP_DESC", "limit": PAGE}
        return list(await self._call("POST", "/logs/filter", body))[::-1]

    async def artifact(self, key: str, *, flow_run_id: str) -> str:
        """Return the latest artifact of this key that the flow run made, or an empty string."""
        wanted = {"key": {"any_": [key]}, "flow_run_id": {"any_": [flow_run_id]}}
        found = await self._call("POST", "/artifacts/filter", {"artifacts": wanted, "sort": "CREATED_DESC", "limit": 1})
        return str(found[0]["data"]) if found else ""

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API; what the server says may be asked again (503, when its database is busy) is asked again."""
        answer = await self._http.request(method, path, json=body)
        for pause_seconds in RETRY_PAUSES_SECONDS:
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            await asyncio.sleep(pause_seconds)
            answer = await self._http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()


def _step(run: dict[str, Any], *, begun: str | None, last_word: str) -> Step:
    state = run["state"] or {}
    return Step(
        name=RUN_NAME_SUFFIX.sub("", run["name"]),
        state=state.get("name") or "Pending",
        is_over=state.get("type") in FINAL,
        is_good=state.get("type") == "COMPLETED",
        seconds=_seconds(run),
        ended=_between(begun, run["end_time"]),
        last_word=last_word,
    )


def _seconds(run: dict[str, Any]) -> float:
    return _between(run["start_time"], run["end_time"])


def _between(begin: str | None, end: str | None) -> float:
    if begin is None:
        return 0.0
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return (until - datetime.fromisoformat(begin)).total_seconds()
