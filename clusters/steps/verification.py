"""Recording how things are before a migration, and proving afterwards that they are no worse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from clusters import narrowing
from clusters.backups import load_backup, store_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import NODES, PODS
from clusters.seed import OpenedCluster
from clusters.steps.result import StepResult, already, confirmed
from clusters.steps.survey import list_nodes, list_pods, observe_baseline
from clusters.watching import Live, View, watching
from migration.errors import OperatorActionNeeded
from migration.journal import Migration
from migration.models import Finding, Severity, StepStatus
from migration.verification import Baseline, bad_nodes, broken_before, duplicate_addresses, regressions

BASELINE: Final = "baseline"
ACCEPT: Final = "verification"
"""The code by which an operator accepts that something is worse than before."""
RECHECK_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0


async def record_baseline(opened: OpenedCluster, migration_id: str) -> StepResult:
    """Leave what is ready now in the journal, unless an earlier run did: what it saw was truly before."""
    migration = await read_migration(opened.api, migration_id)
    if migration.backup(BASELINE):
        return already("recorded before")
    baseline = await observe_baseline(opened.api)
    backup = await store_backup(
        opened.api, [baseline.model_dump(mode="json")], migration_id=migration_id, name=BASELINE
    )
    await change_migration(opened.api, migration_id, lambda found: found.with_backup(backup))
    summary = (
        f"workloads: {len(baseline.ready_pods)}, Services: {len(baseline.services)}, "
        f"pods without a controller: {len(baseline.bare_pods)}"
    )
    return StepResult(StepStatus.RECORDED, summary, findings=tuple(_broken(broken_before(baseline))))


async def verify(
    opened: OpenedCluster, migration_id: str, *, deadline: timedelta, accepted: bool = False
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
    if worse and accepted:
        return StepResult(
            StepStatus.CONFIRMED, f"accepted what is worse: {len(worse)}", findings=tuple(_worse_findings(worse))
        )
    if worse:
        raise OperatorActionNeeded(
            f"{opened.ref} runs {migration.desired_cni}, but is not as good as before: {'; '.join(worse[:10])}"
            f"{f' and {len(worse) - 10} more' if len(worse) > 10 else ''}. "
            "Mend these and start the flow again: it verifies and closes the migration. If they are known and right, "
            f'start it with accept=["{ACCEPT}"]'
        )
    return confirmed(f"{len(before.ready_pods)} workloads and {len(before.services)} Services are as before")


async def _load_baseline(opened: OpenedCluster, migration: Migration) -> Baseline:
    stored = migration.backup(BASELINE)
    if stored is None:
        raise OperatorActionNeeded(
            f"migration {migration.id} has no baseline to verify against: compare the workloads by hand, "
            f'then start the flow with accept=["{ACCEPT}"]'
        )
    return Baseline.model_validate((await load_backup(opened.api, stored))[0])


async def _until_as_before(opened: OpenedCluster, view: View, before: Baseline, deadline: timedelta) -> tuple[str, ...]:
    """Look again after changes until nothing is worse, or the deadline ends; returns what is worse then."""
    ends = time.monotonic() + deadline.total_seconds()
    told = ""
    seen = view.changes
    while worse := await _worse(opened, before):
        if worse[0] != told:
            opened.tell(f"waiting for what is worse than before ({len(worse)}), first: {worse[0]}")
            told = worse[0]
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


async def _worse(opened: OpenedCluster, before: Baseline) -> tuple[str, ...]:
    now = await observe_baseline(opened.api)
    pods, nodes = await list_pods(opened.api), await list_nodes(opened.api)
    return (*regressions(before, now), *duplicate_addresses(pods), *bad_nodes(nodes))


def _worse_findings(worse: Sequence[str]) -> list[Finding]:
    return [
        Finding(
            code="worse-than-before",
            severity=Severity.WARNING,
            subject=line.split(" ", 1)[0],
            seen=line,
            advice="It was accepted: look whether it is meant.",
        )
        for line in worse
    ]


def _broken(lines: Sequence[str]) -> list[Finding]:
    return [
        Finding(
            code="broken-before",
            severity=Severity.INFO,
            subject=line.split(" ", 1)[0],
            seen=line.split(" ", 1)[1],
            advice="It is not measured against more than that afterwards.",
        )
        for line in lines
    ]
