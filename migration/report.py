"""A migration's report as Markdown, for the Prefect UI and the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from migration.models import Finding, MigrationReport, StepOutcome, WorkloadOutage

SHOWN_WORKLOADS = 15


def to_markdown(report: MigrationReport) -> str:
    """Return the whole report."""
    return "\n\n".join(
        section
        for section in (
            f"# {report.cluster.name}: {report.outcome}",
            report.message,
            _summary(report),
            _steps(report.steps),
            _outage(report),
            _findings(report.findings),
        )
        if section
    )


def _summary(report: MigrationReport) -> str:
    rows = [
        ("Seed connection", report.cluster.seed),
        ("CNI now", str(report.current_cni)),
        ("kube-proxy mode", report.proxy_mode),
        ("Migration", report.migration_id or "none"),
    ]
    if report.previous_cni is None:
        return _table(("", ""), rows)
    rows[1:1] = [("CNI before", str(report.previous_cni))]
    rows += [
        ("Started", f"{report.started_at:%Y-%m-%d %H:%M:%S %Z}"),
        ("Took", f"{(report.finished_at - report.started_at).total_seconds():.1f} s"),
        (
            "Pods on both CNIs",
            f"{report.mixed_seconds:.1f} s, in which those on one could not reach those on the other",
        ),
        ("No ready pod", f"{report.outage_seconds:.1f} s, in which this was so for at least one workload"),
    ]
    return _table(("", ""), rows)


def _steps(steps: Iterable[StepOutcome]) -> str:
    rows = [(step.step, step.status, f"{step.seconds:.1f}", step.summary) for step in steps]
    return "## Steps\n\n" + _table(("Step", "Outcome", "Seconds", "What happened"), rows) if rows else ""


def _outage(report: MigrationReport) -> str:
    if not report.outage:
        return ""
    rows = [_outage_row(outage) for outage in report.outage[:SHOWN_WORKLOADS]]
    more = len(report.outage) - len(rows)
    text = "## Outage by workload\n\n" + _table(("Workload", "No ready pod (s)", "Fewer than before (s)"), rows)
    return text + (f"\n\nand {more} more workloads with less." if more > 0 else "")


def _outage_row(outage: WorkloadOutage) -> tuple[str, str, str]:
    return outage.workload, f"{outage.down_seconds:.1f}", f"{outage.degraded_seconds:.1f}"


def _findings(findings: Iterable[Finding]) -> str:
    rows = [(finding.severity, finding.code, finding.subject, finding.seen, finding.advice) for finding in findings]
    return "## Findings\n\n" + _table(("Severity", "Code", "Subject", "Seen", "Advice"), rows) if rows else ""


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [_line(head), "|" + " --- |" * len(head), *(_line(row) for row in rows)]
    return "\n".join(lines)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(_cell(text) for text in cells) + " |"


def _cell(text: str) -> str:
    """Return a text that stays in its cell and is shown as it is: messages of KKP hold pipes, lines and `<nil>`."""
    return " ".join(text.splitlines()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def merge_outages(steps: Iterable[StepOutcome]) -> tuple[WorkloadOutage, ...]:
    """Return the outage of each workload over all steps, longest first."""
    down: dict[str, float] = {}
    degraded: dict[str, float] = {}
    for outage in (outage for step in steps for outage in step.outage):
        down[outage.workload] = down.get(outage.workload, 0.0) + outage.down_seconds
        degraded[outage.workload] = degraded.get(outage.workload, 0.0) + outage.degraded_seconds
    merged = (
        WorkloadOutage(workload=workload, down_seconds=round(down[workload], 2), degraded_seconds=round(seconds, 2))
        for workload, seconds in degraded.items()
    )
    return tuple(sorted(merged, key=lambda outage: (-outage.down_seconds, -outage.degraded_seconds, outage.workload)))
