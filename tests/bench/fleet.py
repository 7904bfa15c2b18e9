"""What a roll-out costs: `python -m tests.bench.fleet --clusters 100 --broken 3`, with a lab, a server and a worker.

Some clusters are broken in different ways beforehand: Helm fails there, agents crash, or the readiness check blocks.
Prints how long it took, the peak memory of each process and the requests for each cluster. With `--canary` a canary is
broken as well, and the roll-out has to stop behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from clusters.api import open_api
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.fleet import list_clusters, look_at
from clusters.kinds import VALIDATING_WEBHOOKS
from migration.fleet.models import FleetOrder
from migration.fleet.selection import confirmed, select
from migration.fleet.waves import FleetPlan, plan_waves
from migration.models import ClusterRef, Runbook
from tests.bench.__main__ import warn_if_busy
from tests.resuming.stack import FINAL, Stack, killable_stack

FLEET = "migrate-fleet/migrate-fleet"
SAMPLE_SECONDS = 1.0
LOOK_SECONDS = 2.0
LONGEST_SECONDS = 4 * 3600
OPTIONS = {"rotate_nodes": False, "deadlines": {"cni": 3}}
KNOWN = {
    "lab up": "the lab",
    "server start": "Prefect server",
    "worker start": "the worker",
    "deployments.serve": "the worker",
}
WAYS = ("helm", "agents", "webhook")
WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "nobody-answers"},
    "webhooks": [
        {
            "name": "pods.nobody-answers.example.com",
            "clientConfig": {"service": {"namespace": "shop", "name": "nobody-answers", "path": "/"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
    ],
}


class Memory:
    """The peak resident memory of every process that was seen, by what it is."""

    def __init__(self, stack: Stack, run: str) -> None:
        self._stack = stack
        self._run = run
        self._peaks: dict[int, float] = {}
        self._names: dict[int, str] = {}
        self.most_at_once = 0
        self.most_together = 0.0

    def sample(self) -> None:
        """Look at all processes of the stack once."""
        found = dict(_commands(self._processes()))
        runs = {pid for pid in found if self._name(pid, found[pid]) in ("the roll-out", "a cluster's run")}
        self.most_at_once = max(self.most_at_once, len(runs))
        together = 0.0
        for pid in found:
            peak, now = _memory(pid)
            self._peaks[pid] = max(self._peaks.get(pid, 0.0), peak)
            together += now
        self.most_together = max(self.most_together, together)

    def table(self) -> list[str]:
        """Return the peaks, the largest of each kind, with how many processes of it there were."""
        kinds: dict[str, list[float]] = defaultdict(list)
        for pid, peak in self._peaks.items():
            kinds[self._names[pid]].append(peak)
        lines = [f"  {name:<18} {max(peaks):6.0f} MB  ({len(peaks)} seen)" for name, peaks in sorted(kinds.items())]
        return [
            *lines,
            f"  all together       {self.most_together:6.0f} MB at most, with up to {self.most_at_once} processes of runs",
        ]

    def _processes(self) -> list[int]:
        return [
            int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal() and self._is_ours(each.name)
        ]

    def _is_ours(self, pid: str) -> bool:
        return f"PREFECT_HOME={self._stack.directory / 'prefect'}" in _environment(pid)

    def _name(self, pid: int, command: str) -> str:
        if pid not in self._names:
            self._names[pid] = self._named(pid, command)
        return self._names[pid]

    def _named(self, pid: int, command: str) -> str:
        environment = _environment(pid)
        if "PREFECT__FLOW_RUN_ID=" in environment:
            return "the roll-out" if self._run in environment else "a cluster's run"
        for word, name in KNOWN.items():
            if word in command:
                return name
        return "other"


def _environment(pid: int | str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    return ""


def _commands(pids: Sequence[int]) -> Iterator[tuple[int, str]]:
    for pid in pids:
        with contextlib.suppress(OSError):
            yield pid, Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")


def _memory(pid: int) -> tuple[float, float]:
    """Return peak and current resident memory in MB."""
    with contextlib.suppress(OSError, ValueError):
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 1024, int(lines["VmRSS"].split()[0]) / 1024
    return 0.0, 0.0


async def measure(options: argparse.Namespace, directory: Path) -> bool:
    """Run one roll-out and print what it cost; tells whether it ended as it should."""
    size = (f"--nodes={options.nodes}", f"--pods={options.pods}", "--grace-seconds=0", f"--speed={options.speed:g}")
    async with killable_stack(directory, f"--clusters={options.clusters}", *size) as stack:
        os.environ[ENVIRONMENT_VARIABLE] = str(stack.directory / "connections")
        plan = await _plan(options)
        broken = await _break(stack, plan, options)
        before = stack.lab.requests()
        began = time.monotonic()
        run = await stack.api.start_run(FLEET, parameters=_parameters(options))
        async with _sampled(Memory(stack, run)) as memory:
            ended = await _ended(stack, run)
        seconds = time.monotonic() - began
        children = await _children(stack, run)
        _print(ended["state"], seconds, memory, children)
        _print_requests(stack.lab.requests(), before, plan, broken)
    return bool(ended["state"]["name"] == _expected(options))


def _expected(options: argparse.Namespace) -> str:
    if options.canary:
        return "BudgetExhausted"
    return "MigratedWithFailures" if options.broken else "Migrated"


def _parameters(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "seeds": ["lab"],
        "runbook": str(Runbook.CANAL_TO_CILIUM),
        "waves": {"concurrent": options.concurrent, "batch_size": options.batch, "growth": 2, "soak_minutes": 0},
        "failure_budget": options.broken,
        "migration": OPTIONS,
    }


async def _plan(options: argparse.Namespace) -> FleetPlan:
    """Return the waves as the roll-out is going to plan them, so that the right ones can be broken."""
    order = FleetOrder.model_validate({**_parameters(options), "run_id": "bench"})
    chosen = select(await list_clusters(order.seeds), order)
    looks = await look_at(order, [cluster.ref for cluster in chosen], lambda _: None, thorough=True)
    return plan_waves(confirmed(chosen, looks, order), looks, order.waves)


async def _break(stack: Stack, plan: FleetPlan, options: argparse.Namespace) -> dict[ClusterRef, str]:
    others = [ref for wave in plan.waves[1:] for ref in wave]
    step = max(len(others) // max(options.broken, 1), 1)
    victims = [*others[step // 2 :: step][: options.broken], *(plan.waves[0][:1] if options.canary else ())]
    broken = {ref: WAYS[number % len(WAYS)] for number, ref in enumerate(victims)}
    for ref, way in broken.items():
        if way == "helm":
            stack.lab.add_fault("platform", "helm-failure", cluster=ref.name, subject="cilium", message="chart broken")
        elif way == "agents":
            stack.lab.add_fault("platform", "agent-crash-loop", cluster=ref.name, subject="*", message="no BPF")
        else:
            async with open_api(stack.kubeconfig(ref.name), where=str(ref)) as api:
                await api.create(VALIDATING_WEBHOOKS, WEBHOOK)
    return broken


@asynccontextmanager
async def _sampled(memory: Memory) -> AsyncIterator[Memory]:
    async def sampling() -> None:
        while True:
            await asyncio.to_thread(memory.sample)
            await asyncio.sleep(SAMPLE_SECONDS)

    task = asyncio.create_task(sampling())
    try:
        yield memory
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _ended(stack: Stack, run: str) -> dict[str, Any]:
    """Return the run once it is over. Looks seldom, and bears with a server that is busy: both belong to what it costs."""
    async with asyncio.timeout(LONGEST_SECONDS):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                found = await stack.api.flow_run(run)
                if found["state"]["type"] in FINAL:
                    return found
            await asyncio.sleep(LOOK_SECONDS)


async def _children(stack: Stack, run: str) -> list[dict[str, Any]]:
    body = {"flow_runs": {"tags": {"all_": [f"fleet:{run}"]}}, "limit": 200}
    return list(await stack.call("POST", "/flow_runs/filter", body))


def _print(state: Mapping[str, Any], seconds: float, memory: Memory, children: Sequence[Mapping[str, Any]]) -> None:
    names = [str(child["state"]["name"]) for child in children]
    took = sorted(float(child["total_run_time"]) for child in children) or [0.0]
    _say(f"\n{state['name']}: {state['message']}\n")
    _say(f"wall time            {seconds:.0f} s, {len(children)} runs: {', '.join(_counted(names))}")
    _say(f"a cluster's run      {took[len(took) // 2]:.0f} s in the middle, {took[-1]:.0f} s at most")
    _say("peak memory")
    for line in memory.table():
        _say(line)


def _print_requests(
    after: Mapping[str, Mapping[str, int]],
    before: Mapping[str, Mapping[str, int]],
    plan: FleetPlan,
    broken: Mapping[ClusterRef, str],
) -> None:
    def new(server: str) -> int:
        return sum(after.get(server, {}).values()) - sum(before.get(server, {}).values())

    clusters = {member.ref: new(member.ref.name) for member in plan.members}
    fine = sorted(count for ref, count in clusters.items() if ref not in broken) or [0]
    servers = {member.ref.name for member in plan.members}
    seeds = sum(new(server) for server in after if server not in servers)
    _say(f"requests             {fine[len(fine) // 2]} to a user cluster in the middle, {fine[-1]} at most")
    for ref, way in broken.items():
        _say(f"  {ref!s:<18} {clusters[ref]} (broken: {way})")
    _say(f"  to the seed        {seeds}, {seeds / max(len(clusters), 1):.0f} for each cluster")


def _counted(names: Sequence[str]) -> list[str]:
    return [f"{names.count(name)} {name}" for name in sorted(set(names))]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Measure one roll-out; returns the exit status: 0, or 1 if it ended otherwise than it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description=__doc__)
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--broken", type=int, default=0, help="clusters behind the canaries that can't be migrated")
    parser.add_argument("--canary", action="store_true", help="break the first canary as well: it has to stop there")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--speed", type=float, default=200)
    parser.add_argument("--concurrent", type=int, default=6)
    parser.add_argument("--batch", type=int, default=20)
    options = parser.parse_args()
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="fleet-") as directory:
        return 0 if asyncio.run(measure(options, Path(directory))) else 1


if __name__ == "__main__":
    sys.exit(main())
