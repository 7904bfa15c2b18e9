"""Lists for people: the first few by name, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence


def listing(names: Sequence[str], *, count: int = 3) -> str:
    """Return `a, b, c and 4 more`."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")
