"""How long workloads were without ready pods, from a series of observations. The clock is the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migration.models import WorkloadOutage


@dataclass
class OutageMeter:
    """Adds up the time that workloads spend down or degraded, compared with the ready counts at the start."""

    expected: Mapping[str, int]
    """Mapping of workload to its ready pods before the disruption; those at zero are not measured."""
    _down: dict[str, float] = field(default_factory=dict)
    _degraded: dict[str, float] = field(default_factory=dict)
    _any_down: float = 0.0
    _last_time: float | None = None
    _last: dict[str, int] = field(default_factory=dict)

    def observe(self, now: float, ready: Mapping[str, int]) -> None:
        """Take in the ready counts at `now` (seconds of a monotonic clock); they hold until the next observation."""
        self._settle(now)
        self._last = {workload: ready.get(workload, 0) for workload, count in self.expected.items() if count}

    def _settle(self, now: float) -> None:
        elapsed = 0.0 if self._last_time is None else now - self._last_time
        self._last_time = now
        if not elapsed:
            return
        down = [workload for workload, count in self._last.items() if count == 0]
        for workload in down:
            self._down[workload] = self._down.get(workload, 0.0) + elapsed
        for workload, count in self._last.items():
            if count < self.expected[workload]:
                self._degraded[workload] = self._degraded.get(workload, 0.0) + elapsed
        self._any_down += elapsed if down else 0.0

    def seconds(self) -> float:
        """Return the seconds in which at least one workload had no ready pod."""
        return self._any_down

    def outages(self) -> tuple[WorkloadOutage, ...]:
        """Return the workloads that suffered, longest first."""
        found = (
            WorkloadOutage(
                workload=workload,
                down_seconds=round(self._down.get(workload, 0.0), 2),
                degraded_seconds=round(seconds, 2),
            )
            for workload, seconds in self._degraded.items()
        )
        return tuple(
            sorted(found, key=lambda outage: (-outage.down_seconds, -outage.degraded_seconds, outage.workload))
        )
