"""What the readiness check has to say: for machines as a model, for people as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from migration import readiness
from migration.asking import target
from migration.estimate import Estimate
from migration.frozen import Frozen
from migration.markdown import cell, findings_table, table
from migration.models import ClusterRef, Cni, Finding, MigrationRequest, Runbook
from migration.plan import Plan, PlannedPatch, plan
from migration.safe_points import is_approved, is_disruptive
from migration.survey import ClusterSurvey
from migration.targets import is_same_migration
from migration.text import listing, span

SHOWN_PODS: Final = 20
SHOWN_NODES: Final = 60
SAFE_POINTS: Final = (
    "Before each stretch a run may wait for a window or for a person, and the cluster is fine meanwhile; only for the "
    "verification it never waits. It begins a stretch only if all of it has room in the window, and sees it through."
)


class ReadinessReport(Frozen):
    """Whether a cluster is ready for a request, and what the request would do there. Nothing was changed."""

    cluster: ClusterRef
    human_readable_name: str
    runbook: Runbook
    seen_at: datetime
    current_cni: Cni
    current_proxy_mode: str
    desired_cni: Cni
    desired_proxy_mode: str
    nothing_to_do: str = ""
    """Why there is nothing to do; empty if there is."""
    unfinished: str = ""
    """Id of the migration that a run would go on with; empty if it would begin one."""
    has_disrupted: bool = False
    """Whether an unfinished migration, to be gone on with or taken back, has begun to disrupt the cluster."""
    is_approved: bool = False
    """Whether a person has agreed to the unfinished migration that a run would go on with."""
    resumes: str = ""
    """The unfinished migration that a run would go on with, and how far it is; empty if it would begin one."""
    findings: tuple[Finding, ...] = ()
    """All of them, blockers first; those that were accepted are marked."""
    plan: Plan | None = None
    """None if there is nothing to do."""

    @property
    def blockers(self) -> tuple[Finding, ...]:
        """The blockers that were not accepted."""
        return readiness.blockers([finding for finding in self.findings if not finding.accepted], ())

    @property
    def accepted(self) -> tuple[Finding, ...]:
        """The blockers that were."""
        return tuple(finding for finding in self.findings if finding.accepted)

    @property
    def is_ready(self) -> bool:
        """Whether a run could start."""
        return not self.blockers

    @property
    def verdict(self) -> str:
        """The whole report in a sentence."""
        if self.nothing_to_do:
            return self.nothing_to_do
        accepted = f", {len(self.accepted)} blockers of them accepted" if self.accepted else ""
        counts = f"{len(self.findings)} findings{accepted}"
        counts += f"; it takes up {self.resumes}" if self.resumes else ""
        if self.is_ready:
            return f"{self.cluster.name} is ready for {self.runbook}: {counts}"
        codes = listing(sorted({finding.code for finding in self.blockers}), count=5)
        return f"{self.cluster.name} is not ready for {self.runbook}: {len(self.blockers)} blockers ({codes}), {counts}"


def readiness_report(survey: ClusterSurvey, request: MigrationRequest) -> ReadinessReport:
    """Return the report on a cluster as it was seen."""
    wanted, reason = target(survey, request), readiness.nothing_to_do(survey, request)
    found = () if reason else readiness.with_acceptance(readiness.findings(survey, request), request.accept)
    return ReadinessReport(
        cluster=request.cluster,
        human_readable_name=survey.cluster.human_readable_name,
        runbook=request.runbook,
        seen_at=survey.seen_at,
        current_cni=survey.cluster.cni,
        current_proxy_mode=survey.cluster.proxy_mode,
        desired_cni=wanted.cni,
        desired_proxy_mode=wanted.proxy_mode,
        nothing_to_do=reason or "",
        unfinished=_unfinished(survey, request),
        has_disrupted=_has_disrupted(survey, request),
        is_approved=_is_approved(survey, request),
        resumes=_resumed(survey, request),
        findings=found,
        plan=None if reason else plan(survey, request),
    )


def _unfinished(survey: ClusterSurvey, request: MigrationRequest) -> str:
    found = survey.journal.open_migration()
    return found.id if found is not None and is_same_migration(request, found) else ""


def _has_disrupted(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    found = survey.journal.open_migration()
    ours = found is not None and (is_same_migration(request, found) or found.id == request.reverts)
    return found is not None and ours and is_disruptive(found)


def _is_approved(survey: ClusterSurvey, request: MigrationRequest) -> bool:
    found = survey.journal.open_migration()
    return found is not None and is_same_migration(request, found) and is_approved(found)


def _resumed(survey: ClusterSurvey, request: MigrationRequest) -> str:
    found = survey.journal.open_migration()
    if found is None or not is_same_migration(request, found):
        return ""
    return f"migration {found.id}, in which {len(found.steps)} steps are recorded: what is done is not done again"


def readiness_to_markdown(report: ReadinessReport) -> str:
    """Return the whole report."""
    sections = (
        f"# {report.cluster.name}: {'ready' if report.is_ready else 'not ready'} for {report.runbook}",
        cell(report.verdict),
        _summary(report),
        *(_plan(report.plan) if report.plan else ()),
        _section("Findings", findings_table(report.findings)),
    )
    return "\n\n".join(section for section in sections if section)


def _summary(report: ReadinessReport) -> str:
    rows = [
        ("Cluster", f"{report.cluster} ({report.human_readable_name})"),
        ("Now", f"{report.current_cni}, kube-proxy mode {report.current_proxy_mode}"),
        ("Then", f"{report.desired_cni}, kube-proxy mode {report.desired_proxy_mode}"),
        ("Looked at", f"{report.seen_at:%Y-%m-%d %H:%M:%S %Z}"),
        ("Blockers", str(len(report.blockers))),
        ("Accepted", ", ".join(sorted({finding.code for finding in report.accepted})) or "none"),
    ]
    if report.plan:
        rows += [
            ("Takes about", span(report.plan.estimate.seconds)),
            ("Of which interrupted", span(report.plan.estimate.outage_seconds)),
        ]
    return table(("", ""), rows)


def _plan(plan: Plan) -> Iterable[str]:
    steps = [(str(number), step.what, f"`{step.task}`") for number, step in enumerate(plan.steps, 1)]
    yield _section("Steps", table(("", "What", "Task"), steps))
    yield _section("Estimate", _estimate(plan.estimate))
    yield _section("Patches", "\n\n".join(_patch(patch) for patch in plan.patches))
    yield _section("Pods to be restarted", _waves(plan))
    yield _section("Objects to be removed", _removals(plan))
    yield _section("Nodes", _nodes(plan))


def _estimate(found: Estimate) -> str:
    """Return the parts under their stretches. Between two stretches lies a safe point, within one there is none."""
    rows: list[tuple[str, ...]] = []
    sums, told = found.seconds_by_stretch, ""
    for part in found.parts:
        stretch = f"{part.key}: {span(sums[part.key])}" if part.key != told else ""
        known = part.assumption if part.measured_in else f"assumed: {part.assumption}"
        rows.append((stretch, part.name, span(part.seconds), span(part.outage_seconds), known))
        told = part.key
    worst = f"at worst {span(found.longest_seconds)}"
    rows.append(("together", "", span(found.seconds), span(found.outage_seconds), worst))
    head = ("Stretch, between safe points", "Part", "Takes", "Interrupted", "Known from")
    return f"{SAFE_POINTS}\n\n{table(head, rows)}"


def _patch(patch: PlannedPatch) -> str:
    note = f" ({cell(patch.note)})" if patch.note else ""
    return f"{cell(patch.object)}{note}:\n\n```json\n{json.dumps(patch.body, indent=2, sort_keys=True)}\n```"


def _waves(plan: Plan) -> str:
    if not plan.waves and not plan.awaited and not plan.skipped:
        return ""
    rows = [
        (
            str(number),
            wave.name + (", one at a time" if wave.one_at_a_time else ""),
            str(wave.count),
            listing(wave.pods[:SHOWN_PODS] + ("",) * (wave.count - len(wave.pods[:SHOWN_PODS])), count=SHOWN_PODS),
        )
        for number, wave in enumerate(plan.waves, 1)
    ]
    lines = [table(("", "Wave", "Pods", ""), rows)] if rows else []
    if plan.awaited:
        lines.append(f"Awaited before: {cell(listing(plan.awaited, count=SHOWN_PODS))}")
    if plan.skipped:
        lines.append(f"Left alone: {cell(listing(plan.skipped, count=SHOWN_PODS))}")
    return "\n\n".join(lines)


def _removals(plan: Plan) -> str:
    more = f"\n\nand {plan.more_removals} more" if plan.more_removals else ""
    rows = [(found.kind, found.place) for found in plan.removals]
    return table(("Kind", "Object"), rows) + more if rows else ""


def _nodes(plan: Plan) -> str:
    shown = [(node.name, node.fate) for node in plan.nodes[:SHOWN_NODES]]
    more = len(plan.nodes) - len(shown)
    return (table(("Node", ""), shown) + (f"\n\nand {more} more" if more > 0 else "")) if shown else ""


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""
