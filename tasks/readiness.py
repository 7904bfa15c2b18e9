"""Looking before leaping."""

from __future__ import annotations

import logging
from typing import Final

from prefect.logging import get_run_logger

from clusters.steps.survey import survey_cluster
from migration import readiness
from migration.errors import PreflightFailed
from migration.models import Finding, Frozen, MigrationRequest, Severity
from tasks.policy import looking_task

_LEVELS: Final = {Severity.BLOCKER: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}


class Readiness(Frozen):
    """The answer of the readiness check: what was found, and whether there is anything to do at all."""

    findings: tuple[Finding, ...]
    nothing_to_do: str | None = None


@looking_task("check readiness")
async def check_readiness(request: MigrationRequest) -> Readiness:
    """Return all findings. Raises PreflightFailed for blockers that were not accepted; changes nothing."""
    logger = get_run_logger()
    found = await survey_cluster(request, logger.info)
    if reason := readiness.nothing_to_do(found, request):
        return Readiness(findings=(), nothing_to_do=reason)
    findings = readiness.findings(found, request)
    for finding in findings:
        logger.log(_LEVELS[finding.severity], "%s: %s", finding.severity, finding)
    if blockers := readiness.blockers(findings, request.accept):
        raise PreflightFailed(str(request.cluster), blockers)
    return Readiness(findings=findings)
