"""What is done about runs that crashed: looked at, taken up again, given up, and told to people."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.logging import get_run_logger

from clusters.steps.standing import look_after_crash
from clusters.watching import Tell
from migration.errors import MigrationError
from migration.journal import Journal
from migration.late_runs import LateRun
from migration.markdown import table
from migration.report import failure_to_markdown
from migration.resuming import (
    AGAIN,
    ALONE,
    BY_HAND,
    CrashedRun,
    Decision,
    Limits,
    OtherRun,
    Resumption,
    Ruling,
    Settled,
    decide_by_journal,
    decide_by_runs,
    how_to_resume,
    latest_of,
)
from migration.standing import StandingFacts, after_crash, failure_message
from tasks import clock, crashed_runs
from tasks.landing import land
from tasks.policy import looking_task

SOMEBODY_ELSES: Final = Decision(ruling=Ruling.LEAVE, reason="it is no longer as it was read: somebody else sees to it")
MEND: Final = f"find out why it crashes, then {BY_HAND}"
LOOK_AT_WORKERS: Final = "look whether the work pool has a worker, and whether its queue is full or paused"
_SETTLED: Final = ("Cluster", "Run", "Crashes", "What became of it", "Why")
_LANDED: Final = ("Cluster", "Run", "What was done")
_LATE: Final = ("Cluster", "Run", "Waited as", "Due since", "What to do")


@looking_task("find interrupted runs", retries=4)
async def find_interrupted_runs(limits: Limits) -> tuple[tuple[CrashedRun, ...], tuple[OtherRun, ...]]:
    """Return the crashed runs that may have to be taken up, and what else there is for their clusters."""
    crashed = await crashed_runs.crashed_runs(since=timedelta(hours=limits.max_age_hours))
    return tuple(crashed), tuple(await crashed_runs.other_runs(crashed)) if crashed else ()


@looking_task("settle")
async def settle(run: CrashedRun, others: tuple[OtherRun, ...], limits: Limits) -> Settled:
    """Leave a crashed run scheduled again, marked as given up, or as it is, and tell which and why."""
    decision = decide_by_runs(run, others, limits, clock.now()) or await _by_cluster(run, others, limits)
    if decision.ruling is Ruling.LAND and not await _land(run, get_run_logger().info):
        decision = SOMEBODY_ELSES
    get_run_logger().info("%s: %s %s: %s", run.cluster.name, run.name, decision.ruling, decision.reason)
    return Settled(run=run, decision=decision)


@looking_task("report")
async def report_resumption(resumption: Resumption) -> None:
    """Publish what became of crashed and cancelled runs, and which others are late, if there were any."""
    tables = (
        ("Interrupted runs", _SETTLED, _settled(resumption.settled)),
        ("Cancelled runs", _LANDED, [(str(run.cluster), run.name, run.message) for run in resumption.landed]),
        ("Late runs", _LATE, _late(resumption.late)),
    )
    parts = [f"# {title}\n\n{table(head, rows)}" for title, head, rows in tables if rows]
    if parts:
        text = "\n\n".join(parts)
        await acreate_markdown_artifact(text, key="interrupted-runs", description=resumption.message)


def _settled(settled: tuple[Settled, ...]) -> list[tuple[str, ...]]:
    return [
        (str(each.run.cluster), each.run.name, str(each.run.crashes), each.decision.ruling, each.decision.reason)
        for each in settled
    ]


def _late(late: tuple[LateRun, ...]) -> list[tuple[str, ...]]:
    return [(str(run.cluster), run.name, run.state, run.since, LOOK_AT_WORKERS) for run in late]


async def explain_crash(flow_run_id: UUID, tell: Tell) -> bool:
    """Leave a run that crashed as Interrupted, with where its cluster stands; tells whether that was done.

    One that somebody had cancelled is Cancelled in the end, its cluster brought to a safe point as by any cancellation.
    Works outside of a run: it is the worker that sees the crash. Nothing is done about a run taken up meanwhile.
    """
    run = await crashed_runs.crashed_run(flow_run_id)
    if run is None:
        return False
    if run.cancelled:
        return await _land(run, tell)
    facts, resume, obstacle = StandingFacts(), AGAIN if run.is_deployed else ALONE, ""
    try:
        journal, facts = await _look(run, tell)
        resume = how_to_resume(run, await crashed_runs.other_runs([run]), journal)
    except MigrationError as error:
        obstacle = str(error)
    message = await _tell_people(run, facts, f"its process ended: {run.message}", resume, obstacle=obstacle)
    return await crashed_runs.mark_interrupted(run, message, given_up=False)


async def _by_cluster(run: CrashedRun, others: tuple[OtherRun, ...], limits: Limits) -> Decision:
    """Ask the run's cluster what is to become of it, and do that. What can't be reached is left for the next time."""
    try:
        journal, facts = await _look(run, get_run_logger().info)
    except MigrationError as error:
        return Decision(ruling=Ruling.LEAVE, reason=f"its cluster can't be looked at, so not before next time: {error}")
    decision = decide_by_journal(run, others, journal, limits)
    return decision if await _carry_out(run, decision, facts) else SOMEBODY_ELSES


async def _land(run: CrashedRun, tell: Tell) -> bool:
    """Do what the crash kept the run's worker from, and leave the run cancelled; tells whether that was done."""
    found = await crashed_runs.as_it_was_read(run)
    return found is not None and await crashed_runs.mark_cancelled(run, await land(found, run.flow, tell))


async def _look(run: CrashedRun, tell: Tell) -> tuple[Journal, StandingFacts]:
    return await look_after_crash(run.cluster, lambda journal: latest_of(journal.migrations, run), tell)


async def _carry_out(run: CrashedRun, decision: Decision, facts: StandingFacts) -> bool:
    if decision.ruling is Ruling.TAKE_UP:
        return await crashed_runs.take_up(run, f"Taken up by resume-interrupted: {decision.reason}. {run.message}")
    if decision.ruling is Ruling.GIVE_UP:
        error = f"given up: {decision.reason}. The last one: {run.message}"
        message = await _tell_people(run, facts, error, decision.way_on or MEND)
        return await crashed_runs.mark_interrupted(run, message, given_up=True)
    return True


async def _tell_people(run: CrashedRun, facts: StandingFacts, error: str, resume: str, *, obstacle: str = "") -> str:
    """Publish where the cluster of a crashed run stands, and return that in one line."""
    found = after_crash(facts, obstacle, resume)
    migration = facts.migration
    text = failure_to_markdown(
        run.cluster, migration.id if migration else "none", error, found, migration.steps if migration else ()
    )
    artifact = ArtifactCreate(
        key=f"migration-failure-{run.cluster.name}",
        type="markdown",
        description=f"{run.cluster}: interrupted",
        data=text,
        flow_run_id=UUID(run.id),
    )
    async with get_client() as client:
        await client.create_artifact(artifact)
    step = await crashed_runs.step_under_way(run) or "none"
    return failure_message(run.cluster, step, error, found)
