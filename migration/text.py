"""Lists and times for people."""

from __future__ import annotations

from collections.abc import Sequence


def listing(names: Sequence[str], *, count: int = 3) -> str:
    """Return `a, b, c and 4 more`."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")


def span(seconds: float) -> str:
    """Return how long that is, in the unit in which people think of it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
