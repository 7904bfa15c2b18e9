"""Runs many cases on few clusters: each goes round from flow to flow, and is set aside once a case broke something."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.chaos.arena import End, Field, Ground, Mother
from tests.chaos.scenarios import BORN_ON_EBPF, BY_NAME, CANAL, CANAL_IPVS, CILIUM, CILIUM_EBPF, Place, Scenario, way_to
from tests.chaos.trial import GOOD, Verdict, try_case

if TYPE_CHECKING:
    from tests.chaos.cases import Case

CLUSTERS: Final = 10
"""In each lab. An idle one costs a little, a new lab costs some seconds."""
MOST_MIGRATIONS: Final = 40
"""That a cluster goes through before a fresh one is taken: histories differ, and grow."""
Told = Callable[["Case", Verdict], None]


class Front:
    """One lab, on whose clusters cases are fought one after the other."""

    def __init__(self, directory: Path, mother: Mother) -> None:
        self._field, self._mother = Field(directory, clusters=CLUSTERS), mother

    async def next_of(self, left: Sequence[Case]) -> tuple[Ground, Case]:
        """Return a case for which a cluster is ready, else the first one with a cluster that was led to its start."""
        for ground in self._field.grounds:
            if (case := next_ready(ground.place, ground.last, left)) is not None:
                return ground, case
        case = left[0]  # another front may take it while a cluster is led to its start
        return await self.ground_for(case), case

    async def ground_for(self, case: Case) -> Ground:
        """Return a cluster at the case's start, led there if none is."""
        if case.wants_fresh_cluster:
            return await self._field.fresh()
        for ground in self._field.grounds:
            if _is_ready(ground.place, ground.last, case):
                return ground
        ground = next(iter(self._field.grounds), None) or await self._field.fresh()
        for scenario in ways(ground.place, case.scenario):
            await self._walk(ground, scenario)
        return ground

    async def fight(self, ground: Ground, case: Case) -> Verdict:
        """Conduct a case, and return what became of it; a cluster on which something broke is not used again."""
        began = time.monotonic()
        try:
            verdict = await try_case(self._mother, ground, case)
        except Exception as error:  # noqa: BLE001 - one case must not end the others
            ground.lab.remote.clear_faults()
            broken = f"the case itself failed: {type(error).__name__}: {error}"
            verdict = Verdict("failed", 0, time.monotonic() - began, (broken,), history=tuple(ground.history))
        _passed(ground, case.scenario, case.id)
        if verdict.status == "failed" or len(ground.history) > MOST_MIGRATIONS:
            self._field.set_aside(ground)
        return verdict

    async def record(self, scenario: Scenario) -> End:
        """Return the end of an untroubled run of a scenario on a fresh cluster, with what it asked for."""
        ground = await self._field.fresh()
        for before in way_to(scenario):
            await self._walk(ground, before)
        orders = self._mother.orders(ground, scenario.flow, dict(scenario.parameters), recording=True)
        return await self._mother.run(orders)

    def close(self) -> None:
        """End the lab."""
        self._field.close()

    async def _walk(self, ground: Ground, scenario: Scenario) -> None:
        """Lead a cluster through a scenario without any trouble."""
        end = await self._mother.run(self._mother.orders(ground, scenario.flow, dict(scenario.parameters)))
        if end.outcome not in GOOD:
            self._field.set_aside(ground)
            raise RuntimeError(f"{scenario.name} without any trouble ended as {end.outcome}: {end.error} {end.message}")
        if scenario.end == BORN_ON_EBPF:
            await ground.forget_other_modes()
        _passed(ground, scenario, scenario.name)


class Campaign:
    """Cases, and who fights them: one lab for each job, so that no case meets another's trouble."""

    def __init__(self, directory: Path, *, jobs: int) -> None:
        self.directory = directory
        mother = Mother(directory)
        self.fronts = [Front(directory / f"front-{number}", mother) for number in range(1, jobs + 1)]

    async def run(self, cases: Sequence[Case], tell: Told) -> None:
        """Run all cases, and tell what became of each as it ends."""
        left = list(cases)

        async def work(front: Front) -> None:
            while left:
                ground, case = await front.next_of(left)
                if case not in left:
                    continue  # another front was faster while this one led a cluster there
                left.remove(case)
                tell(case, await front.fight(ground, case))

        async with asyncio.TaskGroup() as group:
            for front in self.fronts:
                group.create_task(work(front))

    def close(self) -> None:
        """End all labs."""
        for front in self.fronts:
            front.close()


@contextmanager
def campaign(directory: Path, *, jobs: int) -> Iterator[Campaign]:
    """Have a campaign, and end its labs with the block."""
    found = Campaign(directory, jobs=jobs)
    try:
        yield found
    finally:
        found.close()


def next_ready(place: Place, last: str, left: Sequence[Case]) -> Case | None:
    """Return the case for which a cluster is ready, of the scenario of which most are left; None if there is none.

    A way back goes first: it is not often that a cluster has just been through what it takes back.
    """
    waiting = Counter(case.scenario.name for case in left)
    ready = [case for case in left if _is_ready(place, last, case)]
    return max(ready, key=lambda case: (bool(case.scenario.takes_back), waiting[case.scenario.name]), default=None)


def in_rounds(cases: Sequence[Case]) -> list[Case]:
    """Return the cases in an order in which one cluster has to be led nowhere as often as possible."""
    left, place, last, found = list(cases), CANAL, "", []
    while left:
        case = next_ready(place, last, left) or left[0]
        left.remove(case)
        found.append(case)
        place, last = case.scenario.end, case.scenario.name
    return found


def ways(place: Place, scenario: Scenario) -> Iterator[Scenario]:
    """Yield what leads a cluster from where it is to where the scenario starts."""
    if scenario.takes_back:
        before = BY_NAME[scenario.takes_back]
        yield from ways(place, before)
        yield before
    elif place != scenario.start:
        yield from (BY_NAME[name] for name in _BACK[place])
        yield from way_to(scenario)


_BACK: Final = {
    CANAL: (),
    CANAL_IPVS: ("change-proxy-mode+back",),
    CILIUM: ("cilium-to-canal",),
    CILIUM_EBPF: ("change-proxy-mode+from-ebpf", "cilium-to-canal"),
    BORN_ON_EBPF: ("cilium-to-canal+born-on-ebpf",),
}
"""What leads a cluster back to Canal with iptables."""


def _is_ready(place: Place, last: str, case: Case) -> bool:
    scenario = case.scenario
    if case.wants_fresh_cluster:
        return False
    return last == scenario.takes_back if scenario.takes_back else place == scenario.start


def _passed(ground: Ground, scenario: Scenario, name: str) -> None:
    ground.place, ground.last = scenario.end, scenario.name
    ground.history.append(name)
