"""What all tasks share: when they are retried, where their checkpoints lie, and how a step is run and recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, ParamSpec, Protocol, TypeVar, cast

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger

from clusters.journal import read_migration
from clusters.recording import ChangeRecorder
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps.bookkeeping import record_step
from clusters.steps.measuring import measured
from clusters.steps.result import StepResult
from migration.errors import MigrationError, Transient
from migration.journal import Migration
from migration.models import RunningMigration, StepOutcome
from tasks.events import telling_step
from tasks.progress import progress_artifact

RETRY_DELAYS_SECONDS: Final[list[float]] = [2, 10, 30, 60]
"""Between the tries of a step. Requests are repeated further down already: these bridge an outage of the API server."""


def is_transient(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """Tell Prefect whether a failed task may succeed when it is tried again.

    Requests to clusters fail with errors of our own: one of httpx means that the Prefect server is away.
    """
    return isinstance(state.data, Transient | httpx.TransportError)


def checkpoint_key(step: str, version: int) -> Callable[[TaskRunContext, dict[str, Any]], str]:
    """Return a cache key function: cluster, migration id, step and step version, and what the step is applied to.

    The id comes from the cluster's journal, so a retry, a crash and a new run of the same migration find the same key.
    """

    def key(_context: TaskRunContext, parameters: dict[str, Any]) -> str:
        run: RunningMigration = parameters["run"]
        target = str(parameters.get("machine_deployment", "")).replace("/", ".")
        again = f"preparation {run.preparation}" if run.preparation > 1 else ""
        return "/".join(part for part in (run.cluster.name, run.id, again, step, target, f"v{version}") if part)

    return key


P = ParamSpec("P")
R = TypeVar("R")


class TaskDecorator(Protocol):
    """Turns an async function into a task that is awaited just like it."""

    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]:
        """Return the task."""


def step_task(name: str, *, version: int = 1) -> TaskDecorator:
    """Make a task of a runbook step: retried when transient, skipped when its checkpoint is there."""
    decorator = task(
        name=name,
        retries=len(RETRY_DELAYS_SECONDS),
        retry_delay_seconds=RETRY_DELAYS_SECONDS,
        retry_condition_fn=is_transient,
        persist_result=True,
        cache_key_fn=checkpoint_key(name, version),
    )
    return cast("TaskDecorator", decorator)


def looking_task(name: str, *, retries: int = 2, run_name: str | Callable[[], str] | None = None) -> TaskDecorator:
    """Make a task that looks at live state, and so is never skipped; `run_name` may name its parameters in braces."""
    decorator = task(
        name=name,
        task_run_name=run_name,
        retries=retries,
        retry_delay_seconds=RETRY_DELAYS_SECONDS[:retries],
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return cast("TaskDecorator", decorator)


def journaled(
    run: RunningMigration, act: Callable[[OpenedCluster, Migration], Awaitable[StepResult]]
) -> Callable[[OpenedCluster], Awaitable[StepResult]]:
    """Return the action of a step that needs the migration as the journal has it when the step begins."""

    async def acting(opened: OpenedCluster) -> StepResult:
        return await act(opened, await read_migration(opened.api, run.id))

    return acting


async def perform(
    run: RunningMigration,
    step: str,
    act: Callable[[OpenedCluster], Awaitable[StepResult]],
    *,
    disruptive: bool = False,
) -> StepOutcome:
    """Run a step while the lock is held, and leave its outcome in the journal. Raises LockLost before the next change.

    The outage that workloads have during a disruptive step is measured, unless the step does so itself. What it changes
    is kept as evidence, how far it is shown on its page, and how it begins and ends told as events.
    """
    logger = get_run_logger()
    recorder = ChangeRecorder(run.id, step=step, run=run.request.run_id)
    with _named(step), telling_step(run, step) as told:
        async with (
            progress_artifact(run.cluster, step) as progress,
            open_cluster(run.cluster, logger.info, holder=run.holder, recorder=recorder, progress=progress) as opened,
        ):
            started_at = datetime.now(UTC)
            result = await (measured(opened, lambda: act(opened)) if disruptive else act(opened))
            outcome = StepOutcome(
                step=step,
                status=result.status,
                summary=result.summary,
                count=result.count,
                started_at=started_at,
                finished_at=datetime.now(UTC),
                outage=result.outage,
                outage_seconds=round(result.outage_seconds, 2),
                mixed_seconds=round(result.mixed_seconds, 2),
                findings=result.findings,
            )
            await record_step(opened, run.id, outcome)
        told.outcome = outcome
    logger.info("%s: %s: %s, %s", run.cluster.name, step, outcome.status, outcome.summary)
    return outcome


@contextmanager
def _named(step: str) -> Iterator[None]:
    """Have an error say in which step it ended the run."""
    try:
        yield
    except MigrationError as error:
        error.step = error.step or step
        raise
