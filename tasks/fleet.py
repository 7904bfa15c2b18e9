"""Steps of a roll-out that look at the fleet as a whole: its plan, made once per run, and its readiness."""

from __future__ import annotations

from typing import Final

from prefect.logging import get_run_logger

from clusters.fleet import examine, list_clusters, look_at
from migration.fleet.looks import Look
from migration.fleet.models import FleetOrder
from migration.fleet.readiness import ReadinessRow, row_of, unseen_row
from migration.fleet.selection import confirmed, select
from migration.fleet.waves import FleetPlan, plan_waves
from migration.models import ClusterRef
from migration.readiness import refuse_unknown_codes
from migration.readiness_report import ReadinessReport
from tasks.fleet_memory import keep, recalled
from tasks.policy import looking_task

PLAN: Final = "fleet-plan"
"""The key under which the plan is kept."""


@looking_task("plan the fleet", retries=4)
async def plan_fleet(order: FleetOrder) -> FleetPlan:
    """Return which clusters take part and in which wave each, as this run planned it when it first began.

    Later the clusters tell no more what they were like before: whoever plans anew would choose other canaries. Raises
    InvalidRequest for names that no seed has, and an error that names the seed that can't list.
    """
    kept = await _kept_plan(order)
    return kept if kept is not None else await _keep(order, await survey_fleet(order))


@looking_task("survey the fleet", retries=4)
async def survey_fleet(order: FleetOrder) -> FleetPlan:
    """Return the plan as it would be made now."""
    logger = get_run_logger()
    refuse_unknown_codes(order.migration.accept)
    listed = await list_clusters(order.seeds)
    chosen = select(listed, order)
    logger.info("%d clusters on %s, %d of them chosen", len(listed), ", ".join(order.seeds), len(chosen))
    looks = await look_at(order, [cluster.ref for cluster in chosen], logger.debug, thorough=True)
    plan = plan_waves(confirmed(chosen, looks, order), looks, order.waves)
    for number, wave in enumerate(plan.waves):
        name = "canaries" if plan.has_canaries and number == 0 else f"batch {number + (not plan.has_canaries)}"
        logger.info("%s: %s", name, ", ".join(str(ref) for ref in wave))
    return plan


@looking_task("examine the fleet")
async def examine_fleet(order: FleetOrder, plan: FleetPlan) -> tuple[ReadinessRow, ...]:
    """Return each cluster's readiness in one row. It is looked at in this process: a hundred runs would cost more.

    A run of check-readiness costs a process of its own, 5 s and 150 MB, to ask the API servers the same questions.
    """
    logger = get_run_logger()
    rows: dict[ClusterRef, ReadinessRow] = {}

    async def told(found: ReadinessReport | Look, ref: ClusterRef) -> None:
        rows[ref] = row_of(found) if isinstance(found, ReadinessReport) else unseen_row(ref, found)
        logger.info("%s: %s", ref, rows[ref].verdict)

    await examine(order, [member.ref for member in plan.members], told)
    return tuple(rows[member.ref] for member in plan.members)


async def _kept_plan(order: FleetOrder) -> FleetPlan | None:
    text = await recalled(order.run_id, PLAN)
    return FleetPlan.model_validate_json(text) if text else None


async def _keep(order: FleetOrder, plan: FleetPlan) -> FleetPlan:
    """Leave the plan kept; return the one that counts."""
    is_new = await keep(order.run_id, PLAN, plan.model_dump_json())
    return plan if is_new else await _kept_plan(order) or plan
