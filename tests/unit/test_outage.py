import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.models import WorkloadOutage
from migration.outage import OutageMeter


def measured(expected, *observations):
    meter = OutageMeter(expected)
    for moment, ready in observations:
        meter.observe(moment, ready)
    return meter


def test_a_workload_without_ready_pods_is_down_until_one_is_ready():
    meter = measured({"a": 2}, (10.0, {"a": 2}), (11.0, {}), (13.5, {"a": 1}), (14.0, {"a": 2}), (20.0, {"a": 2}))

    assert meter.outages() == (WorkloadOutage(workload="a", down_seconds=2.5, degraded_seconds=3.0),)
    assert meter.seconds() == pytest.approx(2.5)


def test_outages_that_overlap_count_once_in_the_union():
    meter = measured(
        {"a": 1, "b": 1}, (0.0, {"a": 1, "b": 1}), (1.0, {"b": 1}), (2.0, {}), (3.0, {"a": 1}), (4.0, {"a": 1, "b": 1})
    )

    assert [outage.down_seconds for outage in meter.outages()] == [2.0, 2.0]
    assert meter.seconds() == pytest.approx(3.0)


def test_a_workload_that_was_never_ready_is_not_measured():
    assert measured({"a": 0}, (0.0, {}), (9.0, {})).outages() == ()


def test_a_workload_that_appears_meanwhile_is_not_measured():
    assert measured({"a": 1}, (0.0, {"a": 1, "b": 1}), (1.0, {"a": 1}), (2.0, {"a": 1})).outages() == ()


def test_more_ready_pods_than_before_are_no_outage():
    assert measured({"a": 1}, (0.0, {"a": 3}), (5.0, {"a": 1})).outages() == ()


def test_one_observation_measures_nothing():
    assert measured({"a": 1}, (5.0, {})).seconds() == 0.0


def test_the_longest_outage_comes_first():
    meter = measured({"a": 1, "b": 1, "c": 2}, (0.0, {"c": 1}), (1.0, {"a": 1, "c": 1}), (3.0, {"a": 1}), (4.0, {}))

    assert [outage.workload for outage in meter.outages()] == ["b", "c", "a"]


counts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3))


@given(counts, st.lists(st.tuples(st.floats(0.001, 100.0), counts), min_size=1, max_size=20))
def test_down_is_part_of_degraded_and_the_union_at_most_the_sum(expected, observations):
    meter, now = OutageMeter(expected), 0.0
    meter.observe(now, expected)
    for pause, ready in observations:
        now += pause
        meter.observe(now, ready)

    slack = 0.01 * len(expected) + 1e-6  # each outage is rounded
    outages = meter.outages()
    assert all(outage.down_seconds <= outage.degraded_seconds <= now + slack for outage in outages)
    assert meter.seconds() <= min(now, sum(outage.down_seconds for outage in outages)) + slack
    assert meter.seconds() >= max((outage.down_seconds for outage in outages), default=0.0) - slack
    assert {outage.workload for outage in outages} <= {workload for workload, count in expected.items() if count}
