"""The JSON paths of additionalPrinterColumns: fields, indexes, `[*]` and `[?(@.field=="value")]`. Refuses the rest."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""
    \.?\['(?P<quoted>[^']+)'\]
    | \[\?\(@\.(?P<field>[\w.-]+)\s*==\s*["'](?P<value>[^"']*)["']\)\]
    | \[(?P<index>\*|-?\d+)\]
    | \.(?P<name>(?:\\.|[^.\[\\])+)
    """,
    re.VERBOSE,
)

Step = tuple[str, str, str]


def find(found: Any, path: str) -> list[Any]:
    """Return every value at a path."""
    values = [found]
    for step in _steps(path):
        values = [value for held in values for value in _take(held, step)]
    return [value for value in values if value is not None]


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    for match in _STEP.finditer(path if path.startswith((".", "[")) else f".{path}"):
        if match["field"]:
            steps.append(("filter", match["field"], match["value"]))
        elif match["index"]:
            steps.append(("index", match["index"], ""))
        else:
            steps.append(("field", match["quoted"] or re.sub(r"\\(.)", r"\1", match["name"]), ""))
    return tuple(steps)


def _take(held: Any, step: Step) -> list[Any]:
    kind, first, second = step
    if kind == "field":
        return [held[first]] if isinstance(held, dict) and first in held else []
    if not isinstance(held, list):
        return []
    if kind == "filter":
        return [item for item in held if find(item, f".{first}") == [second]]
    if first == "*":
        return held
    position = int(first)
    return [held[position]] if -len(held) <= position < len(held) else []
