"""A run that is killed with SIGKILL, and the new run with the same parameters that goes on from there."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, get_current_settings

from clusters.journal import read_journal
from clusters.kinds import LEASES, MACHINES, PODS
from clusters.steps.survey import list_cilium_endpoints, list_pods, observe_baseline
from migration.restart import unmanaged_pods
from migration.verification import regressions
from tests.running_lab import ROOT

pytestmark = [
    pytest.mark.timeout(240),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

KILLED_AT = [
    "back up",
    "tunnel port 8473",
    "restarting 2 pods: konnectivity-agent",
    "pods: everything else",
    "objects of Canal removed",
    "waiting for MachineDeployment",
]


@pytest.mark.parametrize("line", KILLED_AT)
async def test_a_new_run_finishes_what_a_killed_one_began(cluster, line):
    async with cluster.apis() as (_, api):
        before = await observe_baseline(api)
        born: Counter[str] = Counter()
        recorder = asyncio.create_task(count_births(api, born))

        await run_until(line, cluster)
        await expire_lease(api)
        report = await cluster.migrate()
        recorder.cancel()

        assert report.outcome in ("migrated", "nothing to do")
        journal = await read_journal(api)
        assert len(journal.migrations) == 1
        assert journal.open_migration() is None
        assert unmanaged_pods(await list_pods(api), await list_cilium_endpoints(api)) == ()
        assert regressions(before, await observe_baseline(api)) == ()
        # Two nodes, replaced once each: a second rotation would show as four new machines.
        assert len(await api.list(MACHINES)) == 2
        # Once for the CNI, and once more when its node was replaced.
        assert born["shop/debug-shell"] <= 2


async def run_until(line, cluster):
    """Run the flow in a process, and kill it when its log says this."""
    environment = {
        **os.environ,
        "PREFECT_API_URL": str(get_current_settings().api.url),
        "PREFECT_LOCAL_STORAGE_PATH": str(PREFECT_LOCAL_STORAGE_PATH.value()),
    }
    assert PREFECT_API_URL.value()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.flows.run_flow",
        cluster.name,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    seen = []
    async for text in process.stdout:
        seen.append(text.decode())
        if line in seen[-1]:
            break
    else:
        pytest.fail(f"{line!r} did not show: {''.join(seen[-15:])}")
    process.kill()
    await process.communicate()


async def expire_lease(api):
    """Have the killed run's lease be old, as it is a minute later."""
    lease = await api.find(LEASES, "cni-migration", namespace="kube-system")
    if lease is not None:
        patch = {"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}}
        await api.patch(LEASES, "cni-migration", patch, namespace="kube-system")


async def count_births(api, born):
    """Count how often each pod with a fixed name was created."""
    seen = set()
    version = (await api._request("GET", "/api/v1/pods", query={"limit": "1"}))["metadata"]["resourceVersion"]
    async for kind, pod in api.watch(PODS, resource_version=version):
        if kind == "ADDED" and pod["metadata"]["uid"] not in seen:
            seen.add(pod["metadata"]["uid"])
            born[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"] += 1
