"""How long workloads were not served, from what is seen of them and when. Synchronous, with moments given in seconds.

A workload is *served* while it has a ready pod and every workload that calls it, and has a ready pod itself, reaches
at least one of its pods from at least one of its own. It is *unready* while it has no ready pod, and *unreachable*
while one of its callers finds none. Counting starts when a workload is served for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class WorkloadOutage:
    """What one workload's users missed, in real seconds."""

    unreachable_seconds: float
    unready_seconds: float
    longest_seconds: float
    """The longest stretch in which it was not served."""


@dataclass(frozen=True)
class OutageReport:
    """The outage of a cluster, in real seconds."""

    measured_seconds: float
    total_seconds: float
    """Seconds in which any workload was not served."""
    longest_seconds: float
    """The longest stretch of such seconds."""
    not_served_now: tuple[str, ...]
    workloads: Mapping[str, WorkloadOutage]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Seen:
    """What is seen of a workload at one moment."""

    is_ready: bool
    is_reachable: bool

    @property
    def is_served(self) -> bool:
        """Whether nobody misses it."""
        return self.is_ready and self.is_reachable


@dataclass
class Stopwatch:
    """Adds up stretches of time."""

    _started: float | None = None
    _total: float = 0.0
    _longest: float = 0.0

    def run(self, at: float, *, while_true: bool) -> None:
        """Start or stop at a moment, as the condition says. Idempotent."""
        if while_true and self._started is None:
            self._started = at
        elif not while_true and self._started is not None:
            stretch = max(0.0, at - self._started)
            self._total += stretch
            self._longest = max(self._longest, stretch)
            self._started = None

    def restart(self, at: float) -> None:
        """Forget what was added up; a stretch that is going on starts now."""
        self._total = self._longest = 0.0
        if self._started is not None:
            self._started = at

    def total(self, now: float) -> float:
        """Return all seconds until now."""
        return self._total + self._going_on(now)

    def longest(self, now: float) -> float:
        """Return the longest stretch, the one going on included."""
        return max(self._longest, self._going_on(now))

    def _going_on(self, now: float) -> float:
        return 0.0 if self._started is None else max(0.0, now - self._started)


@dataclass
class _Record:
    unreachable: Stopwatch = field(default_factory=Stopwatch)
    unready: Stopwatch = field(default_factory=Stopwatch)
    not_served: Stopwatch = field(default_factory=Stopwatch)


class OutageLedger:
    """The outage of every workload, from observation to observation."""

    def __init__(self, *, now: float) -> None:
        self._since = now
        self._records: dict[str, _Record] = {}
        self._not_served: set[str] = set()
        self._any = Stopwatch()

    def observe(self, workload: str, seen: Seen, *, at: float) -> None:
        """Note how a workload is since that moment."""
        record = self._records.get(workload)
        if record is None:
            if not seen.is_served:
                return
            record = self._records[workload] = _Record()
        record.unready.run(at, while_true=not seen.is_ready)
        record.unreachable.run(at, while_true=not seen.is_reachable)
        record.not_served.run(at, while_true=not seen.is_served)
        self._mark(workload, is_served=seen.is_served, at=at)

    def dismiss(self, workload: str, *, at: float) -> None:
        """Note that nobody expects a workload to be served any more; what was missed before stays."""
        record = self._records.get(workload)
        if record is not None:
            for stopwatch in (record.unready, record.unreachable, record.not_served):
                stopwatch.run(at, while_true=False)
            self._mark(workload, is_served=True, at=at)

    def reset(self, *, now: float) -> None:
        """Count from now on."""
        self._since = now
        self._any.restart(now)
        for record in self._records.values():
            for stopwatch in (record.unready, record.unreachable, record.not_served):
                stopwatch.restart(now)

    def report(self, *, now: float) -> OutageReport:
        """Return what was missed until now."""
        return OutageReport(
            measured_seconds=now - self._since,
            total_seconds=self._any.total(now),
            longest_seconds=self._any.longest(now),
            not_served_now=tuple(sorted(self._not_served)),
            workloads={
                workload: WorkloadOutage(
                    unreachable_seconds=record.unreachable.total(now),
                    unready_seconds=record.unready.total(now),
                    longest_seconds=record.not_served.longest(now),
                )
                for workload, record in sorted(self._records.items())
            },
        )

    def _mark(self, workload: str, *, is_served: bool, at: float) -> None:
        if is_served:
            self._not_served.discard(workload)
        else:
            self._not_served.add(workload)
        self._any.run(at, while_true=bool(self._not_served))
