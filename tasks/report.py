"""The report at the end of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from prefect.artifacts import Artifact, acreate_markdown_artifact
from prefect.logging import get_run_logger

from clusters.journal import read_migration
from clusters.seed import open_cluster
from clusters.steps.standing import look_at_unfinished, look_where_it_stands
from migration.errors import MigrationError, RunStopped
from migration.facts import ClusterFacts
from migration.journal import Migration
from migration.models import ClusterRef, Finding, MigrationReport, MigrationRequest, Runbook, RunningMigration
from migration.report import failure_to_markdown, merge_outages, to_markdown
from migration.standing import Standing, failed_before_the_start, failure_message, standing, stop_message
from tasks.events import FAILED, FINISHED, STOPPED, emit_migration, report_payload
from tasks.evidence import keep_report
from tasks.policy import looking_task


@looking_task("report", retries=4)
async def report_migration(run: RunningMigration, findings: tuple[Finding, ...]) -> MigrationReport:
    """Publish what was, what is, and what happened between, and return it."""
    async with open_cluster(run.cluster, get_run_logger().info) as opened:
        cluster = await opened.seed.cluster(run.cluster.name)
        migration = await read_migration(opened.api, run.id)
        outcome: Literal["migrated", "taken back"] = "taken back" if migration.reverts else "migrated"
        message = _message(cluster, migration)
        report = _report(run, cluster, migration, outcome=outcome, message=message, findings=findings)
        await keep_report(opened, migration, report)
    emit_migration(FINISHED, run.cluster, {"runbook": str(migration.kind), **report_payload(report)})
    await _publish(report)
    await _settle_failure(report)
    return report


@looking_task("report", retries=4)
async def report_nothing_to_do(request: MigrationRequest, reason: str) -> MigrationReport:
    """Publish that the cluster was found where it shall be."""
    started_at = datetime.now(UTC)
    async with open_cluster(request.cluster, get_run_logger().info) as opened:
        cluster = await opened.seed.cluster(request.cluster.name)
    report = MigrationReport(
        cluster=request.cluster,
        migration_id=None,
        outcome="nothing to do",
        message=reason,
        previous_cni=None,
        current_cni=cluster.cni,
        proxy_mode=cluster.proxy_mode,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        steps=(),
        outage=(),
        outage_seconds=0.0,
        mixed_seconds=0.0,
        findings=(),
    )
    await _publish(report)
    return report


@looking_task("report", retries=4)
async def report_failure(run: RunningMigration, error: Exception) -> Standing:
    """Publish where the cluster stands after a failed step and the ways forward from there, and return them."""
    logger = get_run_logger()
    facts = await look_where_it_stands(run.cluster, run.id, logger.info)
    found = standing(facts, error)
    told = str(error) if isinstance(error, MigrationError) else f"{type(error).__name__}: {error}"
    step, safe_point = (error.step, error.safe_point) if isinstance(error, MigrationError) else ("", "")
    message = failure_message(run.cluster, step or safe_point or "the runbook", told, found)
    logger.error("%s: %s", run.cluster.name, told)
    for line in (f"state: {found.state}", f"resume: {found.resume}", f"revert: {found.revert}"):
        logger.error("%s: %s", run.cluster.name, line)
    which = {"migration": run.id, "runbook": str(run.request.runbook), "step": step, "error": type(error).__name__}
    emit_migration(FAILED, run.cluster, {**which, "summary": told, "state": found.state})
    await acreate_markdown_artifact(
        failure_to_markdown(run.cluster, run.id, told, found, facts.migration.steps if facts.migration else ()),
        key=f"migration-failure-{run.cluster.name}",
        description=f"{run.cluster}: failed",
    )
    return found.model_copy(update={"message": message})


@looking_task("report", retries=4)
async def stands_before_the_start(cluster: ClusterRef, error: MigrationError) -> Standing:
    """Return where the cluster of a run stands that ended before it had begun or taken up a migration."""
    return failed_before_the_start(error, await look_at_unfinished(cluster, get_run_logger().info))


@looking_task("report", retries=4)
async def report_stop(run: RunningMigration, stop: RunStopped) -> MigrationReport:
    """Publish where a run was told to end, and how to go on from there, and return it."""
    facts = await look_where_it_stands(run.cluster, run.id, get_run_logger().info)
    async with open_cluster(run.cluster, get_run_logger().info) as opened:
        cluster, migration = await opened.seed.cluster(run.cluster.name), await read_migration(opened.api, run.id)
    message = stop_message(run.cluster, str(stop), facts)
    report = _report(run, cluster, migration, outcome="stopped", message=message, findings=())
    emit_migration(STOPPED, run.cluster, {"runbook": str(migration.kind), **report_payload(report)})
    await _publish(report)
    return report


def _report(
    run: RunningMigration,
    cluster: ClusterFacts,
    migration: Migration,
    *,
    outcome: Literal["migrated", "taken back", "stopped"],
    message: str,
    findings: tuple[Finding, ...],
) -> MigrationReport:
    return MigrationReport(
        cluster=run.cluster,
        migration_id=migration.id,
        outcome=outcome,
        message=message,
        previous_cni=migration.previous_cni,
        current_cni=cluster.cni,
        proxy_mode=cluster.proxy_mode,
        started_at=migration.started_at,
        finished_at=migration.finished_at or datetime.now(UTC),
        steps=migration.steps,
        outage=merge_outages(migration.steps),
        outage_seconds=round(sum(step.outage_seconds for step in migration.steps), 2),
        mixed_seconds=round(sum(step.mixed_seconds for step in migration.steps), 2),
        findings=(*findings, *(finding for step in migration.steps for finding in step.findings)),
    )


def _message(cluster: ClusterFacts, migration: Migration) -> str:
    name = f"{cluster.name} ({cluster.human_readable_name})"
    before, now, mode = str(migration.previous), str(cluster.network), cluster.proxy_mode
    if not migration.changes_proxy_mode:
        before, now = str(migration.previous_cni), str(cluster.cni)
    if migration.reverts:
        return f"Migration {migration.reverts} of {name} was taken back: from {before} to {now}."
    if migration.kind is Runbook.CHANGE_PROXY_MODE:
        return f"The kube-proxy mode of {name} was changed from {migration.previous_proxy_mode} to {mode}."
    return f"{name} was migrated from {before} to {now}."


async def _settle_failure(report: MigrationReport) -> None:
    """Leave no report on a failure as the newest one that a later run has overtaken."""
    key = f"migration-failure-{report.cluster.name}"
    if await Artifact.aget(key) is not None:
        text = f"# {report.cluster.name}: settled\n\nA later run has settled that failure. {report.message}"
        await acreate_markdown_artifact(text, key=key, description=f"{report.cluster}: settled")


async def _publish(report: MigrationReport) -> None:
    get_run_logger().info("%s", report.message)
    # A look that found nothing to do must not take the place of the report on the migration.
    kind = "check" if report.outcome == "nothing to do" else "report"
    await acreate_markdown_artifact(
        to_markdown(report),
        key=f"migration-{kind}-{report.cluster.name}",
        description=f"{report.cluster}: {report.outcome}",
    )
