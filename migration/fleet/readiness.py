"""The readiness of a whole fleet, as a dry run tells it: one row per cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from migration.fleet.looks import Look
from migration.fleet.models import FleetOrder
from migration.fleet.waves import FleetPlan, Member
from migration.frozen import Frozen
from migration.markdown import table
from migration.models import ClusterRef
from migration.readiness_report import ReadinessReport

READY: Final = "ready"
NOT_READY: Final = "not ready"
NOTHING: Final = "nothing to do"
UNSEEN: Final = "can't be looked at"
_ORDER: Final = (UNSEEN, NOT_READY, READY, NOTHING)
_HEAD: Final = (
    *("Verdict", "Cluster", "Name", "Wave", "Blockers", "Warnings"),
    *("Takes (min)", "Outage (s)", "Nodes", "Platform", "Remark"),
)


class ReadinessRow(Frozen):
    """What the readiness check says of one cluster of a fleet."""

    ref: ClusterRef
    verdict: str
    blockers: tuple[tuple[str, int], ...] = ()
    """Codes of blockers that were not accepted, each with how often it was found."""
    warnings: int = 0
    minutes: float = 0.0
    outage_seconds: float = 0.0
    remark: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether nothing keeps it from being migrated."""
        return self.verdict in (READY, NOTHING)


class FleetReadiness(Frozen):
    """What a dry run of a roll-out has found. Nothing was changed."""

    order: FleetOrder
    plan: FleetPlan
    rows: tuple[ReadinessRow, ...]

    @property
    def is_ready(self) -> bool:
        """Whether all clusters are."""
        return all(row.is_ready for row in self.rows)

    @property
    def message(self) -> str:
        """All of it on one line."""
        counted = Counter(row.verdict for row in self.rows)
        codes = Counter(code for row in self.rows for code, _ in row.blockers)
        told = ", ".join(f"{counted[verdict]} {verdict}" for verdict in reversed(_ORDER) if counted[verdict])
        because = (
            f". Blockers: {', '.join(f'{code} ({count})' for code, count in codes.most_common())}" if codes else ""
        )
        minutes = sum(row.minutes for row in self.rows)
        took = f". One after another they take {minutes:.0f} min" if minutes else ""
        return f"{self.order.runbook} of {', '.join(self.order.seeds)}: {told or 'no cluster'}{because}{took}"


def row_of(report: ReadinessReport) -> ReadinessRow:
    """Return a cluster's row by its readiness report."""
    if report.nothing_to_do:
        return ReadinessRow(ref=report.cluster, verdict=NOTHING, remark=report.nothing_to_do)
    codes = Counter(finding.code for finding in report.blockers)
    estimate = report.plan.estimate if report.plan is not None else None
    return ReadinessRow(
        ref=report.cluster,
        verdict=READY if report.is_ready else NOT_READY,
        blockers=tuple(sorted(codes.items())),
        warnings=sum(finding.severity == "warning" for finding in report.findings),
        minutes=round(estimate.seconds / 60, 1) if estimate else 0.0,
        outage_seconds=round(estimate.outage_seconds, 1) if estimate else 0.0,
        remark=f"takes up {report.resumes}" if report.resumes else "",
    )


def unseen_row(ref: ClusterRef, look: Look) -> ReadinessRow:
    """Return the row of a cluster that gave no answer."""
    return ReadinessRow(ref=ref, verdict=UNSEEN, remark=look.reason)


def readiness_to_markdown(found: FleetReadiness) -> str:
    """Return the table of a dry run, what is not ready first."""
    members = {member.ref: member for member in found.plan.members}
    rows = sorted(found.rows, key=lambda row: (_ORDER.index(row.verdict), str(row.ref)))
    body = table(_HEAD, (_cells(row, members[row.ref], found.plan) for row in rows)) if rows else "No cluster."
    waves = ", ".join(str(len(wave)) for wave in found.plan.waves)
    planned = f"Waves: {waves} clusters{', the first are the canaries' if found.plan.has_canaries else ''}."
    return f"# Dry run\n\n{found.message}.\n\n{planned} Nothing was changed.\n\n{body}"


def _cells(row: ReadinessRow, member: Member, plan: FleetPlan) -> tuple[str, ...]:
    codes: Sequence[str] = [f"{code} ({count})" if count > 1 else code for code, count in row.blockers]
    return (
        row.verdict,
        str(row.ref),
        member.human_readable_name,
        plan.wave_name(member),
        ", ".join(codes),
        str(row.warnings or ""),
        f"{row.minutes:.0f}" if row.minutes else "",
        f"{row.outage_seconds:.0f}" if row.outage_seconds else "",
        str(member.look.nodes or ""),
        member.platform,
        row.remark,
    )
