"""What a migration does, as events of Prefect's: for automations, metrics and other systems.

Names: `cni-migration.step.started`, `.finished`, `.failed`; `cni-migration.finding`; `cni-migration.migration.begun`,
`.finished`, `.stopped`, `.failed`. The resource is the cluster, `cni-migration.cluster.<seed>/<name>`; Prefect relates
the flow run, its flow, deployment and tags by itself. docs/observability.md has the payloads.

Emitting puts an event into a queue of Prefect's own (3.8.8, prefect/events/worker.py), which a thread sends and which
is emptied when the process ends. It raises nothing: what is told of a step must not be what it fails of.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from prefect.context import TaskRunContext
from prefect.events import emit_event

from migration.errors import MigrationError
from migration.models import ClusterRef, Finding, MigrationReport, RunningMigration, StepOutcome

PREFIX: Final = "cni-migration."
STEP_STARTED: Final = f"{PREFIX}step.started"
STEP_FINISHED: Final = f"{PREFIX}step.finished"
STEP_FAILED: Final = f"{PREFIX}step.failed"
FINDING: Final = f"{PREFIX}finding"
BEGUN: Final = f"{PREFIX}migration.begun"
FINISHED: Final = f"{PREFIX}migration.finished"
STOPPED: Final = f"{PREFIX}migration.stopped"
FAILED: Final = f"{PREFIX}migration.failed"
CLUSTER: Final = f"{PREFIX}cluster."
LONGEST_TEXT: Final = 500
MOST_FINDINGS: Final = 100
"""Of one look or step; the payload of its own event has their number."""

_logger: Final = logging.getLogger(__name__)


@dataclass
class Told:
    """Takes the outcome of a step, for the event at its end."""

    outcome: StepOutcome | None = None


@contextmanager
def telling_step(run: RunningMigration, step: str) -> Iterator[Told]:
    """Emit that a step began, and how it ended with its findings, whatever happens inside of the block."""
    which = {"migration": run.id, "runbook": str(run.request.runbook), "step": step, "try": _try()}
    emit_step(STEP_STARTED, run.cluster, which)
    told = Told()
    try:
        yield told
    except BaseException as error:
        text = str(error) if isinstance(error, MigrationError) else ""
        emit_step(STEP_FAILED, run.cluster, {**which, "error": type(error).__name__, "summary": text})
        raise
    if told.outcome is not None:
        emit_step(STEP_FINISHED, run.cluster, {**which, **_payload(told.outcome)})
        emit_findings(run.cluster, told.outcome.findings, migration=run.id)


def emit_step(event: str, cluster: ClusterRef, payload: Mapping[str, Any]) -> None:
    """Have Prefect told of a step."""
    emit(event, cluster, payload)


def emit_finding(cluster: ClusterRef, finding: Finding, *, migration: str = "") -> None:
    """Have Prefect told of a finding; `migration` is empty before one has begun."""
    payload = finding.model_dump(mode="json")
    emit(FINDING, cluster, {"migration": migration, **payload})


def emit_findings(cluster: ClusterRef, findings: Iterable[Finding], *, migration: str = "") -> None:
    """Have Prefect told of the first findings; the worst come first."""
    for finding in tuple(findings)[:MOST_FINDINGS]:
        emit_finding(cluster, finding, migration=migration)


def emit_migration(event: str, cluster: ClusterRef, payload: Mapping[str, Any]) -> None:
    """Have Prefect told that a migration began or ended."""
    emit(event, cluster, payload)


def report_payload(report: MigrationReport) -> dict[str, Any]:
    """Return what the event at a migration's end says of it."""
    return {
        "migration": report.migration_id or "",
        "outcome": report.outcome,
        "summary": report.message,
        "from": str(report.previous_cni or ""),
        "to": str(report.current_cni),
        "proxy_mode": report.proxy_mode,
        "seconds": round((report.finished_at - report.started_at).total_seconds(), 1),
        "outage_seconds": report.outage_seconds,
        "mixed_seconds": report.mixed_seconds,
        "pods_restarted": sum(step.count for step in report.steps if step.step == "restart pods"),
        "findings": len(report.findings),
    }


def emit(event: str, cluster: ClusterRef, payload: Mapping[str, Any]) -> None:
    """Have Prefect told of something about a cluster. Never raises, never waits for the server."""
    resource = {
        "prefect.resource.id": f"{CLUSTER}{cluster}",
        "prefect.resource.name": cluster.name,
        "cni-migration.seed": cluster.seed,
    }
    short = {key: value[:LONGEST_TEXT] if isinstance(value, str) else value for key, value in payload.items()}
    try:
        emit_event(event, resource=resource, payload={"seed": cluster.seed, "cluster": cluster.name, **short})
    except Exception as error:  # noqa: BLE001 - whatever it is, the migration has other worries
        _logger.debug("event %s of %s was not emitted: %s", event, cluster, type(error).__name__)


def _payload(outcome: StepOutcome) -> dict[str, Any]:
    return {
        "status": str(outcome.status),
        "summary": outcome.summary,
        "seconds": round(outcome.seconds, 2),
        "count": outcome.count,
        "outage_seconds": outcome.outage_seconds,
        "mixed_seconds": outcome.mixed_seconds,
        "findings": len(outcome.findings),
    }


def _try() -> int:
    context = TaskRunContext.get()
    return context.task_run.run_count if context is not None else 1
