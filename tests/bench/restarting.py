"""Restarting the pods of one lab cluster: by the flow's step, and as the documented procedure does it with kubectl."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from clusters.steps.pods import restart_pods
from migration.models import CniType, RestartOptions
from tests.bench.measured import Measured
from tests.bench.migrating import bring_cilium_in, opened
from tests.running_lab import Kubectl, RunningLab, lab_process

if TYPE_CHECKING:
    from pathlib import Path

PODS = 1000
REPEATS = 3
"""A step of three seconds is easily disturbed: it is repeated on fresh clusters, and the median counts."""
SIZE = ("--clusters", str(REPEATS), "--nodes", "12", "--pods", str(PODS), "--grace-seconds", "0", "--speed", "1000")
LEAST_RATIO = 20.0
SAMPLE = 100
PATIENCE_SECONDS = 180.0
"""If kubectl would take longer for all pods, the sample is scaled."""
DEADLINE = timedelta(seconds=120)
# KKP's guide "Manual CNI migration", step 5. `{some}` limits it to a sample.
BY_KUBECTL = (
    "kubectl get pods --all-namespaces"
    " -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,HOSTNETWORK:.spec.hostNetwork"
    " --no-headers=true | grep '<none>' | awk '{some}{{print \"-n \"$1\" \"$2}}' | xargs -L 1 -r kubectl delete pod"
)


@dataclass(frozen=True)
class Restarted:
    """So many pods in so many seconds."""

    pods: int
    seconds: float

    @property
    def seconds_per_pod(self) -> float:
        """How long one took."""
        return self.seconds / self.pods

    def __str__(self) -> str:
        return f"{self.pods} pods in {self.seconds:.1f} s"


def compare(directory: Path, kubectl: Path) -> Measured:
    """Restart all pods of clusters by the step, then of one by kubectl, and return how much quicker the step was."""
    with lab_process(directory / "restarting", *SIZE) as lab:
        steps = sorted(
            (asyncio.run(by_the_step(lab, index)) for index in range(REPEATS)), key=lambda step: step.seconds
        )
        ours = steps[REPEATS // 2]
        theirs, told = by_kubectl(lab, Kubectl(kubectl, lab.cluster_kubeconfig(), directory))
    return Measured(
        what=f"restart of {PODS} pods, against xargs -L 1 kubectl delete pod",
        value=theirs.seconds_per_pod / ours.seconds_per_pod,
        limit=LEAST_RATIO,
        unit="times as fast",
        keeps="at least",
        how=(
            f"step: {ours} until all are ready again (best {steps[0].seconds:.1f} s, worst {steps[-1].seconds:.1f} s); "
            f"kubectl: {told}; zero grace, the same lab and cluster"
        ),
    )


async def by_the_step(lab: RunningLab, index: int) -> Restarted:
    """Restart every pod in the middle of a migration: Cilium is up, and no pod uses it yet."""
    async with opened(lab, index) as cluster:
        migration_id = await bring_cilium_in(cluster)
        before = deletions(lab, index)
        began = time.monotonic()
        result = await restart_pods(cluster, migration_id, RestartOptions(), target=CniType.CILIUM, deadline=DEADLINE)
        seconds = time.monotonic() - began
    restarted = Restarted(deletions(lab, index) - before, seconds)
    sys.stderr.write(f"  step: {restarted}\n")
    assert restarted.pods >= PODS, f"{result.summary}: {restarted}"
    return restarted


def by_kubectl(lab: RunningLab, kubectl: Kubectl) -> tuple[Restarted, str]:
    """Restart a sample and, unless that would take too long, every pod; with words for what was run."""
    sample = piped(lab, kubectl, BY_KUBECTL.format(some=f"NR <= {SAMPLE} "))
    if sample.seconds_per_pod * PODS > PATIENCE_SECONDS:
        return sample, f"{sample}, scaled: all of them would take over {PATIENCE_SECONDS:.0f} s"
    whole = piped(lab, kubectl, BY_KUBECTL.format(some=""))
    each, each_of_sample = 1000 * whole.seconds_per_pod, 1000 * sample.seconds_per_pod
    return whole, f"{whole}, {each:.0f} ms each ({each_of_sample:.0f} ms each in a run of {sample.pods} before)"


def piped(lab: RunningLab, kubectl: Kubectl, pipeline: str) -> Restarted:
    """Run a pipeline that deletes pods."""
    before = deletions(lab)
    began = time.monotonic()
    kubectl.shell(pipeline, timeout=1.5 * PATIENCE_SECONDS)
    seconds = time.monotonic() - began
    restarted = Restarted(deletions(lab) - before, seconds)
    sys.stderr.write(f"  kubectl: {restarted}\n")
    return restarted


def deletions(lab: RunningLab, index: int = 0) -> int:
    """Return how many pods a cluster was asked to delete so far."""
    return int(lab.remote.requests()[lab.cluster_name(index)].get("delete pods", 0))
