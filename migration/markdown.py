"""Tables in Markdown, for the Prefect UI and the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from migration.models import Finding


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [_line(head), "|" + " --- |" * len(head), *(_line(row) for row in rows)]
    return "\n".join(lines)


def cell(text: str) -> str:
    """Return a text that stays in its cell and is shown as it is: messages of KKP hold pipes, lines and `<nil>`."""
    return " ".join(text.splitlines()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def findings_table(findings: Iterable[Finding]) -> str:
    """Return the findings as a table; empty if there is none."""
    rows = [
        (
            f"{finding.severity}, accepted" if finding.accepted else finding.severity,
            finding.code,
            finding.subject,
            finding.seen,
            finding.advice,
        )
        for finding in findings
    ]
    return table(("Severity", "Code", "Subject", "Seen", "Advice"), rows) if rows else ""


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell(text) for text in cells) + " |"
