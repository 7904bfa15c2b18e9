"""Prefect as docs/production.md has it: on PostgreSQL and Redis, its services apart from its API, results on S3."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from tests.production.services import free_port
from tests.running_lab import eventually

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
CANCELLING = {"type": "CANCELLING", "name": "Cancelling"}
STAY = {"rotate_nodes": False}
CHECKPOINT = """
import asyncio, os
from prefect import flow
from migration.models import ClusterRef, Cni, MigrationRequest, RunningMigration
from tasks.policy import step_task

@step_task("ask which process")
async def ask(run: RunningMigration) -> int:
    return os.getpid()

@flow
async def look() -> int:
    request = MigrationRequest(cluster=ClusterRef(seed="lab", name="kept"), runbook="canal-to-cilium", desired_cni=Cni(type="cilium", version="1.19.4"))
    return await ask(RunningMigration(request=request, id="m1", holder="h"))

print("pid", asyncio.run(look()))
"""


async def test_a_fleet_uses_postgresql_redis_and_s3(running):
    names = running.clusters[:2]
    order = {"seeds": ["lab"], "selection": {"names": names}, "waves": {"canaries": 0}, "migration": STAY}
    run_id = await running.api.start_run("migrate-fleet/migrate-fleet", parameters=order)

    run = await _ended(running, run_id)

    assert run["state"]["name"] == "Migrated", run["state"]["message"]
    assert await _rows_in_postgres(running) == {
        ("migrate-fleet", "fleet", "COMPLETED"): 1,
        ("canal-to-cilium", "migrations", "COMPLETED"): 2,
    }
    assert "events" in await _streams_in_redis(running.redis_url)
    kept = running.stored_results()
    assert all(any(f"/{name}/" in key and key.endswith("/back up/v1") for key in kept) for name in names), kept


async def test_prometheus_is_told_what_the_fleet_did(running):
    port = free_port()
    serving = await running.children.start("metrics", "-m", "deployments.metrics", "--port", str(port))
    await serving.wait_until(lambda: "/metrics" in serving.output(), timeout_seconds=120)

    async with httpx.AsyncClient(trust_env=False, timeout=60) as prometheus:
        told = (await prometheus.get(f"http://127.0.0.1:{port}/metrics")).text.splitlines()

    assert "cni_migration_prefect_up 1.0" in told
    assert 'cni_migration_runs_ended_last_day{state="completed"} 3.0' in told
    for name in running.clusters[:2]:
        assert f'cni_migration_cluster_state{{cluster="{name}",seed="lab",state="finished"}} 1.0' in told


async def test_a_cancelled_run_of_a_worker_is_followed_by_an_errand_that_waits_for_nobody(running):
    name = running.clusters[2]
    running.lab.add_fault("request", "timeout", server=name, method="DELETE", path="/namespaces/[^/]+/pods/")
    parameters = {"seed": "lab", "cluster": name, **STAY}
    run_id = await running.api.start_run("canal-to-cilium/canal-to-cilium", parameters=parameters)
    await asyncio.to_thread(eventually, lambda: not running.lab.faults(), seconds=300, what="the request that hangs")

    await running.http.post(f"/flow_runs/{run_id}/set_state", json={"state": CANCELLING})
    state = (await _ended(running, run_id))["state"]

    assert state["type"] == "CANCELLED"
    assert f"lab/{name}: cancelled in the middle of the move to the new CNI" in state["message"]
    (errand,) = await _tagged(running, "to-the-next-safe-point")
    assert errand["work_queue_name"] == "urgent"
    assert (await _ended(running, errand["id"]))["state"]["name"] == "StoppedAtSafePoint"


async def test_a_run_of_a_worker_that_waits_for_its_window_is_cancelled_at_once(running):
    in_half_a_year = {
        "windows": [{"cron": f"0 22 1 {(datetime.now(UTC).month + 5) % 12 + 1} *", "length_minutes": 600}]
    }
    parameters = {"seed": "lab", "cluster": running.clusters[3], "maintenance": in_half_a_year, **STAY}
    run_id = await running.api.start_run("canal-to-cilium/canal-to-cilium", parameters=parameters)
    await _reaches(running, run_id, "AwaitingWindow")

    await running.http.post(f"/flow_runs/{run_id}/set_state", json={"state": CANCELLING})

    assert (await running.api.flow_run(run_id))["state"]["type"] == "CANCELLED"


async def test_a_checkpoint_of_one_process_is_found_by_another(running):
    said = []
    for number in (1, 2):
        process = await running.children.start(f"look {number}", "-c", CHECKPOINT)
        assert await asyncio.wait_for(process.process.wait(), 120) == 0, process.output()
        said.append(process.output().splitlines()[-1])

    assert said[0].startswith("pid ")
    assert said[1] == said[0]


async def _ended(running, run_id):
    return await _reaches(running, run_id, *FINAL)


async def _reaches(running, run_id, *types_or_names, seconds=400):
    ends = time.monotonic() + seconds
    while not {(run := await running.api.flow_run(run_id))["state"][key] for key in ("type", "name")} & {
        *types_or_names
    }:
        assert time.monotonic() < ends, run["state"]
        await asyncio.sleep(0.2)
    return run


async def _rows_in_postgres(running):
    connection = await asyncpg.connect(running.postgres_url)
    try:
        rows = await connection.fetch(
            "SELECT flow.name, work_queue_name, state_type::text FROM flow_run JOIN flow ON flow.id = flow_run.flow_id "
            "WHERE NOT auto_scheduled"
        )
        return Counter(tuple(row) for row in rows)
    finally:
        await connection.close()


async def _tagged(running, tag):
    body = {"flow_runs": {"tags": {"all_": [tag]}}}
    return (await running.http.post("/flow_runs/filter", json=body)).json()


async def _streams_in_redis(url):
    async with Redis.from_url(url, decode_responses=True) as redis:
        return {key async for key in redis.scan_iter(_type="stream")}
