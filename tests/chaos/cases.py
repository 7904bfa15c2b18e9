"""Every case of the suite, from a seed alone: which flow, which step, which trouble. The same seed, the same cases.

An id is scenario, step, fault and `seed-number`; all that a case leaves to chance follows from its id, so that the id
alone brings it back.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from migration.models import Stretch
from tests.chaos.patterns import LOCK, SAFE_POINT
from tests.chaos.platform_troubles import PLATFORM
from tests.chaos.recording import Asked, changes_of, events_of, requests_of, steps_of
from tests.chaos.scenarios import BORN_ON_EBPF, BY_NAME, FLOWS, GOING_BACK, SCENARIOS, Scenario
from tests.chaos.strikes import Moment, Strike

KILLS: Final = ("kill-before", "kill-inside", "kill-after")
NOT_RECORDED: Final = (
    "look at the lock",
    "plan the revert",
    "check readiness",
    "take the lock",
    "begin migration",
    "list MachineDeployments",
    "report",
)
"""Tasks that leave no outcome in the journal, so that there is no moment before it."""
CHANGE_TROUBLES: Final = ("500", "503", "429", "409", "timeout", "timeout-after", "reset")
READ_TROUBLES: Final = ("500", "503", "429", "410", "timeout", "reset")
WATCH_TROUBLES: Final = ("500", "503", "429", "410", "close-watch", "reset")
_MADE_ONCE: Final = ("/configmaps", "/leases")
BUNDLE: Final = 5
"""How many reads of a step share a case."""
MOST_TIMES: Final = 6
FEW_TIMES: Final = 3
RETRY_AFTER_SECONDS: Final = 1


APART: Final = {
    "canal-to-cilium+rest": ("allow CNI migration", "switch CNI", "restart pods", "finish migration"),
    "cilium-to-canal+born-on-ebpf": (
        "prepare Cilium's removal",
        "switch CNI",
        "remove Cilium",
        "restart pods",
        "close old nodes",
        "rotate MachineDeployment",
    ),
}
"""Scenarios that are killed where they differ from all others, and the steps in which they do."""
DECISIVE_CHANGES: Final = "decisive changes"
EVERY_TROUBLE: Final = "every-trouble"
WITH_EVERY_TROUBLE: Final = (
    "canal-to-cilium+nodes",
    "canal-to-cilium+rest",
    "cilium-to-canal+born-on-ebpf",
    "change-proxy-mode+nodes",
    "revert-migration+to-canal",
)
"""Scenarios whose decisive changes meet each kind of trouble; together they have all of those."""
DECISIVE: Final = (
    ("allow CNI migration", "PATCH", "/clusters/"),
    ("switch CNI", "PATCH", "/clusters/"),
    ("switch kube-proxy mode", "PATCH", "/clusters/"),
    ("prepare Cilium's removal", "PATCH", "/applicationinstallations/"),
    ("remove Cilium", "DELETE", "/applicationinstallations/"),
    ("remove Canal", "DELETE", "/daemonsets/"),
    ("restart pods", "DELETE", "/pods/"),
    ("restart pods", "POST", "/eviction"),
    ("restart pods", "PUT", "/configmaps/"),
    ("restore policies", "POST", "networkpolicies"),
    ("close old nodes", "PATCH", "/nodes/"),
    ("rotate MachineDeployment", "PATCH", "/machinedeployments/"),
    ("finish migration", "PATCH", "/clusters/"),
    (LOCK, "PUT", "/leases/"),
)
"""Step, method and what the path says of the changes that move a cluster, and of what keeps account of them."""


@dataclass(frozen=True)
class Case:
    """One case: a scenario, and what is done to its run."""

    id: str
    scenario: Scenario
    step: str
    fault: str
    strikes: tuple[Strike, ...]

    @property
    def flow(self) -> str:
        """The scenario's flow."""
        return self.scenario.flow

    @property
    def least_met(self) -> int:
        """How many of its strikes a run must meet: all, but one of reads that share a case, for some are not needed."""
        return 1 if all(strike.method == "GET" for strike in self.strikes) else len(self.strikes)

    @property
    def wants_fresh_cluster(self) -> bool:
        """Whether it meets what is asked for once in a cluster's life: its first journal and its first lease."""
        return any(strike.method == "POST" and strike.path.endswith(_MADE_ONCE) for strike in self.strikes)


def all_cases(seed: int, *, flows: Iterable[str] = FLOWS) -> list[Case]:
    """Return the whole suite of a seed: each kill of each step, trouble at each distinct request, and the platform's."""
    return [case for flow in flows for case in _of_flow(seed, flow)]


def _of_flow(seed: int, flow: str) -> Iterator[Case]:
    yield from _kills(seed, flow)
    yield from _api(seed, flow)
    yield from _platform(seed, flow)
    yield from _clock(seed, flow)
    yield from _landings(seed, flow)
    yield from _apart(seed, flow)
    yield from _every_trouble(seed, flow)
    yield from _going_back(seed, flow)


def find_case(case_id: str) -> Case:
    """Return the case with this id. Raises ValueError if there is none."""
    seed = case_id.rpartition("/")[2].partition("-")[0]
    if seed.isdecimal():
        flow = case_id.partition("/")[0].partition("+")[0]
        for case in all_cases(int(seed), flows=[flow] if flow in FLOWS else []):
            if case.id == case_id:
                return case
    raise ValueError(f"there is no case {case_id!r}: an id is flow/step/fault/seed-number, as the suite prints it")


def spread(cases: Sequence[Case], count: int) -> list[Case]:
    """Return so many of the cases, evenly over flows and kinds of trouble, and over steps and faults within."""
    queues: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        queues[case.flow, _family(case)].append(case)
    flows = list(dict.fromkeys(case.flow for case in cases))
    chosen: list[Case] = []
    for number, flow in enumerate(flows):
        own = [queue for (of, _), queue in queues.items() if of == flow]
        chosen += _spread_over_steps(own, count // len(flows) + (number < count % len(flows)))
    order = {case.id: number for number, case in enumerate(cases)}
    return sorted(chosen, key=lambda case: order[case.id])


def _spread_over_steps(queues: list[list[Case]], count: int) -> list[Case]:
    """Return so many of the cases of the queues by turns, each time one of a step and a fault that was rare so far."""
    seen: Counter[str] = Counter()
    chosen: list[Case] = []
    while any(queues) and len(chosen) < count:
        for queue in queues:
            if queue and len(chosen) < count:
                case = min(queue, key=lambda found: (seen[found.step], seen[found.fault]))
                queue.remove(case)
                seen.update((case.step, case.fault))
                chosen.append(case)
    return chosen


def _family(case: Case) -> str:
    first = case.strikes[0]
    if case.scenario.name in APART or case.fault == EVERY_TROUBLE or case.scenario.goes_back:
        return "apart"
    if case.fault in KILLS:
        return case.fault
    if first.kind == "request":
        return "read" if first.method == "GET" else "change"
    return "platform" if first.kind == "platform" else "safe point"


def _scenarios(flow: str) -> tuple[Scenario, ...]:
    return tuple(scenario for scenario in SCENARIOS if scenario.flow == flow)


def _sharpest(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """Return those that leave the nodes alone, so that each pod that is restarted once too often shows; else all."""
    found = list(scenarios)
    return [scenario for scenario in found if not scenario.replaces_nodes] or found


def _with_step(flow: str) -> dict[str, list[Scenario]]:
    """Return for each step of a flow the scenarios that lead through it, of those that are not apart."""
    found: dict[str, list[Scenario]] = defaultdict(list)
    for scenario in _scenarios(flow):
        if scenario.name not in APART:
            for step in steps_of(scenario.name):
                found[step].append(scenario)
    return found


def _kills(seed: int, flow: str) -> Iterator[Case]:
    for step, scenarios in _with_step(flow).items():
        for fault in KILLS:
            possible = _asking(scenarios, step) if fault == "kill-inside" else scenarios
            if possible:
                chance = _chance(seed, flow, step, fault)
                scenario = chance.choice(_sharpest(possible))
                yield _single(seed, scenario, fault, _kill(chance, scenario, step, fault))


def _asking(scenarios: Iterable[Scenario], step: str) -> list[Scenario]:
    """Return those in which the step asks for anything: without a request there is no inside of it."""
    return [scenario for scenario in scenarios if events_of(scenario.name, step)]


def _kill(chance: random.Random, scenario: Scenario, step: str, fault: str) -> Strike:
    turn = chance.randint(1, steps_of(scenario.name)[step])
    if fault == "kill-before":
        return Strike(kind="kill", step=step, turn=turn, moment="before")
    if fault == "kill-after":
        is_recorded = step not in NOT_RECORDED and not step.startswith(SAFE_POINT)
        moments: tuple[Moment, ...] = ("before the record", "after") if is_recorded else ("after",)
        return Strike(kind="kill", step=step, turn=turn, moment=chance.choice(moments))
    changes = changes_of(scenario.name, step)
    # How many events a watch shows differs from run to run: a kill at the last one would often come too late.
    among = changes or (events_of(scenario.name, step) + 1) // 2
    nth = chance.randint(1, max(1, among // steps_of(scenario.name)[step]))
    answered = chance.choice((True, False))
    return Strike(kind="kill", step=step, turn=turn, nth=nth, changing=bool(changes), answered=answered)


def _api(seed: int, flow: str) -> Iterator[Case]:
    """Yield trouble for every distinct request of a flow: changes one by one, reads and watches of a step together."""
    chance = _chance(seed, flow, "requests")
    together: dict[tuple[str, str, bool], list[Asked]] = defaultdict(list)
    changes: list[tuple[Scenario, list[Asked], Sequence[str]]] = []
    for asked, scenario in _distinct_requests(flow, chance):
        if asked.method == "GET":
            together[scenario.name, asked.step, asked.watch].append(asked)
        else:
            changes.append((scenario, [asked], CHANGE_TROUBLES))
    reads = [
        (BY_NAME[name], found[start : start + BUNDLE], WATCH_TROUBLES if watch else READ_TROUBLES)
        for (name, _, watch), found in together.items()
        for start in range(0, len(found), BUNDLE)
    ]
    numbers: dict[tuple[str, str, str], int] = defaultdict(int)
    for scenario, requests, troubles in (*changes, *reads):
        trouble = chance.choice(troubles)
        key = (scenario.name, requests[0].step, trouble)
        numbers[key] += 1
        yield _troubled(seed, scenario, requests, trouble, number=numbers[key], chance=chance)


def _distinct_requests(flow: str, chance: random.Random) -> Iterator[tuple[Asked, Scenario]]:
    """Yield each distinct request with a scenario and a step, of those that send it."""
    found: dict[tuple[str, str, str, bool], list[tuple[Asked, Scenario]]] = defaultdict(list)
    for scenario in _scenarios(flow):
        for asked in requests_of(scenario.name):
            found[asked.server, asked.method, asked.path, asked.watch].append((asked, scenario))
    for _, places in sorted(found.items()):
        sharpest = _sharpest(scenario for _, scenario in places)
        yield chance.choice([place for place in places if place[1] in sharpest])


def _troubled(
    seed: int, scenario: Scenario, requests: Sequence[Asked], trouble: str, *, number: int, chance: random.Random
) -> Case:
    step = requests[0].step
    # A lock that can't be freed expires by itself, but not within a case; and nobody writes an object for that long.
    times = FEW_TIMES if len(requests) > 1 or step == LOCK or trouble == "409" else MOST_TIMES
    times = 2 if trouble.startswith("timeout") else times
    strikes = tuple(_trouble(asked, trouble, times=times, chance=chance) for asked in requests)
    return Case(_id(scenario, step, trouble, seed, number), scenario, step, trouble, strikes)


def _trouble(asked: Asked, trouble: str, *, times: int, chance: random.Random) -> Strike:
    return Strike(
        kind="request",
        step=asked.step,
        trouble=trouble,
        server=asked.server,
        method=asked.method,
        path=asked.path,
        watch=asked.watch,
        nth=chance.randint(1, _surely(asked)),
        times=chance.randint(1, times),
        retry_after_seconds=RETRY_AFTER_SECONDS if trouble == "429" else None,
    )


def _surely(asked: Asked) -> int:
    """Return how many of these requests there are in every run: how often is looked differs from run to run."""
    return asked.often if asked.method != "GET" and asked.step != LOCK else max(1, asked.often // 2)


def _platform(seed: int, flow: str) -> Iterator[Case]:
    """Yield trouble of the platform: for a while, so that the run rides it through, or until the run has failed."""
    for name, step, trouble, more in PLATFORM:
        scenario = BY_NAME[name]
        if scenario.flow == flow:
            fault = f"{trouble}{'-for-long' if more.get('deadlines') else ''}"
            strike = Strike(kind="platform", step=step, moment="before", trouble=trouble, **more)
            yield _single(seed, scenario, fault, strike)


WAITING_STRETCHES: Final = (Stretch.MOVE, Stretch.REMOVE, Stretch.MODE, Stretch.NODES)
"""Those for which a window has to be open, and in which a cluster of the lab has something to do."""
MID_STRETCH: Final = ("wait for Cilium", "restart pods", "remove Canal", "remove Cilium", "wait for kube-proxy mode")
JUMP_HOURS: Final = (5.5, 9.0)
"""From within the window to behind its end and before its next opening: it is open for six hours, the first is over."""


def _clock(seed: int, flow: str) -> Iterator[Case]:
    """Yield jumps of the clock past the window's end, at each safe point and in the middle of stretches."""
    for step, scenarios in _with_step(flow).items():
        if not step.startswith(SAFE_POINT) and step not in MID_STRETCH:
            continue
        chance = _chance(seed, flow, step, "clock")
        scenario = chance.choice(_sharpest(scenarios))
        steps = list(steps_of(scenario.name))
        waits = any(f"{SAFE_POINT}: {stretch}" in steps[steps.index(step) :] for stretch in WAITING_STRETCHES)
        faults = {"clock-jump": False, **({"clock-jump-and-kill": True} if waits else {})}
        for fault, then_killed in faults.items():
            hours = round(chance.uniform(*JUMP_HOURS), 1)
            strike = Strike(kind="clock", step=step, moment="before", hours=hours, then_killed=then_killed, waits=waits)
            yield _single(seed, scenario, fault, strike)


def _landings(seed: int, flow: str) -> Iterator[Case]:
    """Yield runs that are killed in the middle of a stretch; the next one only has to reach a safe point."""
    for step, scenarios in _with_step(flow).items():
        if step in LANDING:
            chance = _chance(seed, flow, step, "land")
            scenario = chance.choice(_sharpest(scenarios))
            strike = dataclasses.replace(_kill(chance, scenario, step, "kill-inside"), then_stopped=True)
            yield _single(seed, scenario, "kill-and-land", strike)


LANDING: Final = ("switch CNI", "restart pods", "remove Canal", "switch kube-proxy mode", "rotate MachineDeployment")


def _apart(seed: int, flow: str) -> Iterator[Case]:
    """Yield kills of what only a scenario of its own leads through, and a run that has to land from there."""
    for scenario in _scenarios(flow):
        for step in APART.get(scenario.name, ()):
            for fault in KILLS:
                chance = _chance(seed, scenario.name, step, fault)
                yield _single(seed, scenario, fault, _kill(chance, scenario, step, fault))
        if scenario.start == BORN_ON_EBPF:
            chance = _chance(seed, scenario.name, "land")
            strike = _kill(chance, scenario, "close old nodes", "kill-inside")
            yield _single(seed, scenario, "kill-and-land", dataclasses.replace(strike, then_stopped=True))


def _every_trouble(seed: int, flow: str) -> Iterator[Case]:
    """Yield runs in which every decisive change meets trouble, each in the next run another kind, until it has had all."""
    for scenario in (BY_NAME[name] for name in WITH_EVERY_TROUBLE):
        if scenario.flow == flow:
            changes = decisive_changes(scenario)
            for number in range(len(CHANGE_TROUBLES)):
                chance = _chance(seed, scenario.name, EVERY_TROUBLE, str(number))
                strikes = tuple(
                    _trouble(asked, CHANGE_TROUBLES[(number + place) % len(CHANGE_TROUBLES)], times=1, chance=chance)
                    for place, asked in enumerate(changes)
                )
                case_id = _id(scenario, DECISIVE_CHANGES, EVERY_TROUBLE, seed, number + 1)
                yield Case(case_id, scenario, DECISIVE_CHANGES, EVERY_TROUBLE, strikes)


def decisive_changes(scenario: Scenario) -> list[Asked]:
    """Return what a run of this scenario changes that moves the cluster, or keeps account of that."""
    return [
        asked
        for asked in requests_of(scenario.name)
        if any((asked.step, asked.method) == (step, method) and part in asked.path for step, method, part in DECISIVE)
    ]


RETURNS: Final = (
    ("", 1),
    ("switch CNI", 2),
    ("remove Cilium", 1),
    ("restart pods", 2),
    ("rotate MachineDeployment", 1),
    ("finish migration", 1),
)
"""Steps in which a run is killed that takes itself back, and which time it comes through them then; none at first."""


def _going_back(seed: int, flow: str) -> Iterator[Case]:
    """Yield runs that are refused a pod's restart for good and so take themselves back; all but one die over that."""
    if GOING_BACK.flow != flow:
        return
    for step, turn in RETURNS:
        chance = _chance(seed, GOING_BACK.name, step)
        refused = Strike(
            kind="request",
            step="restart pods",
            trouble="403",
            server="cluster",
            method="DELETE",
            path="/api/v1/namespaces/[^/]+/pods/[^/]+",
            nth=chance.randint(1, 8),
        )
        if not step:
            yield _single(seed, GOING_BACK, "refused", refused)
            continue
        kill = Strike(kind="kill", step=step, turn=turn, changing=True, answered=chance.choice((True, False)))
        yield Case(
            _id(GOING_BACK, step, "kill-going-back", seed, 1), GOING_BACK, step, "kill-going-back", (refused, kill)
        )


def _single(seed: int, scenario: Scenario, fault: str, strike: Strike) -> Case:
    return Case(_id(scenario, strike.step, fault, seed, 1), scenario, strike.step, fault, (strike,))


def _id(scenario: Scenario, step: str, fault: str, seed: int, number: int) -> str:
    return f"{scenario.name}/{step}/{fault}/{seed}-{number}"


def _chance(seed: int, *what: str) -> random.Random:
    return random.Random("/".join((str(seed), *what)))
