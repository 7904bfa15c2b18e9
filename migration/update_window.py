"""The window that a Cluster has itself: `spec.updateWindow`, by which KKP has Flatcar nodes updated. Pure.

KKP says (sdk/apis/kubermatic/v1/cluster.go, type UpdateWindow): the start is a time of day, `22:30`, or one behind a
short weekday, `Mon 21:00`; the length is a Go duration; the reference is the system time of the nodes. That is taken
for UTC, as Flatcar has it by default: whoever gave the nodes another time zone names windows in place of it.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final, NamedTuple

from migration.errors import InvalidRequest
from migration.openings import LONGEST_WINDOW, Recurrence
from migration.recurrence import parse_cron, zone_of

# Flatcar Linux Update Operator: upper and lower case are the same.
_START: Final = re.compile(r"(?:(Sun|Mon|Tue|Wed|Thu|Fri|Sat) +)?(\d{1,2}):(\d{2})", re.IGNORECASE)
# Go, time.ParseDuration.
_UNIT_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NUMBER: Final = r"(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns)"


class UpdateWindow(NamedTuple):
    """`spec.updateWindow` of a Cluster as it stands there."""

    start: str
    length: str


def recurrence_of(window: UpdateWindow | None, excluded: frozenset[date]) -> Recurrence:
    """Return when the Cluster's own window is open. Raises InvalidRequest if it has none, or one that can't be read."""
    if window is None:
        raise InvalidRequest(
            "the cluster's own window was asked for (cluster_window), but its Cluster has no spec.updateWindow: set it "
            "there, or give windows"
        )
    found, seconds = _START.fullmatch(window.start.strip()), _seconds(window.length.strip())
    if found is None or int(found[2]) > 23 or int(found[3]) > 59 or seconds < 1:
        raise InvalidRequest(
            f"the Cluster's spec.updateWindow can't be read: start {window.start!r}, length {window.length!r}. A start "
            "is written as 22:30 or Mon 21:00, a length as 2h or 1h30m: correct it there, or give windows instead"
        )
    cron = f"{int(found[3])} {int(found[2])} * * {found[1] or '*'}"
    # Windows that are longer than the time to the next one are open without end, which a week shows as well.
    return Recurrence(parse_cron(cron), zone_of("UTC"), min(timedelta(seconds=seconds), LONGEST_WINDOW), excluded)


def _seconds(length: str) -> int:
    """Return a Go duration in whole seconds; 0 if it is none."""
    if not re.fullmatch(f"({_NUMBER})+", length):
        return 0
    return int(min(sum(float(number) * _UNIT_SECONDS[unit] for number, unit in re.findall(_NUMBER, length)), 1e9))
