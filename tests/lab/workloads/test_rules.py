"""The pure rules of the workload controllers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.platform.workloads.amounts import resolve, surge_and_unavailable
from lab.platform.workloads.expectations import Expectations
from lab.platform.workloads.reconciling import merge_difference
from lab.platform.workloads.rollout import Strategy, next_new_size, next_old_sizes
from lab.platform.workloads.selectors import matches

JSON = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
    ),
)


def merged(target, patch):
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@given(before=JSON, after=JSON)
def test_the_difference_merged_into_the_old_gives_the_new(before, after):
    difference = merge_difference(before, after)
    assert merged(before, difference) == after
    assert bool(difference) == (before != after)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "1"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_selectors_match_as_documented(selector, expected):
    assert matches(selector, {"app": "web"}) is expected


@pytest.mark.parametrize(
    ("value", "total", "round_up", "expected"),
    [
        (2, 10, True, 2),
        ("25%", 10, True, 3),
        ("25%", 10, False, 2),
        ("100%", 7, True, 7),
        ("0%", 7, True, 0),
        ("3", 10, True, 3),
    ],
)
def test_percentages_round_as_asked(value, total, round_up, expected):
    assert resolve(value, total, round_up=round_up) == expected


def test_a_rolling_update_can_always_move():
    assert surge_and_unavailable(0, "25%", 1) == (0, 1)
    assert surge_and_unavailable("25%", "25%", 1) == (1, 0)


def replica_set(name, replicas, available):
    metadata = {"name": name, "creationTimestamp": name}
    return {"metadata": metadata, "spec": {"replicas": replicas}, "status": {"availableReplicas": available}}


@given(
    bounds=st.tuples(st.integers(0, 20), st.integers(0, 5), st.integers(0, 5)),
    old=st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), max_size=3),
    new=st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_no_step_of_a_rollout_leaves_its_bounds(bounds, old, new):
    wanted, surge, unavailable = bounds
    strategy = Strategy(wanted, surge, min(max(unavailable, int(not surge)), wanted), recreate=False)
    olds = [replica_set(f"old-{i}", size, min(size, ready)) for i, (size, ready) in enumerate(old)]
    newest = replica_set("new", min(new[0], wanted), min(new[0], wanted, new[1]))
    total_old = sum(size for size, _ in old)

    size = next_new_size(newest["spec"]["replicas"], total_old, strategy)
    assert size <= wanted
    if size > newest["spec"]["replicas"]:
        assert size + total_old <= wanted + surge

    sizes = next_old_sizes(newest, olds, strategy)
    assert all(
        0 <= sizes[item["metadata"]["name"]] <= item["spec"]["replicas"]
        for item in olds
        if item["metadata"]["name"] in sizes
    )
    available = newest["status"]["availableReplicas"] + sum(item["status"]["availableReplicas"] for item in olds)
    lost = sum(
        max(0, item["status"]["availableReplicas"] - sizes.get(item["metadata"]["name"], item["spec"]["replicas"]))
        for item in olds
    )
    if lost:
        assert available - lost >= wanted - strategy.unavailable


def change(kind, name, **metadata):
    return SimpleNamespace(type=kind, object={"metadata": {"name": name, "namespace": "ns", **metadata}})


def test_expected_creations_are_met_by_any_sight_of_the_object():
    expectations = Expectations()
    expectations.expect("ns/owner", "creation", ["ns/a", "ns/b"])
    assert not expectations.are_met("ns/owner")

    expectations.observe(change("ADDED", "a"))
    assert not expectations.are_met("ns/owner")
    expectations.observe(change("DELETED", "b"))
    assert expectations.are_met("ns/owner")


def test_expected_deletions_are_met_by_a_deletion_timestamp():
    expectations = Expectations()
    expectations.expect("ns/owner", "deletion", ["ns/a"])
    expectations.observe(change("MODIFIED", "a"))
    assert not expectations.are_met("ns/owner")

    expectations.observe(change("MODIFIED", "a", deletionTimestamp="now"))
    assert expectations.are_met("ns/owner")


def test_what_is_expected_too_long_counts_as_lost(monkeypatch):
    monkeypatch.setattr("lab.platform.workloads.expectations.PATIENCE_SECONDS", -1.0)
    expectations = Expectations()
    expectations.expect("ns/owner", "creation", ["ns/a"])
    assert expectations.are_met("ns/owner")
