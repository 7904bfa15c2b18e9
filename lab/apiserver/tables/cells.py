"""What makes up the columns of tables: a name, a type, a cell for each object. Refuses to know any kind's columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.apiserver.durations import age
from lab.objects import Object

Cell = Callable[[Object], Any]
MOST_LISTED = 3
"""How many of a list `listed` shows."""


@dataclass(frozen=True)
class Column:
    """One column. Those of a priority above 0 are for `-o wide`."""

    name: str
    cell: Cell
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    def definition(self) -> Object:
        """Return the columnDefinition of a Table."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def at(path: str, missing: Any = "<none>") -> Cell:
    """Return a cell with what stands at a path of fields."""
    steps = path.split(".")

    def cell(found: Object) -> Any:
        here: Any = found
        for step in steps:
            here = here.get(step) if isinstance(here, dict) else None
        return missing if here is None or here == "" else here

    return cell


def age_at(path: str, missing: str = "<unknown>") -> Cell:
    """Return a cell with how long ago the time at a path was."""
    time = at(path, None)
    return lambda found: missing if time(found) is None else age(time(found))


def fraction(part: str, whole: str) -> Cell:
    """Return a cell with two numbers, as `1/2`."""
    of_part, of_whole = at(part, 0), at(whole, 0)
    return lambda found: f"{of_part(found)}/{of_whole(found)}"


def length(*paths: str) -> Cell:
    """Return a cell with how many entries the fields at the paths have together."""
    fields = [at(path, ()) for path in paths]
    return lambda found: sum(len(field(found)) for field in fields)


def number(name: str, path: str, kind: str = "integer") -> Column:
    """Return a column with a number, 0 where there is none."""
    return Column(name, at(path, 0), kind)


def labels(held: dict[str, str] | None) -> str:
    """Return labels as `kubectl` shows them."""
    return ",".join(f"{key}={value}" for key, value in sorted((held or {}).items())) or "<none>"


def selector(path: str) -> Cell:
    """Return a cell with a LabelSelector, or with the labels of an older kind of selector."""
    field = at(path, None)

    def cell(found: Object) -> str:
        held = field(found)
        if held is None:
            return "<none>"
        if not {"matchLabels", "matchExpressions"} & set(held):
            return labels(held)
        terms = [labels(held["matchLabels"])] if held.get("matchLabels") else []
        terms += [_expression(expression) for expression in held.get("matchExpressions") or ()]
        return ",".join(sorted(terms)) or "<none>"

    return cell


def _expression(expression: Object) -> str:
    key, operator = expression["key"], expression["operator"]
    if operator in ("In", "NotIn"):
        return f"{key} {operator.lower()} ({','.join(sorted(expression.get('values') or ()))})"
    return str(key) if operator == "Exists" else f"!{key}"


def listed(shown: list[str], *, nothing: str) -> str:
    """Return the first of a list, and how many more there are."""
    text = ",".join(shown[:MOST_LISTED])
    if len(shown) > MOST_LISTED:
        return f"{text} + {len(shown) - MOST_LISTED} more..."
    return text or nothing


NAME = Column("Name", lambda found: found["metadata"]["name"], format="name")
AGE = Column("Age", age_at("metadata.creationTimestamp"))
CREATED_AT = Column("Created At", at("metadata.creationTimestamp"), "date")
