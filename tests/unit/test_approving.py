"""What a person reads before they agree: short lines, for the form has no room for tables."""

from __future__ import annotations

from migration.approving import SHOWN_CODES, approval_question
from migration.models import Finding, Severity
from migration.readiness_report import readiness_report
from tests.unit.making import make_pod
from tests.unit.readiness_cases import pods, to_cilium


def question(case, *findings: Finding) -> str:
    report = readiness_report(case.survey, case.request)
    return approval_question(report.model_copy(update={"findings": (*report.findings, *findings)}))


def warning(code: str, subject: str = "Service web/shop") -> Finding:
    return Finding(code=code, severity=Severity.WARNING, subject=subject, seen="it", advice="look")


def test_it_says_what_becomes_of_which_cluster_how_long_it_takes_and_where_the_whole_report_is():
    text = question(to_cilium(**pods(make_pod())))

    assert "(lab/hv2c7xk9tl): canal-to-cilium" in text
    assert "canal v3.30, kube-proxy mode iptables → **cilium 1.19.4, kube-proxy mode iptables**" in text
    assert "Takes about **" in text
    assert "with a safe point between two: preparation 60 s; move to the new CNI" in text
    assert "`readiness-hv2c7xk9tl`" in text


def test_accepted_blockers_and_warnings_are_named_by_their_codes():
    text = question(
        to_cilium({"accept": ("no-nodes",)}, nodes=()),
        warning("host-ports", "Pod a/1"),
        warning("single-replica"),
        warning("host-ports", "Pod b/2"),
        warning("host-ports", "Pod c/3"),
    )

    assert "Accepted blockers:\n\n- `no-nodes`:" in text
    assert "- `host-ports`: Pod a/1, Pod b/2 and 1 more\n- `single-replica`: Service web/shop" in text


def test_it_has_no_table_and_stays_short_whatever_was_found():
    found = [warning(f"code-{number:02}", f"Pod <x>|{'y' * 500}") for number in range(40)]

    text = question(to_cilium(), *found)

    assert "| ---" not in text
    assert f"- and {len(found) - SHOWN_CODES} more kinds" in text
    assert len(text) < 4000
