"""How long a cluster's own migrations took, step by step, as its journal tells. Pure.

A step is recorded when it is through, with the times of the try that saw it through. So the journal tells too little of
a step that was broken off, by a failure or with its run: the times are of what was left of it. That shows in a gap: the
try began long after what was before it. Such a measure is not `whole`: the step took at least that long, and nobody
knows how much longer. (A wait that is repeated by a later run keeps the times of the first: Migration.with_step.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from migration.journal import BEGUN, Journal, Migration
from migration.models import Runbook, StepOutcome, StepStatus, Stretch
from migration.parts import REBOOTS, ROTATE, Part
from migration.safe_points import stretch_key

JOINED_SECONDS: Final = 120.0
"""How long after what was before it a step may begin and still be its first try; the wait then counts as its own. Runs
take seconds from step to step. A try that was lost within less is in these seconds as well, so nothing is missed."""

_WORKED: Final = (StepStatus.CHANGED, StepStatus.RECORDED)
_WAITED_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "wait for Cilium": ("switch CNI",),
    "wait for Canal": ("switch CNI",),
    "wait for kube-proxy mode": ("switch CNI", "switch kube-proxy mode"),
    "verify pods on Cilium": ("restart pods",),
}
"""The steps without whose change a wait finds everything there at once, which tells nothing."""


class Measure(NamedTuple):
    """How long something took in a migration, and for how many pods or nodes; 0 where none are counted."""

    migration: str
    step: str
    seconds: float
    amount: int
    whole: bool


def experience(journal: Journal, kind: Runbook, part: Part) -> tuple[Measure, ...]:
    """Return what the cluster's migrations tell of a part of a run: those that are closed, and are of the same kind.

    A reversal tells nothing: it sets out from wherever the other had come to. Only new nodes and reboots take as long
    whatever they are for, so there every migration counts, the open one as well.
    """
    if part.target:
        return _rotations(journal, part.target)
    migrations: Iterable[Migration] = journal.migrations
    if part.steps != (REBOOTS,):
        migrations = (found for found in migrations if found.kind is kind and not found.is_open and not found.reverts)
    return tuple(_measures(migrations, part.steps))


def seconds_by_now(
    migration: Migration, seconds: Mapping[str, float], stretch: Stretch, target: str = ""
) -> float | None:
    """Return how long a stretch is expected to take, now that others of this migration are over; None if unknown.

    `seconds`: mapping of the stretches' keys to what was expected when the run began. Nodes that took longer than that
    make those to come longer by the same factor; nodes that were faster may have been the easy ones.
    """
    expected = seconds.get(stretch_key(stretch, target))
    if expected is None or stretch is not Stretch.NODES:
        return expected
    known = {ROTATE + key.removeprefix(f"{stretch} "): each for key, each in seconds.items() if each > 0}
    rotated = [step.step for step in migration.steps if step.step in known]
    factors = [measure.seconds / known[step] for step in rotated for measure in _measures([migration], (step,))]
    return expected * max([1.0, *factors])


def _rotations(journal: Journal, machine_deployment: str) -> tuple[Measure, ...]:
    """Return the rotations of this MachineDeployment, and of others in the open migration; else those of any ever."""
    running = journal.open_migration()
    own = tuple(_measures(journal.migrations, (ROTATE + machine_deployment,)))
    others = [
        (migration, (step.step,))
        for migration in journal.migrations
        for step in migration.steps
        if step.step.startswith(ROTATE) and step.step != ROTATE + machine_deployment
    ]
    today = tuple(found for migration, steps in others if migration is running for found in _measures([running], steps))
    if any(found.whole for found in own + today):
        return own + today
    return own + tuple(found for migration, steps in others for found in _measures([migration], steps))


def _measures(migrations: Iterable[Migration], steps: tuple[str, ...]) -> Iterator[Measure]:
    for migration in migrations:
        outcomes = {outcome.step: outcome for outcome in migration.steps}
        last = outcomes.get(steps[-1])
        if last is None or not _did_its_work(last, outcomes):
            continue
        tries = [_last_try(migration, outcomes[step]) for step in steps if step in outcomes]
        seconds = round(sum(seconds for seconds, _ in tries), 1)
        if seconds > 0:
            yield Measure(migration.id, last.step, seconds, last.count, all(whole for _, whole in tries))


def _did_its_work(outcome: StepOutcome, outcomes: Mapping[str, StepOutcome]) -> bool:
    if outcome.status is not StepStatus.CONFIRMED:
        return outcome.status in _WORKED
    causes = _WAITED_FOR.get(outcome.step, ())
    return not causes or any(step in outcomes and outcomes[step].status is StepStatus.CHANGED for step in causes)


def _last_try(migration: Migration, outcome: StepOutcome) -> tuple[float, bool]:
    """Return how long the try took that is recorded, and whether it was the only one."""
    before = [moment for moment in _moments(migration, but=outcome) if moment <= outcome.started_at]
    gap = (outcome.started_at - max(before)).total_seconds() if before else JOINED_SECONDS + 1
    return (outcome.seconds + gap, True) if gap <= JOINED_SECONDS else (outcome.seconds, False)


def _moments(migration: Migration, *, but: StepOutcome) -> Iterator[datetime]:
    """Yield when the migration had come to something, besides this step: begun a stretch, or ended a step."""
    yield migration.started_at
    yield from (outcome.finished_at for outcome in migration.steps if outcome is not but)
    for mark, text in migration.marks.items():
        if mark.startswith(BEGUN) and (moment := _moment(text)) is not None:
            yield moment


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
