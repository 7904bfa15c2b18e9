"""What is done to a run, and where: told by the suite, carried out inside of the run's process by `striking`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Kind = Literal["kill", "request", "platform", "clock"]
Moment = Literal["before", "inside", "before the record", "after"]
"""Of a step: as it begins, at one of its requests, between its act and its record, and when it has returned."""
Met = Literal["struck", "late"]
STRUCK: Final = "struck"
LATE: Final = "late"
"""What becomes of a strike: it comes as it was told, or at the end of a step that asked for less than was recorded."""


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One trouble. What it means depends on its kind."""

    kind: Kind
    step: str = ""
    turn: int = 1
    """Which of the times that the run comes through the step."""
    moment: Moment = "inside"
    nth: int = 1
    """Which of the step's requests it meets, beginning with 1: of all, of the changing, or of the matching ones."""
    changing: bool = False
    """Whether only requests that change something count."""
    answered: bool = False
    """Whether it strikes after the API server has acted."""
    trouble: str = ""
    server: str = ""
    """`seed`, `cluster`, or `kkp` for KKP's REST API."""
    method: str = ""
    path: str = ""
    """Regular expression of the whole path."""
    watch: bool = False
    times: int | None = 1
    retry_after_seconds: int | None = None
    subject: str = "*"
    hold_seconds: float = 0.0
    """After which the trouble is over; 0: it lasts until the run has ended."""
    deadlines: dict[str, float] = field(default_factory=dict)
    """Minutes that the first run has, where it shall fail."""
    hours: float = 0.0
    """By which the clock is put forward."""
    then_killed: bool = False
    """Whether the run is killed while it waits for the window."""
    then_stopped: bool = False
    """Whether the run after it is told to stop at the next safe point."""
    waits: bool = False
    """Whether the run has to wait for a window after that."""

    def __str__(self) -> str:
        clock = f"the clock {self.hours:g} h ahead{', SIGKILL while it waits' if self.then_killed else ''}"
        what = {"kill": f"SIGKILL {self.moment}", "clock": clock}.get(self.kind, self.trouble)
        where = f"{self.method} {self.path}" if self.path else ""
        side = " after the answer" if self.answered else ""
        count = "" if self.times == 1 else f" x {self.times or 'on'}"
        number = f" no. {self.nth}" if self.kind in ("kill", "request") and self.moment == "inside" else ""
        turn = f" (turn {self.turn})" if self.turn > 1 else ""
        return " ".join(f"{what}{count} in '{self.step}'{turn} {where}{number}{side}".split())


@dataclass(frozen=True, kw_only=True)
class Orders:
    """All that the process of a run has to know."""

    flow: str
    cluster: str
    parameters: dict[str, Any]
    connections: str
    lab: str
    log: str
    result: str
    strikes: tuple[Strike, ...] = ()
    hours: float = 0.0
    """By which the run's clock is ahead."""
    recording: bool = False


def to_json(orders: Orders) -> str:
    """Return orders as `from_json` reads them."""
    return json.dumps(asdict(orders))


def from_json(text: str) -> Orders:
    """Return orders from their JSON."""
    found = json.loads(text)
    strikes = tuple(Strike(**strike) for strike in found.pop("strikes"))
    return Orders(strikes=strikes, **found)
