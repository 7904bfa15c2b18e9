"""What a step has to say when it is through."""

from __future__ import annotations

from dataclasses import dataclass

from migration.models import Finding, StepStatus, WorkloadOutage


@dataclass(frozen=True)
class StepResult:
    """How a step ended, in a sentence; its times are added by whoever ran it."""

    status: StepStatus
    summary: str
    count: int = 0
    """How many pods were restarted, nodes replaced or rebooted; 0 where none are counted."""
    outage: tuple[WorkloadOutage, ...] = ()
    outage_seconds: float = 0.0
    mixed_seconds: float = 0.0
    findings: tuple[Finding, ...] = ()


def changed(summary: str) -> StepResult:
    """The step changed something."""
    return StepResult(StepStatus.CHANGED, summary)


def already(summary: str) -> StepResult:
    """The step found everything done."""
    return StepResult(StepStatus.ALREADY, summary)


def recorded(summary: str) -> StepResult:
    """The step noted something down, and changed nothing else."""
    return StepResult(StepStatus.RECORDED, summary)


def confirmed(summary: str) -> StepResult:
    """The step looked, and found what it should."""
    return StepResult(StepStatus.CONFIRMED, summary)


def skipped(summary: str) -> StepResult:
    """The step left something as it is, for a reason."""
    return StepResult(StepStatus.SKIPPED, summary)
