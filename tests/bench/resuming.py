"""What a resumed run costs until it is back at its step: `python -m tests.bench.resuming [PODS]`, about two minutes.

A run from Canal to Cilium is killed before a change of it is done, at three places. It is started again with Retry, and
requests and seconds count until it is about to make the same change. Beside them stands what it took the first time.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clusters.api import open_api
from tests.bench.__main__ import warn_if_busy
from tests.bench.measured import Measured, table
from tests.resuming.stack import RETRY, Stack, expire_lease, killable_stack

DEFAULT_PODS = 200
PODS_PER_NODE = 60
MOST_REQUESTS = 300
MOST_SECONDS = 15.0
SHOWN = 4


@dataclass(frozen=True)
class Place:
    """A change by which a step is known, and the API server that is asked for it: the seed's or the user cluster's."""

    step: str
    method: str
    path: str
    on_seed: bool = False


PLACES = (
    Place("allow CNI migration", "PATCH", "/clusters/", on_seed=True),
    Place("restart pods", "DELETE", "/namespaces/shop/pods/"),
    Place("remove Canal", "DELETE", "/daemonsets/canal$"),
)


@dataclass(frozen=True)
class Cost:
    """What an attempt took from its start to a place."""

    requests: Counter[str]
    seconds: float

    def __str__(self) -> str:
        most = ", ".join(f"{times} {what}" for what, times in self.requests.most_common(SHOWN))
        return f"{self.requests.total()} requests ({most}) in {self.seconds:.1f} s"


def main() -> int:
    """Measure, and print the table; returns the exit status."""
    warn_if_busy()
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PODS
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        lines = asyncio.run(measure(Path(directory), pods))
    sys.stdout.write(f"{table(lines)}\n")
    return 0 if all(line.kept for line in lines) else 1


async def measure(directory: Path, pods: int) -> list[Measured]:
    """Return two lines for each place."""
    size = (f"--clusters={len(PLACES)}", f"--nodes={max(2, pods // PODS_PER_NODE)}", f"--pods={pods}")
    lab = (*size, "--grace-seconds=0", "--speed=200")
    async with killable_stack(directory, *lab) as stack:
        return [line for place in PLACES for line in await back_at(stack, place)]


async def back_at(stack: Stack, place: Place) -> tuple[Measured, Measured]:
    """Kill a fresh cluster's run at a place, start it again, and return what it costs to be back there."""
    cluster = stack.unused.pop()
    before = counted(stack, cluster)
    hang(stack, cluster, place)
    run = await stack.start("canal-to-cilium", cluster, rotate_nodes=False)
    first = await arrival(stack, run, cluster, before)
    await kill(stack, run, cluster)

    before = counted(stack, cluster)
    hang(stack, cluster, place)
    await stack.set_state(run, RETRY)
    again = await arrival(stack, run, cluster, before)
    await kill(stack, run, cluster)
    how = f"{again}; the first time {first}"
    return (
        Measured(
            f"back at {place.step!r}, requests", again.requests.total(), MOST_REQUESTS, "requests", "at most", how
        ),
        Measured(f"back at {place.step!r}, time", again.seconds, MOST_SECONDS, "s", "at most"),
    )


def hang(stack: Stack, cluster: str, place: Place) -> None:
    """Have the next request for this change never be answered, nor done."""
    path = f"{place.path}{cluster}$" if place.on_seed else place.path
    server = "lab" if place.on_seed else cluster
    stack.lab.add_fault("request", "timeout", server=server, method=place.method, path=path)


async def arrival(stack: Stack, run: str, cluster: str, before: Counter[str]) -> Cost:
    """Return what the run's latest attempt took to the place where it hangs, once it does."""
    await stack.until(lambda: not stack.lab.faults(), what="the change at which the run hangs")
    requests, now = counted(stack, cluster) - before, datetime.now(UTC)
    began = [state["timestamp"] for state in await stack.states(run) if state["type"] == "RUNNING"][-1]
    return Cost(requests, (now - datetime.fromisoformat(began)).total_seconds())


async def kill(stack: Stack, run: str, cluster: str) -> None:
    """Kill the run, and wait until everybody has seen that."""
    await stack.kill_run()
    await stack.reaches(run, "Interrupted")
    async with open_api(stack.kubeconfig(cluster), where=cluster) as api:
        await expire_lease(api)


def counted(stack: Stack, cluster: str) -> Counter[str]:
    """Return how many requests of each verb and resource the seed and a user cluster have answered."""
    counts = stack.lab.requests()
    return Counter(counts["lab"]) + Counter(counts[cluster])


if __name__ == "__main__":
    sys.exit(main())
