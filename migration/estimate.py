"""How long a run is going to take, and for how long something is interrupted: part by part, and stretch by stretch.

Each part is assumed to take its time (migration/assumptions) unless the cluster's journal tells how long it took there
before (migration/experience). Then the longest time of those counts: what took long once may do so again, a window that
is too long costs nothing, and one that is too short ends in the middle of the night's traffic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from migration.asking import taken_up
from migration.assumptions import assumed_parts
from migration.experience import Measure, experience
from migration.frozen import Frozen
from migration.models import MigrationRequest, Stretch
from migration.parts import AssumedPart, Part
from migration.survey import ClusterSurvey


class Estimate(Frozen):
    """The parts that lie before a run, in their order."""

    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        """How long the run takes."""
        return sum(part.seconds for part in self.parts)

    @property
    def longest_seconds(self) -> float:
        """How long it takes at worst, if nothing goes wrong."""
        return sum(part.longest_seconds for part in self.parts)

    @property
    def outage_seconds(self) -> float:
        """For how long some pods can't reach some others."""
        return sum(part.outage_seconds for part in self.parts)

    @property
    def seconds_by_stretch(self) -> Mapping[str, float]:
        """Mapping of the stretches' keys (safe_points.stretch_key), in their order, to the seconds of each."""
        found: dict[str, float] = {}
        for part in self.parts:
            found[part.key] = found.get(part.key, 0.0) + part.seconds
        return found

    def seconds_of(self, stretch: Stretch, target: str = "") -> float | None:
        """Return how long a stretch takes, or what there is in it for a MachineDeployment; None for nothing to do."""
        found = [part.seconds for part in self.parts if part.stretch is stretch and target in ("", part.target)]
        return sum(found) if found else None


def estimate(survey: ClusterSurvey, request: MigrationRequest) -> Estimate:
    """Return the parts that lie before a request: without those that the migration it goes on with has behind it."""
    running = taken_up(survey, request)
    done = frozenset(outcome.step for outcome in running.steps) if running is not None else frozenset()
    every = {assumed.part.steps[-1]: assumed for assumed in assumed_parts(survey, request)}
    return Estimate(
        parts=tuple(
            _corrected(assumed, experience(survey.journal, request.runbook, assumed.part), every)
            for assumed in every.values()
            if assumed.is_repeated or not done.issuperset(assumed.part.steps)
        )
    )


def _corrected(assumed: AssumedPart, found: Iterable[Measure], every: Mapping[str, AssumedPart]) -> Part:
    """Return the part with the longest time that was measured; what was broken off can only make it longer."""
    part = assumed.part
    if not part.seconds:
        return part
    scaled = [_scaled(measure, assumed, every.get(measure.step, assumed)) for measure in found]
    whole = max((measure for measure in scaled if measure.whole), key=_seconds, default=None)
    if whole is not None:
        part = _taking(part, whole, f"as measured in migration {whole.migration}{_counted(whole, assumed)}")
    rest = max((measure for measure in scaled if not measure.whole), key=_seconds, default=None)
    if rest is not None and rest.seconds > part.seconds:
        part = _taking(part, rest, f"at least as measured in migration {rest.migration}, where it was broken off")
    return part


def _scaled(measure: Measure, assumed: AssumedPart, measured: AssumedPart) -> Measure:
    """Return the measure for as many pods or nodes as there are now; not whole any more if nobody counted them then.

    What was measured may be another MachineDeployment, of which more machines, or fewer, are replaced at a time.
    """
    if measured.seconds_for is None:
        return measure
    if not measure.amount:
        return measure._replace(whole=False)
    seconds = measure.seconds * assumed.part.seconds / measured.seconds_for(measure.amount)
    return measure._replace(seconds=round(seconds, 1))


def _taking(part: Part, measure: Measure, how: str) -> Part:
    """Return the part with another time. An interruption that lasts as long as the part, or longer, follows it."""
    lasts = 0 < part.seconds <= part.outage_seconds
    outage = part.outage_seconds + measure.seconds - part.seconds if lasts else part.outage_seconds
    changes = {
        "seconds": measure.seconds,
        "longest_seconds": max(part.longest_seconds, measure.seconds, outage),
        "outage_seconds": round(outage, 1),
        "assumption": how,
        "measured_in": measure.migration,
    }
    return part.model_copy(update=changes)


def _counted(measure: Measure, assumed: AssumedPart) -> str:
    return f", with {measure.amount} {assumed.counted}" if assumed.counted else ""


def _seconds(measure: Measure) -> float:
    return measure.seconds
