"""The readiness check of a run knows the schedules of its deployment, and so does whoever looks at the server."""

from __future__ import annotations

from typing import Any, cast

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.flow_engine import run_flow

from deployments.schedules import contradictions, of_server
from migration.models import ClusterRef, MigrationRequest
from migration.windows import Maintenance
from tasks.schedules import with_schedules
from tests.unit.test_schedules import NOW

NIGHT = {"windows": [{"cron": "0 22 * * 6", "length_minutes": 240}]}
PARAMETERS: dict[str, Any] = {"seed": "lab", "cluster": "abc", "maintenance": NIGHT}
REQUEST = MigrationRequest(cluster=ClusterRef(seed="lab", name="abc"), maintenance=Maintenance.model_validate(NIGHT))
SCHEDULES = [
    DeploymentScheduleCreate(schedule=CronSchedule(cron="0 3 * * *", timezone="Europe/Berlin"), slug="nightly"),
    DeploymentScheduleCreate(schedule=RRuleSchedule(rrule="FREQ=WEEKLY;BYDAY=SA;BYHOUR=22"), slug="weekly"),
    DeploymentScheduleCreate(schedule=IntervalSchedule(interval=86400, anchor_date=NOW), slug="daily"),  # type: ignore[arg-type]
    DeploymentScheduleCreate(schedule=CronSchedule(cron="0 4 * * *"), slug="idle", active=False),
    DeploymentScheduleCreate(schedule=CronSchedule(cron="0 5 * * *"), slug="other", parameters={"cluster": "xyz"}),
    DeploymentScheduleCreate(schedule=CronSchedule(cron="0 6 * * *"), slug="free", parameters={"maintenance": {}}),
]


@flow(name="asks-for-schedules", persist_result=False)
async def asks(seed: str, cluster: str, maintenance: Any) -> list[str]:
    return [each.name for each in (await with_schedules(REQUEST)).schedules]


@pytest.fixture
async def deployment(prefect_server: None):
    async with get_client() as client:
        flow_id = await client.create_flow(asks)
        made = await client.create_deployment(
            flow_id, "nightly-migration", parameters=PARAMETERS, schedules=SCHEDULES, paused=False
        )
        yield made
        await client.delete_deployment(made)


async def test_a_run_knows_the_active_schedules_that_start_such_runs(deployment):
    async with get_client() as client:
        flow_run = await client.create_flow_run_from_deployment(deployment)

    names: Any = await cast("Any", run_flow(asks, flow_run=flow_run, parameters=PARAMETERS))
    assert sorted(names) == ["daily", "nightly", "weekly"]


async def test_a_run_without_a_deployment_knows_no_schedule(prefect_server):
    assert await asks(**PARAMETERS) == []


async def test_the_server_is_asked_for_every_active_schedule(deployment):
    found = [each for each in await of_server() if each.deployment.endswith("nightly-migration")]

    lines = [line for each in found for line in contradictions(each, now=NOW, room=REQUEST.maintenance.with_margin(60))]
    assert len(found) == 5
    assert sorted(line.partition("schedule ")[2].partition(" ")[0] for line in lines) == ["daily", "nightly", "other"]
