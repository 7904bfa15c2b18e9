"""A Prefect server as in production: on PostgreSQL and Redis, its API and its services apart, and results on S3."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest_asyncio

from deployments.blocks import RESULTS_SLUG
from deployments.declared import WORK_POOL
from deployments.processes import Nursery, nursery
from deployments.progress import PrefectApi
from deployments.stack import LOOPBACK, SERVER, stack_environment
from lab.remote import RemoteLab
from tests.production.services import free_port, postgres, redis, s3

# An empty PostgreSQL gets all of Prefect's tables first, beside whatever else the machine does.
PATIENCE_SECONDS = 300.0
BUCKET = "cni-migration"
LAB = ("--clusters=4", "--nodes=2", "--pods=16", "--grace-seconds=0", "--speed=200")
RESULTS = f"s3://{BUCKET}/results"
NOBODY = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}
APPLY = ("-m", "deployments.apply", "--pool-type", "process", "--results", RESULTS)
WORKER = ("-m", "prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process")


@dataclass(frozen=True)
class Production:
    """What runs, and what it says of itself."""

    http: httpx.AsyncClient
    children: Nursery
    lab: RemoteLab
    postgres_url: str
    redis_url: str
    s3: Any

    @property
    def api(self) -> PrefectApi:
        return PrefectApi(self.http)

    @property
    def clusters(self) -> list[str]:
        return [each["name"] for each in self.lab.state()["clusters"]]

    def stored_results(self) -> set[str]:
        """Return the keys of the results that lie on S3."""
        return {each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    with ExitStack() as stack:
        addresses = (
            stack.enter_context(postgres()),
            stack.enter_context(redis(folder)),
            stack.enter_context(s3(folder)),
        )
        async with production(tmp_path_factory.mktemp("production"), addresses, *LAB) as found:
            yield found


@asynccontextmanager
async def production(directory: Path, addresses: tuple[str, str, str], *lab_options: str) -> AsyncIterator[Production]:
    """Leave everything running, with the deployments applied and a worker at work, until the block ends."""
    postgres_url, redis_url, s3_url = addresses
    port = free_port()
    environment = {
        **stack_environment(directory, port=port, poll_seconds=1),
        **server_settings(postgres_url, redis_url),
        **NOBODY,
        "AWS_ENDPOINT_URL_S3": s3_url,
        # Where the workers' `python` is, as in a unit of systemd.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": RESULTS_SLUG,
    }
    logs = directory / "logs"
    logs.mkdir()
    keys = {name.lower(): value for name, value in NOBODY.items() if "KEY" in name}
    client = boto3.client("s3", endpoint_url=s3_url, **keys)
    client.create_bucket(Bucket=BUCKET)
    async with (
        nursery(environment=environment, logs=logs) as children,
        httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}/api", trust_env=False, timeout=30) as http,
    ):
        lab = await children.start("lab", "-m", "lab", "up", f"--directory={directory}", *lab_options)
        server = await children.start("Prefect server", *SERVER, "--port", str(port), "--no-services")
        await server.wait_until(lambda: _is_healthy(port), timeout_seconds=PATIENCE_SECONDS)
        services = await children.start("Prefect services", "-m", "prefect", "server", "services", "start")
        applied = await children.start("apply", *APPLY)
        await applied.succeed(timeout_seconds=PATIENCE_SECONDS)
        worker = await children.start("worker", *WORKER)
        await worker.wait_until(lambda: "started!" in worker.output(), timeout_seconds=PATIENCE_SECONDS)
        lab.check()
        services.check()
        yield Production(http, children, RemoteLab(directory), postgres_url, redis_url, client)


def server_settings(postgres_url: str, redis_url: str) -> Mapping[str, str]:
    """Return the settings that docs/production.md tells."""
    return {
        "PREFECT_API_DATABASE_CONNECTION_URL": postgres_url.replace("postgresql:", "postgresql+asyncpg:"),
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": redis_url,
        "PREFECT_SERVER_DOCKET_URL": redis_url.removesuffix("0") + "1",
    }


def _is_healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}/api/health", trust_env=False, timeout=2).is_success
    except httpx.HTTPError:
        return False
