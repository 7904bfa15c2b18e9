"""The arithmetic of rolling updates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.platform.machines.rollout import SetSize, Strategy, rolling_sizes, scaled_sizes


def new(replicas: int, available: int) -> SetSize:
    return SetSize("new", replicas, available)


def old(replicas: int, available: int, name: str = "old") -> SetSize:
    return SetSize(name, replicas, available)


@pytest.mark.parametrize(
    ("before", "sizes"),
    [
        ((new(0, 0), old(3, 3)), {"new": 1, "old": 3}),  # one more than wanted, at first
        ((new(1, 0), old(3, 3)), {"new": 1, "old": 3}),  # nothing goes before the new one is there
        ((new(1, 1), old(3, 3)), {"new": 1, "old": 2}),  # one for one
        ((new(1, 1), old(2, 3)), {"new": 2, "old": 2}),  # the old one still counts as available while it goes
        ((new(3, 3), old(0, 0)), {"new": 3, "old": 0}),
        ((new(4, 4), old(0, 0)), {"new": 3, "old": 0}),  # scaled down
    ],
)
def test_default_strategy_replaces_one_at_a_time(before: tuple[SetSize, SetSize], sizes: dict[str, int]) -> None:
    assert rolling_sizes(Strategy(3), before[0], [before[1]]) == sizes


def test_broken_machines_of_old_sets_go_first() -> None:
    sizes = rolling_sizes(Strategy(3), new(1, 1), [old(2, 2, "healthy"), old(1, 0, "broken")])
    assert sizes == {"new": 1, "healthy": 2, "broken": 0}


def test_percentages_are_rounded_as_the_api_does() -> None:
    spec = {"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}
    assert Strategy.of(spec) == Strategy(10, max_surge=3, max_unavailable=2)


def test_strategy_that_allows_nothing_would_stall_so_one_may_be_missing() -> None:
    spec = {"replicas": 3, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}
    assert Strategy.of(spec).max_unavailable == 1


@pytest.mark.parametrize(
    ("replicas", "sets", "sizes"),
    [
        (5, [new(0, 0), old(3, 3)], {"new": 0, "old": 5}),
        (5, [new(1, 1), old(3, 3)], {"new": 1, "old": 4}),
        (1, [new(2, 2), old(3, 3)], {"new": 1, "old": 0}),
        (2, [new(0, 0)], {"new": 2}),
        (2, [], {}),
    ],
)
def test_paused_deployment_only_scales(replicas: int, sets: list[SetSize], sizes: dict[str, int]) -> None:
    assert scaled_sizes(replicas, sets) == sizes


@given(wanted=st.integers(0, 6), surge=st.integers(0, 3), unavailable=st.integers(0, 3), present=st.integers(0, 6))
def test_rollout_ends_and_never_exceeds_its_limits(wanted: int, surge: int, unavailable: int, present: int) -> None:
    strategy = Strategy(wanted, surge, unavailable if surge or unavailable else 1)
    fresh, stale = new(0, 0), old(present, present)
    for _ in range(40):
        sizes = rolling_sizes(strategy, fresh, [stale])
        growth = sizes["new"] - fresh.replicas
        assert growth <= 0 or sizes["new"] + stale.replicas <= wanted + strategy.max_surge
        assert sizes["new"] + sizes["old"] >= min(wanted - strategy.max_unavailable, fresh.replicas + stale.replicas)
        fresh, stale = new(sizes["new"], sizes["new"]), old(sizes["old"], sizes["old"])
    assert (fresh.replicas, stale.replicas) == (wanted, 0)
