"""Restarting the pods of a cluster on a real API server: by the flow's step, by kubectl, and by the barest of clients.

What counts is the time from the first deletion until the last of the pods has gone, as the API server's own audit log
tells it. Konnectivity's agents and the DNS, which the step restarts before all others and waits for, don't count. New
pods, from kube-controller-manager on the lab's nodes, keep both cores busy in all three cases.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp

from clusters.kinds import PODS
from clusters.seed import OpenedCluster, open_cluster
from clusters.steps.pods import restart_pods
from clusters.steps.survey import list_pods
from migration.models import ClusterRef, CniType, JobChoice, Pod, RestartOptions
from migration.restart import needs_network
from tests.bench.measured import Measured
from tests.bench.migrating import bring_cilium_in, connections
from tests.bench.restarting import BY_KUBECTL, Restarted
from tests.control_plane import ADMIN
from tests.least_privilege import USER_IN_USER_CLUSTER, least_privileged_connections, token_in_user_cluster
from tests.real_kkp import RealKkp, real_kkp
from tests.running_lab import Kubectl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

POD_COUNT = 2000
SAMPLE = 100
LEAST_SHARE = 0.98
SPEED = 10
"""Times as fast as life: a pod takes 0.2 s to end, not 2."""
SIZE = ("--nodes", "12", "--max-pods-per-node", "220", "--pods", str(POD_COUNT), "--speed", str(SPEED))
RESTARTED_BEFORE = ("konnectivity-agent-", "coredns-")
OPTIONS = RestartOptions(jobs=JobChoice.RESTART)
"""The lab's Job would be waited for."""
LEAST_RATIO_TO_KUBECTL = 25.0
LEAST_RATIO_TO_BARE = 0.5
DEADLINE = timedelta(minutes=5)
SETTLING_SECONDS = 180.0
KUBECTL_SECONDS = 300.0


def measure(directory: Path, kubectl: Path) -> list[Measured]:
    """Restart the pods in the three ways, one after the other in one cluster, and return the two ratios."""
    with real_kkp(directory / "real", *SIZE, workloads_by="kube-controller-manager") as kkp:
        sys.stderr.write(f"  a cluster of {POD_COUNT} pods on a real API server is up\n")
        with connections(least_privileged_connections(kkp, directory / "least-privileged")):
            ours, whole = asyncio.run(by_the_step(kkp))
            bare = asyncio.run(by_a_bare_client(kkp))
        theirs = by_kubectl(kkp, kubectl, directory)
    return [
        Measured(
            what=f"real API: deleting {POD_COUNT} pods, against xargs -L 1 kubectl delete pod",
            value=theirs.seconds_per_pod / ours.seconds_per_pod,
            limit=LEAST_RATIO_TO_KUBECTL,
            unit="times as fast",
            keeps="at least",
            how=f"step: {ours} ({whole:.1f} s until all were ready again); kubectl: {theirs}; pods take 0.2 s to end",
        ),
        Measured(
            what="real API: the same, against a bare aiohttp client",
            value=bare.seconds_per_pod / ours.seconds_per_pod,
            limit=LEAST_RATIO_TO_BARE,
            unit="times as fast",
            keeps="at least",
            how=f"step: {ours}; bare client with {OPTIONS.concurrency} at once: {bare}",
        ),
    ]


async def by_the_step(kkp: RealKkp) -> tuple[Restarted, float]:
    """Restart every pod in the middle of a migration; with the seconds of the whole step."""
    async with opened(kkp) as cluster:
        migration_id = await bring_cilium_in(cluster)
        before = len(deletions(kkp))
        began = time.monotonic()
        await restart_pods(cluster, migration_id, OPTIONS, target=CniType.CILIUM, deadline=DEADLINE)
        whole = time.monotonic() - began
        await settled(cluster)
    return told("step", kkp, deletions(kkp)[before:]), whole


async def by_a_bare_client(kkp: RealKkp) -> Restarted:
    """Delete the pods of the pod network that there are now, by uid, and look at nothing else."""
    async with opened(kkp) as cluster:
        pods = [pod for pod in await list_pods(cluster.api) if needs_network(pod)]
        before = len(deletions(kkp))
        waiting = iter(pods)
        async with bare_session(kkp) as session, asyncio.TaskGroup() as workers:
            for _ in range(OPTIONS.concurrency):
                workers.create_task(delete_in_turn(session, kkp.user.url, waiting))
        await settled(cluster)
    return told("bare client", kkp, deletions(kkp)[before:])


@asynccontextmanager
async def bare_session(kkp: RealKkp) -> AsyncIterator[aiohttp.ClientSession]:
    trust = ssl.create_default_context(cafile=kkp.user.certificate_file)
    headers = {"Authorization": f"Bearer {await token_in_user_cluster(kkp)}"}
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield session


async def delete_in_turn(session: aiohttp.ClientSession, url: str, pods: Iterable[Pod]) -> None:
    for pod in pods:
        path = f"{url}/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        async with session.delete(path, json={"preconditions": {"uid": pod.uid}}) as answer:
            await answer.read()


def by_kubectl(kkp: RealKkp, kubectl: Path, directory: Path) -> Restarted:
    """Delete a sample of the pods as the guide does it."""
    client = Kubectl(kubectl, kkp.user.kubeconfig_file, directory)
    began = time.monotonic()
    client.shell(BY_KUBECTL.format(some=f"NR <= {SAMPLE} "), timeout=KUBECTL_SECONDS)
    restarted = Restarted(SAMPLE, time.monotonic() - began)
    sys.stderr.write(f"  kubectl: {restarted}\n")
    return restarted


async def settled(cluster: OpenedCluster) -> None:
    """Return when every pod is ready."""
    async with asyncio.timeout(SETTLING_SECONDS):
        while not all(pod.ready or pod.finished for pod in await cluster_pods(cluster)):
            await asyncio.sleep(1)


async def cluster_pods(cluster: OpenedCluster) -> list[Pod]:
    return await list_pods(cluster.api)


def deletions(kkp: RealKkp) -> list[Any]:
    """Return the audit events of the flow's deletions of pods, in their order, but for those restarted before all."""
    return [
        event
        for event in of_pods(kkp.user.audit(USER_IN_USER_CLUSTER))
        if not event["objectRef"]["name"].startswith(RESTARTED_BEFORE)
    ]


def of_pods(events: Iterable[Any]) -> list[Any]:
    return [event for event in events if event["verb"] == "delete" and event["objectRef"]["resource"] == PODS.plural]


def told(who: str, kkp: RealKkp, events: list[Any]) -> Restarted:
    """Return how many pods went, and how long it took from the first request until the last pod had ended."""
    began = min(datetime.fromisoformat(event["requestReceivedTimestamp"]) for event in events)
    pods = {place_of(event) for event in events}
    ends = [event for event in of_pods(kkp.user.audit(ADMIN)) if place_of(event) in pods]
    ended = max(
        datetime.fromisoformat(event["stageTimestamp"])
        for event in ends
        if datetime.fromisoformat(event["stageTimestamp"]) > began
    )
    restarted = Restarted(len(pods), (ended - began).total_seconds())
    sys.stderr.write(f"  {who}: {restarted}\n")
    assert restarted.pods >= LEAST_SHARE * POD_COUNT, restarted
    return restarted


def place_of(event: Any) -> tuple[str, str]:
    return event["objectRef"]["namespace"], event["objectRef"]["name"]


@asynccontextmanager
async def opened(kkp: RealKkp) -> AsyncIterator[OpenedCluster]:
    async with open_cluster(ClusterRef(seed="lab", name=kkp.cluster), lambda _: None) as cluster:
        yield cluster
