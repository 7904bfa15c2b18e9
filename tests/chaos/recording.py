"""What runs without trouble ask for, step by step: recorded once with `--record`, so that cases are chosen without one."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = Path(__file__).with_name("recorded.json")


class Asked(NamedTuple):
    """A kind of request, and how often a run's step sends it."""

    step: str
    server: str
    method: str
    path: str
    watch: bool
    often: int


@cache
def _recorded() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text())) if FILE.exists() else {}


def requests_of(scenario: str) -> tuple[Asked, ...]:
    """Return what a run of this scenario asks for."""
    return tuple(Asked(*found) for found in _recorded()[scenario]["requests"])


def events_of(scenario: str, step: str) -> int:
    """Return how many requests and watch events a step sees at least."""
    return int(_recorded()[scenario]["events"].get(step, 0))


def changes_of(scenario: str, step: str) -> int:
    """Return how many requests of a step change something."""
    return int(_recorded()[scenario]["changes"].get(step, 0))


def steps_of(scenario: str) -> dict[str, int]:
    """Return the steps of a run, in their order, and how often it comes through each."""
    return dict(_recorded()[scenario]["steps"])


def recorded(scenario: str) -> dict[str, Any]:
    """Return all that is known of a scenario, as `write` takes it."""
    return dict(_recorded()[scenario])


def write(found: dict[str, Any]) -> None:
    """Keep a recording, one request a line; what another scenario of the flow reads in the same step is left out."""
    lines = []
    known: set[tuple[str, ...]] = set()
    for name, run in found.items():
        kept = []
        for request in run["requests"]:
            key = (name.partition("+")[0], *map(str, request[:-1]))
            if key not in known or request[2] != "GET":
                known.add(key)
                kept.append(request)
        requests = ",\n".join(f"   {json.dumps(request)}" for request in kept)
        rest = "".join(f',\n  "{key}": {json.dumps(run[key])}' for key in ("steps", "events", "changes"))
        lines.append(f' "{name}": {{\n  "requests": [\n{requests}\n  ]{rest}\n }}')
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    _recorded.cache_clear()
