"""Looking before leaping."""

from __future__ import annotations

import logging
from typing import Final

from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger

from clusters.survey import survey_cluster
from migration.errors import PreflightFailed
from migration.models import MigrationRequest, Severity
from migration.readiness import refuse_unknown_codes
from migration.readiness_report import ReadinessReport, readiness_report, readiness_to_markdown
from tasks.events import emit_findings
from tasks.policy import looking_task
from tasks.schedules import with_schedules

_LEVELS: Final = {Severity.BLOCKER: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.INFO: logging.INFO}


@looking_task("check readiness")
async def check_readiness(request: MigrationRequest) -> ReadinessReport:
    """Return all findings and the plan. Raises PreflightFailed for blockers that were not accepted; changes nothing."""
    report = await _examined(await with_schedules(request))
    if report.blockers:
        raise PreflightFailed(str(request.cluster), report.blockers)
    return report


@looking_task("examine readiness")
async def examine_readiness(request: MigrationRequest) -> ReadinessReport:
    """Return all findings and the plan, blockers and all; changes nothing."""
    return await _examined(request)


async def _examined(request: MigrationRequest) -> ReadinessReport:
    """Look at the cluster, tell what was found, and publish it."""
    logger = get_run_logger()
    refuse_unknown_codes(request.accept)
    report = readiness_report(await survey_cluster(request, logger.info), request)
    for finding in report.findings:
        logger.log(_LEVELS[finding.severity], "%s: %s", finding.severity, finding)
    emit_findings(report.cluster, report.findings, migration=report.unfinished)
    logger.info("%s", report.verdict)
    await acreate_markdown_artifact(
        readiness_to_markdown(report),
        key=f"readiness-{report.cluster.name}",
        description=f"{report.cluster}: {report.verdict}",
    )
    return report
