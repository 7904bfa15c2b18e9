"""Numbers that may be percentages (`IntOrString`). Refuses to guess: anything else is an error."""

from __future__ import annotations

import math


def resolve(value: int | str, total: int, *, round_up: bool) -> int:
    """Return a number, or a percentage of the total, rounded as asked."""
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        return int(value)
    share = int(value[:-1]) * total / 100
    return math.ceil(share) if round_up else math.floor(share)


def surge_and_unavailable(max_surge: int | str, max_unavailable: int | str, replicas: int) -> tuple[int, int]:
    """Return both bounds of a Deployment's rolling update; never both zero (kube `ResolveFenceposts`)."""
    surge = resolve(max_surge, replicas, round_up=True)
    unavailable = resolve(max_unavailable, replicas, round_up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)
