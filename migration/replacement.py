"""Comparing what was so for nodes before with what is so now, when nodes were replaced in between."""

from __future__ import annotations

from collections.abc import Collection


def newly_so(before: Collection[str], now: Collection[str], *, nodes: Collection[str]) -> tuple[str, ...]:
    """Return the nodes of `now` that nothing of `before` excuses, sorted.

    A node that was in `before` is excused, and one more for each node of `before` that `nodes`, all those there are
    now, no longer has: it was replaced, by whichever of the others.
    """
    new = sorted(set(now) - set(before))
    replaced = set(before) - set(nodes)
    return tuple(new[len(replaced) :])
