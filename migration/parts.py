"""The parts of a run that take time, each with its steps and the stretch that it belongs to. Models only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from migration.frozen import Frozen
from migration.models import Stretch
from migration.safe_points import stretch_key

ROTATE: Final = "rotate "
"""How the step begins that replaces the nodes of a MachineDeployment."""
REBOOTS: Final = "await reboots"
"""The step that waits for people."""


class Part(Frozen):
    """A part of a run: how long it takes, how long at worst, and how long traffic is interrupted in it."""

    name: str
    stretch: Stretch
    """What it belongs to: a run may wait before a stretch, and never within one."""
    target: str = ""
    """`namespace/name` of the MachineDeployment whose nodes it replaces, which makes it a stretch of its own."""
    steps: tuple[str, ...]
    """The names of its steps in the journal, in their order; the last one sees it through."""
    seconds: float
    longest_seconds: float
    outage_seconds: float = 0.0
    assumption: str
    measured_in: str = ""
    """Id of the migration in which that long was measured; empty if it is assumed."""

    @property
    def key(self) -> str:
        """The key of its stretch (safe_points.stretch_key), which is its MachineDeployment's own only for NODES."""
        return stretch_key(self.stretch, self.target if self.stretch is Stretch.NODES else "")


@dataclass(frozen=True, kw_only=True)
class AssumedPart:
    """A part with the time that is assumed for it, and what that time depends on."""

    part: Part
    seconds_for: Callable[[int], float] | None = None
    """Seconds that would be assumed for another number of pods or nodes; None if they are the same for any."""
    counted: str = ""
    """What that number counts: pods or nodes."""
    is_repeated: bool = False
    """Whether it lies before every run, also before one that goes on where its steps were through already."""
