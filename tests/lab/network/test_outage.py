"""The ledger of outages, with times of our own making."""

from __future__ import annotations

import json

from lab.network.outage import OutageLedger, Seen, WorkloadOutage

SERVED = Seen(is_ready=True, is_reachable=True)
UNREACHABLE = Seen(is_ready=True, is_reachable=False)
UNREADY = Seen(is_ready=False, is_reachable=False)


def test_nothing_counts_before_a_workload_was_served() -> None:
    ledger = OutageLedger(now=0)

    ledger.observe("shop/cart", UNREADY, at=1)

    report = ledger.report(now=9)
    assert report.total_seconds == 0
    assert report.workloads == {}


def test_stretches_add_up_and_the_longest_is_kept() -> None:
    ledger = OutageLedger(now=0)
    for at, seen in ((1, SERVED), (2, UNREACHABLE), (5, SERVED), (6, UNREADY), (7, SERVED)):
        ledger.observe("shop/cart", seen, at=at)

    report = ledger.report(now=10)

    assert report.workloads["shop/cart"] == WorkloadOutage(unreachable_seconds=4, unready_seconds=1, longest_seconds=3)
    assert (report.measured_seconds, report.total_seconds, report.longest_seconds) == (10, 4, 3)


def test_overlapping_outages_count_once_in_the_total() -> None:
    ledger = OutageLedger(now=0)
    for workload, at, seen in (
        ("a/a", 0, SERVED),
        ("b/b", 0, SERVED),
        ("a/a", 1, UNREACHABLE),
        ("b/b", 2, UNREACHABLE),
        ("a/a", 3, SERVED),
        ("b/b", 5, SERVED),
    ):
        ledger.observe(workload, seen, at=at)

    assert ledger.report(now=6).total_seconds == 4


def test_an_outage_going_on_is_reported_until_now() -> None:
    ledger = OutageLedger(now=0)
    ledger.observe("a/a", SERVED, at=0)
    ledger.observe("a/a", UNREACHABLE, at=4)

    report = ledger.report(now=10)

    assert (report.total_seconds, report.longest_seconds, report.not_served_now) == (6, 6, ("a/a",))


def test_a_dismissed_workload_is_missed_no_more() -> None:
    ledger = OutageLedger(now=0)
    ledger.observe("a/a", SERVED, at=0)
    ledger.observe("a/a", UNREADY, at=1)

    ledger.dismiss("a/a", at=3)

    report = ledger.report(now=10)
    assert (report.total_seconds, report.not_served_now) == (2, ())


def test_reset_forgets_the_past_but_not_what_is_going_on() -> None:
    ledger = OutageLedger(now=0)
    ledger.observe("a/a", SERVED, at=0)
    ledger.observe("a/a", UNREADY, at=1)

    ledger.reset(now=5)

    report = ledger.report(now=7)
    assert (report.measured_seconds, report.total_seconds) == (2, 2)
    assert report.workloads["a/a"].unready_seconds == 2


def test_a_report_is_json() -> None:
    ledger = OutageLedger(now=0)
    ledger.observe("a/a", SERVED, at=0)

    assert set(json.loads(json.dumps(ledger.report(now=1).as_dict()))["workloads"]) == {"a/a"}
