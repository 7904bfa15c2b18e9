"""A migration's report as Markdown, for the Prefect UI and the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from migration.markdown import cell, findings_table, table
from migration.models import ClusterRef, Finding, MigrationReport, StepOutcome, WorkloadOutage
from migration.standing import Standing

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


def failure_to_markdown(
    cluster: ClusterRef, migration_id: str, error: str, found: Standing, steps: Iterable[StepOutcome]
) -> str:
    """Return what an operator needs after a failure: what happened, where the cluster stands, and the ways forward."""
    rows = [
        ("Seed connection", cluster.seed),
        ("Migration", migration_id),
        ("State", found.state),
        ("To resume", found.resume),
        ("To go back", found.revert),
    ]
    sections = (f"# {cluster.name}: failed", cell(error), table(("", ""), rows), _steps(steps))
    return "\n\n".join(section for section in sections if section)


def _summary(report: MigrationReport) -> str:
    rows = [
        ("Seed connection", report.cluster.seed),
        ("CNI now", str(report.current_cni)),
        ("kube-proxy mode", report.proxy_mode),
        *([("Migration", report.migration_id)] if report.migration_id else []),
    ]
    if report.previous_cni is None:
        return table(("", ""), rows)
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
    return table(("", ""), rows)


def _steps(steps: Iterable[StepOutcome]) -> str:
    rows = [(step.step, step.status, f"{step.seconds:.1f}", step.summary) for step in steps]
    return "## Steps\n\n" + table(("Step", "Outcome", "Seconds", "What happened"), rows) if rows else ""


def _outage(report: MigrationReport) -> str:
    if not report.outage:
        return ""
    rows = [_outage_row(outage) for outage in report.outage[:SHOWN_WORKLOADS]]
    more = len(report.outage) - len(rows)
    text = "## Outage by workload\n\n" + table(("Workload", "No ready pod (s)", "Fewer than before (s)"), rows)
    return text + (f"\n\nand {more} more workloads with less." if more > 0 else "")


def _outage_row(outage: WorkloadOutage) -> tuple[str, str, str]:
    return outage.workload, f"{outage.down_seconds:.1f}", f"{outage.degraded_seconds:.1f}"


def _findings(findings: Iterable[Finding]) -> str:
    rows = findings_table(findings)
    return f"## Findings\n\n{rows}" if rows else ""


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
