"""A run that is killed with SIGKILL, and the new run with the same parameters that goes on from there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections import Counter, deque
from contextlib import contextmanager

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, get_current_settings

from clusters.journal import read_journal
from clusters.kinds import APPLICATION_INSTALLATIONS, DAEMON_SETS, MACHINE_DEPLOYMENTS, MACHINES, NODES, PODS
from clusters.steps.observing import observe_baseline
from clusters.steps.survey import list_cilium_endpoints, list_pods
from migration.models import CniType, ProxyMode
from migration.restart import pods_to_move
from migration.verification import regressions
from tests.flows.run_flow import run
from tests.resuming.stack import expire_lease
from tests.running_lab import ROOT

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

TO_CILIUM = [
    "tunnel port 8473",
    "pods: everything else",
    "objects of Canal removed",
    "waiting for MachineDeployment",
]
TO_CANAL = [
    "cni-uninstall true",
    "cilium 1.19.4 -> canal v3.30",
    "Canal v3.30 runs on 2 nodes",
    "uninstalled by KKP",
    "pods: everything else",
]
TO_A_MODE = [
    "kube-proxy mode iptables -> ipvs",
    "kube-proxy mode ipvs is in effect",
    "waiting for MachineDeployment",
]
TAKEN_BACK = ["cilium 1.19.4 -> canal v3.30", "pods: everything else"]
NODES_STAY = {"rotate_nodes": False, "accept": ["nodes-keep-cilium"]}
PATIENCE_SECONDS = 150
CLUSTERS = len(TO_CILIUM) + len(TO_CANAL) + len(TO_A_MODE) + len(TAKEN_BACK) + 2


@pytest.mark.parametrize("line", TO_CILIUM)
async def test_a_new_run_finishes_what_a_killed_one_began(cluster, line):
    async with cluster.apis() as (_, api):
        before = await observe_baseline(api)
        born: Counter[str] = Counter()
        recorder = asyncio.create_task(count_births(api, born))

        await resume_after(line, "canal-to-cilium", cluster)
        recorder.cancel()

        await assert_over(api, before, migrations=1, target=CniType.CILIUM)
        # Once for the CNI, and once more when its node was replaced.
        assert born["shop/debug-shell"] <= 2


@pytest.mark.parametrize("line", TO_CANAL)
async def test_a_way_to_canal_that_was_killed_is_gone_to_its_end(cluster, line):
    await cluster.migrate(rotate_nodes=False)
    async with cluster.apis() as (seed, api):
        before = await observe_baseline(api)

        await resume_after(line, "cilium-to-canal", cluster, canal_version="v3.30", **NODES_STAY)

        assert str((await seed.cluster(cluster.name)).cni) == "canal v3.30"
        await assert_over(api, before, migrations=2, target=CniType.CANAL)
        assert await api.find(DAEMON_SETS, "cilium", namespace="kube-system") is None


async def test_a_run_whose_nodes_were_all_closed_by_a_killed_one_replaces_them(cluster):
    """Before the first new node joins: the readiness check refused, and told people to open the nodes again."""
    await cluster.migrate(proxy_mode=ProxyMode.EBPF, rotate_nodes=False)
    async with cluster.apis() as (_, api):
        await be_as_if_always_on_ebpf(api)
        before = await observe_baseline(api)
        old = {node["metadata"]["uid"] for node in await api.list(NODES)}
        cluster.lab.remote.add_fault("platform", "node-never-joins", cluster=cluster.name, subject="*", times=None)
        await run_until("2 nodes cordoned: they are replaced next", "cilium-to-canal", cluster, {})
        assert [node["spec"].get("unschedulable") for node in await api.list(NODES)] == [True, True]
        await expire_lease(api)

        resumed = asyncio.create_task(run("cilium-to-canal", cluster.name))
        await is_taken_up(api, during=resumed)
        cluster.lab.remote.clear_faults()
        await remove_lost_machines(api)
        report = await resumed

        assert report.outcome == "migrated"
        assert [finding.severity for finding in report.findings if finding.code == "node-cordoned"] == ["warning"]
        assert not old & {node["metadata"]["uid"] for node in await api.list(NODES)}
        await assert_over(api, before, migrations=2, target=CniType.CANAL)


async def test_a_run_goes_on_though_the_killed_one_left_no_node(cluster):
    """A single node, replaced without a surge: the old one is gone before the new one joins."""
    async with cluster.apis() as (_, api):
        await be_of_one_node_without_surge(api)
        before = await observe_baseline(api)
        cluster.lab.remote.add_fault("platform", "node-never-joins", cluster=cluster.name, subject="*", times=None)
        await run_until("waiting for MachineDeployment", "change-proxy-mode", cluster, {"proxy_mode": "ipvs"})
        await have_nodes(api, 0)
        await expire_lease(api)

        resumed = asyncio.create_task(run("change-proxy-mode", cluster.name, proxy_mode="ipvs"))
        await is_taken_up(api, during=resumed)
        cluster.lab.remote.clear_faults()
        await remove_lost_machines(api)
        report = await resumed

        assert report.outcome == "migrated"
        assert [finding.severity for finding in report.findings if finding.code == "no-nodes"] == ["warning"]
        assert (await read_journal(api)).open_migration() is None
        assert regressions(before, await observe_baseline(api)) == ()


async def be_of_one_node_without_surge(api):
    """Have a cluster of a single node, whose MachineDeployment replaces it only once it is gone."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    (found,) = await api.list(MACHINE_DEPLOYMENTS)
    name, namespace = found["metadata"]["name"], found["metadata"]["namespace"]
    patch = {"spec": {"replicas": 1, "strategy": strategy}}
    await api.patch(MACHINE_DEPLOYMENTS, name, patch, namespace=namespace)
    await have_nodes(api, 1)


async def have_nodes(api, count):
    """Return once the cluster has so many nodes."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(await api.list(NODES)) != count:
            await asyncio.sleep(0.1)


async def remove_lost_machines(api):
    """Have Machines that got no node replaced, as somebody does who looks at their events."""
    for machine in await api.list(MACHINES):
        metadata = machine["metadata"]
        if not (machine.get("status") or {}).get("nodeRef"):
            await api.delete(MACHINES, metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])


async def be_as_if_always_on_ebpf(api):
    """Take out of Cilium's values what KKP puts there for the other modes, and never again takes out."""
    found = await api.get(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")
    values = {**yaml.safe_load(found["spec"]["valuesBlock"]), "cni": {"exclusive": False}}
    patch = {"spec": {"valuesBlock": yaml.safe_dump(values)}}
    await api.patch(APPLICATION_INSTALLATIONS, "cilium", patch, namespace="kube-system")


async def is_taken_up(api, *, during):
    """Return once a second run, which has looked at the cluster, works on the migration."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len((await read_journal(api)).migrations[-1].runs) < 2:
            assert not during.done(), f"ended too early: {during}"
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("line", TO_A_MODE)
async def test_a_change_of_mode_that_was_killed_is_seen_through(cluster, line):
    async with cluster.apis() as (seed, api):
        before = await observe_baseline(api)
        proxies = (await api.get(DAEMON_SETS, "kube-proxy", namespace="kube-system"))["metadata"]["generation"]

        await resume_after(line, "change-proxy-mode", cluster, proxy_mode="ipvs")

        assert (await seed.cluster(cluster.name)).proxy_mode == "ipvs"
        await assert_over(api, before, migrations=1, target=CniType.CANAL)
        after = (await api.get(DAEMON_SETS, "kube-proxy", namespace="kube-system"))["metadata"]["generation"]
        assert after == proxies + 1


@pytest.mark.parametrize("line", TAKEN_BACK)
async def test_a_revert_that_was_killed_goes_all_the_way_back(cluster, line):
    async with cluster.apis() as (seed, api):
        before = await observe_baseline(api)
        await cluster.migrate(rotate_nodes=False)

        await resume_after(line, "revert-migration", cluster, **NODES_STAY)

        assert str((await seed.cluster(cluster.name)).cni) == "canal v3.30"
        await assert_over(api, before, migrations=2, target=CniType.CANAL)
        first, second = (await read_journal(api)).migrations
        assert (first.reverted_by, second.reverts) == (second.id, first.id)


async def resume_after(line, flow, cluster, **parameters):
    """Kill a run of the flow when its log says this, and run it once more to its end."""
    parameters = {"seed": cluster.connection, **parameters}
    await run_until(line, flow, cluster, parameters)
    async with cluster.apis() as (_, api):
        await expire_lease(api)
    with said() as lines:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                report = await run(flow, cluster.name, **parameters)
        except TimeoutError:
            pytest.fail(f"the new run did not end within {PATIENCE_SECONDS} s, it said last:\n" + "\n".join(lines))
    assert report.outcome in ("migrated", "taken back", "nothing to do")


@contextmanager
def said():
    """Keep the last lines that flows log in this process."""
    lines: deque[str] = deque(maxlen=20)

    class Keeping(logging.Handler):
        def emit(self, record):
            lines.append(f"{record.created:.1f} {record.name}: {record.getMessage()}")

    keeping = Keeping(logging.INFO)
    logging.getLogger().addHandler(keeping)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(keeping)


async def assert_over(api, before, *, migrations, target):
    """Fail unless the journal is closed, all pods are on one CNI, and nothing is worse than before."""
    journal = await read_journal(api)
    assert len(journal.migrations) == migrations
    assert journal.open_migration() is None
    assert pods_to_move(await list_pods(api), await list_cilium_endpoints(api), target=target) == ()
    assert regressions(before, await observe_baseline(api)) == ()
    # Two nodes, replaced once each at most: a second rotation would show as four new machines.
    assert len(await api.list(MACHINES)) == 2


async def run_until(line, flow, cluster, parameters):
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
        flow,
        cluster.name,
        json.dumps(parameters),
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


async def count_births(api, born):
    """Count how often each pod with a fixed name was created."""
    seen = set()
    version = (await api._request("GET", "/api/v1/pods", query={"limit": "1"}))["metadata"]["resourceVersion"]
    async for kind, pod in api.watch(PODS, resource_version=version):
        if kind == "ADDED" and pod["metadata"]["uid"] not in seen:
            seen.add(pod["metadata"]["uid"])
            born[f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"] += 1
