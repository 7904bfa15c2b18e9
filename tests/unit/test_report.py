from datetime import UTC, datetime, timedelta

import pytest

from migration.models import (
    ClusterRef,
    Finding,
    MigrationReport,
    Severity,
    StepOutcome,
    StepStatus,
    WorkloadOutage,
)
from migration.report import SHOWN_WORKLOADS, merge_outages, to_markdown
from tests.unit.making import CANAL, CILIUM

BEGIN = datetime(2026, 8, 21, 8, tzinfo=UTC)


def make_outcome(step="switch CNI", **changes):
    fields = {
        "status": StepStatus.CHANGED,
        "summary": "done",
        "started_at": BEGIN,
        "finished_at": BEGIN + timedelta(seconds=90),
    }
    return StepOutcome(step=step, **{**fields, **changes})


def make_finding(**changes):
    fields = {
        "code": "pod-stuck",
        "severity": Severity.WARNING,
        "subject": "Pod shop/web",
        "seen": "it outlives its grace period",
        "advice": "Look at its node.",
    }
    return Finding(**{**fields, **changes})


def make_report(**changes):
    fields = {
        "cluster": ClusterRef(seed="lab", name="hv2c7xk9tl"),
        "migration_id": "m1",
        "outcome": "migrated",
        "message": "It was migrated.",
        "previous_cni": CANAL,
        "current_cni": CILIUM,
        "proxy_mode": "iptables",
        "started_at": BEGIN,
        "finished_at": BEGIN + timedelta(minutes=20),
        "steps": (make_outcome(),),
        "outage": (),
        "outage_seconds": 4.26,
        "mixed_seconds": 61.04,
        "findings": (),
    }
    return MigrationReport(**{**fields, **changes})


def outage(workload, down, degraded):
    return WorkloadOutage(workload=workload, down_seconds=down, degraded_seconds=degraded)


def rows(markdown, heading):
    section = markdown.split(f"## {heading}\n\n", 1)[1].split("\n\n", 1)[0]
    return section.splitlines()[2:]


def test_a_report_says_what_was_what_is_and_how_long_it_took():
    text = to_markdown(make_report())

    assert text.startswith("# hv2c7xk9tl: migrated\n\nIt was migrated.")
    assert "| CNI before | canal v3.30 |" in text
    assert "| CNI now | cilium 1.19.4 |" in text
    assert "| Took | 1200.0 s |" in text
    assert "| Pods on both CNIs | 61.0 s" in text
    assert "| No ready pod | 4.3 s" in text
    assert rows(text, "Steps") == ["| switch CNI | changed | 90.0 | done |"]


def test_a_report_of_nothing_has_no_empty_sections():
    text = to_markdown(make_report(steps=(), previous_cni=None, migration_id=None, outcome="nothing to do"))

    assert "##" not in text
    assert "CNI before" not in text
    assert "No ready pod" not in text
    assert "| CNI now | cilium 1.19.4 |" in text
    assert "Migration" not in text


NASTY = [
    ("a|b", "a\\|b"),
    ("a\\|b", "a\\\\\\|b"),
    ("one\ntwo", "one two"),
    ("one\r\ntwo\rthree", "one two three"),
    ("got <nil>", "got &lt;nil>"),
]


@pytest.mark.parametrize(("text", "cell"), NASTY)
def test_a_cell_stays_one_cell_whatever_kkp_says(text, cell):
    report = make_report(findings=(make_finding(seen=text),), steps=(make_outcome(summary=text),))

    markdown = to_markdown(report)

    assert rows(markdown, "Steps") == [f"| switch CNI | changed | 90.0 | {cell} |"]
    assert rows(markdown, "Findings") == [f"| warning | pod-stuck | Pod shop/web | {cell} | Look at its node. |"]


def test_only_the_worst_outages_are_shown_and_the_rest_counted():
    many = tuple(outage(f"ns/w{number}", 100.0 - number, 100.0) for number in range(SHOWN_WORKLOADS + 4))

    text = to_markdown(make_report(outage=many))

    assert len(rows(text, "Outage by workload")) == SHOWN_WORKLOADS
    assert "and 4 more workloads with less." in text


def test_few_outages_are_all_shown():
    text = to_markdown(make_report(outage=(outage("ns/web", 1.25, 3.0),)))

    assert rows(text, "Outage by workload") == ["| ns/web | 1.2 | 3.0 |"]
    assert "more workloads" not in text


def test_outages_of_all_steps_are_added_up_longest_first():
    steps = [
        make_outcome("one", outage=(outage("a", 1.0, 2.0), outage("b", 0.0, 4.0))),
        make_outcome("two", outage=(outage("a", 0.5, 0.5), outage("c", 3.0, 3.0))),
    ]

    assert merge_outages(steps) == (outage("c", 3.0, 3.0), outage("a", 1.5, 2.5), outage("b", 0.0, 4.0))


def test_steps_without_an_outage_add_nothing():
    assert merge_outages([make_outcome()]) == ()
