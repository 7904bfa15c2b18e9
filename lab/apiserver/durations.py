"""Ages as kubectl shows them (k8s.io/apimachinery/pkg/util/duration)."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY


def age(timestamp: object) -> str:
    """Return how long ago a metav1.Time was, `<unknown>` without one."""
    if not isinstance(timestamp, str):
        return "<unknown>"
    return human(seconds_between(timestamp, None))


def seconds_between(start: str, end: str | None) -> int:
    """Return the seconds from one metav1.Time to another, or to now."""
    until = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return int((until - datetime.fromisoformat(start)).total_seconds())


def human(seconds: int) -> str:
    """Return a duration in at most two units, the fewer the longer it is."""
    if seconds < 0:
        return "0s"
    if seconds < 2 * MINUTE:
        return f"{seconds}s"
    for unit, smaller, both_until, until in (
        (MINUTE, 1, 10 * MINUTE, 3 * HOUR),
        (HOUR, MINUTE, 8 * HOUR, 2 * DAY),
        (DAY, HOUR, 8 * DAY, 2 * YEAR),
        (YEAR, DAY, 8 * YEAR, seconds + 1),
    ):
        if seconds < until:
            rest = seconds % unit // smaller
            letters = {1: "s", MINUTE: "m", HOUR: "h", DAY: "d", YEAR: "y"}
            more = f"{rest}{letters[smaller]}" if rest and seconds < both_until else ""
            return f"{seconds // unit}{letters[unit]}{more}"
    raise AssertionError(seconds)
