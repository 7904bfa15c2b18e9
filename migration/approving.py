"""What a person reads who has to agree to a migration: the readiness report in short lines, as a form has room for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from migration.estimate import Estimate
from migration.markdown import cell
from migration.models import Finding, Severity
from migration.readiness_report import ReadinessReport
from migration.text import listing, span

SHOWN_CODES: Final = 12
SHOWN_SUBJECTS: Final = 2
LONGEST_SUBJECT: Final = 90


def approval_question(report: ReadinessReport) -> str:
    """Return the report in short: from what to what, how long it takes, what is known to break, and where more is."""
    name = f"**{cell(report.human_readable_name)}** ({report.cluster})"
    change = f"{report.current_cni}, kube-proxy mode {report.current_proxy_mode}"
    change += f" → **{report.desired_cni}, kube-proxy mode {report.desired_proxy_mode}**"
    lines = [
        f"{name}: {report.runbook}",
        change,
        *(_estimate(report.plan.estimate) if report.plan else ()),
        _findings("Accepted blockers", report.accepted),
        _findings("Warnings", [found for found in report.findings if found.severity is Severity.WARNING]),
        f"Looked at {report.seen_at:%Y-%m-%d %H:%M %Z}; it is looked at anew before anything is changed.",
        f"The whole report is in the tab Artifacts of this run: `readiness-{report.cluster.name}`.",
    ]
    return "\n\n".join(line for line in lines if line)


def _estimate(found: Estimate) -> Iterable[str]:
    sums = [f"{key} {span(seconds)}" for key, seconds in found.seconds_by_stretch.items() if seconds]
    yield (
        f"Takes about **{span(found.seconds)}**, at worst {span(found.longest_seconds)}; for "
        f"**{span(found.outage_seconds)}** of it some pods can't reach others."
    )
    yield f"Stretches, with a safe point between two: {'; '.join(sums)}."


def _findings(title: str, found: Sequence[Finding]) -> str:
    """Return one line for each code, in the order of the report."""
    if not found:
        return f"{title}: none."
    codes = [(code, list(group)) for code, group in groupby(sorted(found, key=_code), key=_code)]
    lines = [f"- `{code}`: {_subjects(group)}" for code, group in codes[:SHOWN_CODES]]
    more = len(codes) - SHOWN_CODES
    return "\n".join((f"{title}:", "", *lines, *((f"- and {more} more kinds",) if more > 0 else ())))


def _subjects(found: Sequence[Finding]) -> str:
    subjects = [finding.subject[:LONGEST_SUBJECT] for finding in found]
    return cell(listing(subjects, count=SHOWN_SUBJECTS))


def _code(finding: Finding) -> str:
    return finding.code
