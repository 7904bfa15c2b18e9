"""What the suite tells: a line for each case as it ends, and in the end the matrix of flow, step and fault."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.chaos.cases import Case
    from tests.chaos.trial import Verdict

Results = Sequence[tuple["Case", "Verdict"]]
_LATE: Final = " (late)"
"""Behind a kill that found no moment inside of its step, and came at its end."""
_SIGNS: Final = {"through": "ok", "resumed": "resumed", "failed": "FAILED", "missed": "missed"}


def line(number: int, total: int, case: Case, verdict: Verdict) -> str:
    """Return the line of a case that has ended."""
    runs = f", {verdict.runs} runs" if verdict.runs > 1 else ""
    return f"{number:4}/{total} {_SIGNS[verdict.status]:8} {verdict.seconds:5.1f} s  {case.id}{runs}"


def table(results: Results) -> str:
    """Return the matrix in Markdown: `8` cases came through, `3r` were resumed, `1F` failed, `1m` met nothing."""
    faults = sorted(dict.fromkeys(_fault(*result) for result in results), key=_is_late)
    cells: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for case, verdict in results:
        cells[case.flow, case.step][_fault(case, verdict)][verdict.status] += 1
    lines = [f"| flow | step | {' | '.join(faults)} |", "|" + "---|" * (len(faults) + 2)]
    for (flow, step), row in cells.items():
        counts = " | ".join(_cell(row[fault]) if fault in row else "" for fault in faults)
        lines.append(f"| {flow} | {step} | {counts} |")
    return "\n".join(lines)


def all_survived(results: Results) -> bool:
    """Tell whether every case met its trouble and broke nothing: one that met none has shown nothing."""
    return all(verdict.status in ("through", "resumed") for _, verdict in results)


def summary(results: Results, *, seed: int, seconds: float) -> str:
    """Return the numbers of the whole suite."""
    counts = Counter(verdict.status for _, verdict in results)
    faults = sum(len(case.strikes) for case, _ in results)
    met = sum(verdict.struck for _, verdict in results)
    late = sum(verdict.late for _, verdict in results)
    return (
        f"{len(results)} cases with seed {seed} in {seconds / 60:.1f} min: {counts['through']} came through in the run "
        f"that was struck, {counts['resumed']} in a further one, {counts['failed']} failed, {counts['missed']} met "
        f"nothing; {met} of {faults} troubles were met, {late} of them at the end of the step instead of inside"
    )


def failures(results: Iterable[tuple[Case, Verdict]]) -> str:
    """Return for each case that failed how to have it again, what is wrong, and the last that its runs said.

    One that met nothing counts among them: a flow asks for something else than was recorded.
    """
    bad = ((case, verdict) for case, verdict in results if verdict.status in ("failed", "missed"))
    return "\n\n".join(_failure(case, verdict) for case, verdict in bad)


def _failure(case: Case, verdict: Verdict) -> str:
    word = "FAILED" if verdict.status == "failed" else "MET NOTHING"
    parts = [f"{word} {case.id}", f"  again: python -m tests.chaos --only {case.id!r}"]
    parts += [f"  done to it: {strike}" for strike in case.strikes]
    parts += [f"  violated: {violation}" for violation in verdict.violations]
    if verdict.status == "missed":
        parts.append("  met nothing: record anew (`python -m tests.chaos --record`)")
    parts.append(f"  the first run: {verdict.first_end}")
    parts.append(f"  the cluster had been through: {', '.join(verdict.history) or 'nothing'}")
    parts += [f"  | {text[:300]}" for text in verdict.log]
    return "\n".join(parts)


def _fault(case: Case, verdict: Verdict) -> str:
    return f"{case.fault}{_LATE}" if verdict.late else case.fault


def _is_late(fault: str) -> bool:
    return fault.endswith(_LATE)


def _cell(counts: Counter[str]) -> str:
    marks = {"through": "", "resumed": "r", "failed": "F", "missed": "m"}
    return " ".join(f"{counts[status]}{mark}" for status, mark in marks.items() if counts[status])
