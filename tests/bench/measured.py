"""What a benchmark measured, against the limit that it has to keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Measured:
    """One line of the table; `unit` stands behind both numbers."""

    what: str
    value: float
    limit: float
    unit: str
    keeps: Literal["at least", "at most"]
    how: str = ""

    @property
    def kept(self) -> bool:
        """Whether the value is on the right side of its limit."""
        return self.value >= self.limit if self.keeps == "at least" else self.value <= self.limit

    def cells(self) -> tuple[str, str, str, str]:
        """Return the line as the table shows it."""
        measured = f"{self.value:.3g}" if self.value < 100 else f"{self.value:.0f}"
        return (
            self.what,
            f"{measured} {self.unit}",
            f"{self.keeps} {self.limit:g} {self.unit}",
            "pass" if self.kept else "MISSED",
        )


def table(lines: Iterable[Measured]) -> str:
    """Return the lines as a table, each with how it was measured below."""
    lines = tuple(lines)
    rows = [("what", "measured", "limit", ""), *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"  {line.what}: {line.how}" for line in lines if line.how]
    return "\n".join([drawn[0], "-" * len(drawn[0]), *drawn[1:], "", *notes])
