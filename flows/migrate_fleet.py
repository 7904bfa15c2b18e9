"""Many user clusters, over several seeds: canaries first, then batches, each cluster as a run of its own."""

from __future__ import annotations

from typing import Any, cast

import httpx
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed
from pydantic import ValidationError

from flows.fleet_hooks import ON_CANCELLATION, ON_CRASHED, ON_FAILURE
from flows.fleet_waves import ask, through_the_waves
from migration.errors import InvalidRequest, MigrationError, NotApproved, OperatorActionNeeded, RunCancelled
from migration.fleet.models import (
    Approving,
    CanaryFailureBudget,
    DryRun,
    FailureBudget,
    FleetApproval,
    FleetOrder,
    FleetRunbook,
    MigrationOptions,
    Options,
    Portions,
    Seeds,
    Selecting,
    Selection,
    Waves,
)
from migration.fleet.moves import Doing
from migration.fleet.readiness import FleetReadiness
from migration.fleet.reporting import FleetReport
from migration.models import Runbook
from tasks.fleet import examine_fleet, plan_fleet, survey_fleet
from tasks.fleet_landing import land_fleet
from tasks.fleet_report import report_fleet, report_readiness
from tasks.fleet_run_changes import require_deployment
from tasks.fleet_runs import all_runs, this_run
from tasks.rescheduling import PutOff, taken_up_again
from tasks.roll_out import open_roll_out


@flow(
    name="migrate-fleet",
    flow_run_name="migrate-fleet {runbook}",
    on_failure=ON_FAILURE,
    on_crashed=ON_CRASHED,
    on_cancellation=ON_CANCELLATION,
)
async def migrate_fleet(
    seeds: Seeds,
    runbook: FleetRunbook = Runbook.CANAL_TO_CILIUM,
    selection: Selecting = Selection(),  # noqa: B008 - frozen
    dry_run: DryRun = False,
    waves: Portions = Waves(),  # noqa: B008 - frozen
    failure_budget: FailureBudget = 0,
    canary_failure_budget: CanaryFailureBudget = 0,
    approval: Approving = FleetApproval.NONE,
    migration: Options = MigrationOptions(),  # noqa: B008 - frozen
) -> FleetReport:
    """Migrate many KKP user clusters, in waves. Started again or retried, it touches only what isn't finished."""
    try:
        order = FleetOrder(
            seeds=seeds,
            runbook=runbook,
            selection=selection,
            waves=waves,
            failure_budget=failure_budget,
            canary_failure_budget=canary_failure_budget,
            approval=approval,
            migration=migration,
            run_id=this_run(),
        )
        end: Any = await (_dry_run(order) if dry_run else _taken_up(order))
    except ValidationError as error:
        refused = InvalidRequest("; ".join(found["msg"].removeprefix("Value error, ") for found in error.errors()))
        end = _failed(refused, f"nothing was begun: {refused}. Correct it, and start the flow again")
    except NotApproved as stop:
        end = Cancelled(name="NotApproved", message=f"{stop}. No cluster was begun after that")
    except RunCancelled:
        # The run was quicker than its worker, which now has no process left to end, and so no hook to call.
        end = Cancelled(message=await land_fleet(this_run(), get_run_logger().info))
    except MigrationError as error:
        end = _failed(error, f"{error}. {await _way_on()}")
    except (httpx.HTTPError, ObjectNotFound) as error:
        told = f"the Prefect server did not do as asked, or is away for too long: {error}. What had begun goes on"
        end = _failed(error, f"{told} by itself. To resume: press Retry: clusters that are finished are not touched")
    # Prefect takes a state that a flow returns as its own, and hands the data to whoever awaits the flow.
    return cast("FleetReport", end)


async def _way_on() -> str:
    """Return how a roll-out that an error has ended goes on, and what becomes of its clusters meanwhile."""
    try:
        has_begun = bool(await all_runs(this_run()))
    except httpx.HTTPError:
        has_begun = True
    if not has_begun:
        return (
            "Nothing was begun. To resume: correct what it names, and press Retry; if that is one of the run's "
            "parameters, start the flow again with the right one, for Retry keeps them"
        )
    return (
        "What had begun goes on by itself. To resume: correct what it names, then press Retry, or start the flow "
        "again: clusters that are finished are not touched"
    )


async def _taken_up(order: FleetOrder) -> State[Any]:
    """Do all of it; a lone run that had to wait begins anew, as one that a worker takes up does."""
    while True:
        try:
            return await _rolled_out(order)
        except PutOff as waiting:
            await taken_up_again(waiting)


async def _rolled_out(order: FleetOrder) -> State[Any]:
    # Step 1. Which clusters, and in which waves? Planned once; how far it has come is read anew each time.
    plan = await plan_fleet(order)
    await require_deployment(order)
    fleet = await open_roll_out(order, plan)

    # Step 2. Let a person see it, if that is asked for.
    if order.approval is not FleetApproval.NONE and plan.waves and not fleet.has_begun:
        await ask(fleet, "Begin with the canaries?" if plan.has_canaries else "Begin?", key="before")

    # Step 3. Wave by wave, each cluster as a run of its own.
    last = await through_the_waves(fleet)

    # Step 4. Tell how it ended.
    report = await report_fleet(fleet, stopped=last.why if last.doing is Doing.STOP else "")
    if report.outcome == "stopped":
        return _failed(OperatorActionNeeded(report.message), report.message, name="BudgetExhausted")
    name = "Migrated" if report.outcome == "migrated" else "MigratedWithFailures"
    return Completed(name=name, message=report.message, data=report)


async def _dry_run(order: FleetOrder) -> State[Any]:
    """Look at every cluster as its own run would before it begins, in this process."""
    plan = await survey_fleet(order)
    found = FleetReadiness(order=order, plan=plan, rows=await examine_fleet(order, plan))
    await report_readiness(found)
    return Completed(name="Ready" if found.is_ready else "NotReady", message=found.message, data=found)


def _failed(error: Exception, message: str, *, name: str = "Failed") -> State[Any]:
    return Failed(name=name, message=message, data=error)
