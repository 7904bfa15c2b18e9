"""Recording how things are before a migration, and proving afterwards that they are no worse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from clusters import narrowing
from clusters.backups import load_backup, store_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import NODES, PODS
from clusters.seed import OpenedCluster
from clusters.steps.observing import observe_baseline
from clusters.steps.probes import ProbeRound, clear_probes_quietly, run_probes
from clusters.steps.result import StepResult, already
from clusters.watching import Live, View, watching
from migration.errors import OperatorActionNeeded
from migration.journal import Migration
from migration.models import Finding, ProbeOptions, Severity, StepStatus
from migration.probes import Seen, tally
from migration.text import listing
from migration.verification import Baseline, Difference, broken_before, probe_regressions, regressions

BASELINE: Final = "baseline"
ACCEPT: Final = "verification"
"""The code by which an operator accepts that something is worse than before."""
RECHECK_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0
SHOWN: Final = 10
NO_PROBES: Final = ProbeOptions()


async def record_baseline(opened: OpenedCluster, migration_id: str, *, probes: ProbeOptions = NO_PROBES) -> StepResult:
    """Leave what is ready and reachable now in the journal, unless an earlier run did: what it saw was truly before."""
    migration = await read_migration(opened.api, migration_id)
    if migration.backup(BASELINE):
        if probes.enabled:
            await clear_probes_quietly(opened)  # a run that was killed since may have left some
        return already("recorded before")
    tried = await run_probes(opened, migration_id, probes) if probes.enabled else ProbeRound()
    baseline = (await observe_baseline(opened.api)).model_copy(update={"probes": tried.results})
    backup = await store_backup(
        opened.api, [baseline.model_dump(mode="json")], migration_id=migration_id, name=BASELINE
    )
    await change_migration(opened.api, migration_id, lambda found: found.with_backup(backup))
    summary = (
        f"workloads: {len(baseline.ready_pods)}, Services: {len(baseline.services)}, "
        f"pods without a controller: {len(baseline.bare_pods)}"
    )
    findings = (*_not_run(tried), *_broken(broken_before(baseline)))
    return StepResult(StepStatus.RECORDED, _with_tally(summary, tried), findings=findings)


async def verify(
    opened: OpenedCluster,
    migration_id: str,
    *,
    deadline: timedelta,
    accepted: bool = False,
    probes: ProbeOptions = NO_PROBES,
) -> StepResult:
    """Return once everything is as good as before; with `accepted`, what is worse at the deadline becomes findings.

    Raises OperatorActionNeeded with what is worse at the deadline, or if there is nothing to compare with.
    """
    migration = await read_migration(opened.api, migration_id)
    try:
        before = await _load_baseline(opened, migration)
    except OperatorActionNeeded:
        if not accepted:
            raise
        return StepResult(StepStatus.SKIPPED, "there is no baseline to compare with, which was accepted")
    pods, nodes = Live(opened.api, PODS, narrowing.pod), Live(opened.api, NODES, narrowing.node)
    async with watching(pods, nodes) as view:
        await view.listed()
        worse = await _until_as_before(opened, view, before, deadline)
    tried = await run_probes(opened, migration_id, probes) if probes.enabled else ProbeRound()
    worse += probe_regressions(before, tried.results)
    if worse and not accepted:
        raise _not_as_good(opened, migration, worse)
    summary = f"{len(before.ready_pods)} workloads and {len(before.services)} Services are as before"
    return StepResult(
        StepStatus.CONFIRMED,
        _with_tally(f"accepted what is worse: {len(worse)}" if worse else summary, tried),
        findings=(*_worse_findings(worse), *_not_run(tried), *_failed_as_before(tried, worse)),
    )


def _not_as_good(opened: OpenedCluster, migration: Migration, worse: Sequence[Difference]) -> OperatorActionNeeded:
    network = f"{migration.desired_cni}, kube-proxy mode {migration.desired.proxy_mode}"
    lines = "; ".join(str(line) for line in worse[:SHOWN])
    return OperatorActionNeeded(
        f"{opened.ref} runs {network}, but is not as good as before: {lines}"
        f"{f' and {len(worse) - SHOWN} more' if len(worse) > SHOWN else ''}. "
        "Mend these and start the flow again: it verifies and closes the migration. If they are known and right, "
        f'start it with accept=["{ACCEPT}"]'
    )


async def _load_baseline(opened: OpenedCluster, migration: Migration) -> Baseline:
    stored = migration.backup(BASELINE)
    if stored is None:
        raise OperatorActionNeeded(
            f"migration {migration.id} has no baseline to verify against: compare the workloads by hand, "
            f'then start the flow with accept=["{ACCEPT}"]'
        )
    return Baseline.model_validate((await load_backup(opened.api, stored))[0])


async def _until_as_before(
    opened: OpenedCluster, view: View, before: Baseline, deadline: timedelta
) -> tuple[Difference, ...]:
    """Look again after changes until nothing is worse, or the deadline ends; returns what is worse then."""
    ends = time.monotonic() + deadline.total_seconds()
    told = ""
    seen = view.changes
    while worse := regressions(before, await observe_baseline(opened.api)):
        if str(worse[0]) != told:
            told = str(worse[0])
            opened.tell(f"waiting for what is worse than before ({len(worse)}), first: {told}")
        left = ends - time.monotonic()
        if left <= 0:
            break
        try:
            # What changed while the cluster was being looked at may have been looked at before it changed.
            async with asyncio.timeout(min(left, LONGEST_PAUSE_SECONDS)):
                await view.changed(since=seen)
        except TimeoutError:
            continue
        await asyncio.sleep(min(RECHECK_SECONDS, max(0.0, ends - time.monotonic())))
        seen = view.changes
    return worse


def _with_tally(summary: str, tried: ProbeRound) -> str:
    return f"{summary}; {tally(tried.results)}" if tried.results else summary


def _worse_findings(worse: Iterable[Difference]) -> Iterable[Finding]:
    for line in worse:
        yield Finding(
            code="worse-than-before",
            severity=Severity.WARNING,
            subject=line.subject,
            seen=line.seen,
            advice="It was accepted: look whether it is meant.",
        )


def _broken(lines: Iterable[Difference]) -> Iterable[Finding]:
    for line in lines:
        yield Finding(
            code="broken-before",
            severity=Severity.INFO,
            subject=line.subject,
            seen=line.seen,
            advice="It is not measured against more than that afterwards.",
        )


def _not_run(tried: ProbeRound) -> Iterable[Finding]:
    """Yield what probes can't tell, and what they may have left behind."""
    if tried.problem:
        yield _about_probes(
            "probe-not-run", Severity.WARNING, "Probes", tried.problem, "Nothing is known of the network by them."
        )
    for result in tried.results:
        if result.seen is Seen.NOT_RUN:
            advice = "Look at the image, the node's room and its CNI."
            yield _about_probes("probe-not-run", Severity.WARNING, result.subject, result.outcome, advice)
    if tried.left_out:
        seen = f"{len(tried.left_out)} nodes were not probed ({listing(tried.left_out)})"
        yield _about_probes("nodes-not-probed", Severity.INFO, "Probes", seen, "The others stand for them.")
    if tried.leftovers:
        advice = "Delete their namespace if it stays."
        yield _about_probes("probes-left", Severity.WARNING, "Probes", tried.leftovers, advice)


def _failed_as_before(tried: ProbeRound, worse: Iterable[Difference]) -> Iterable[Finding]:
    known = {line.subject for line in worse}
    for result in tried.results:
        if not result.is_good and result.seen is not Seen.NOT_RUN and result.subject not in known:
            advice = "It failed before as well, or nobody tried."
            yield _about_probes("probe-failed", Severity.INFO, result.subject, result.outcome, advice)


def _about_probes(code: str, severity: Severity, subject: str, seen: str, advice: str) -> Finding:
    return Finding(code=code, severity=severity, subject=subject, seen=seen, advice=advice)
