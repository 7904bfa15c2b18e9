"""A flow run's progress in the terminal: a live table where there is one, else a line for each thing that happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rich.live import Live
from rich.markdown import Markdown
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, RenderableType

    from deployments.progress import Event, Progress, Step

# Prefect keeps log lines for half a second (see stack_environment) before they can be read.
SETTLE_SECONDS = 1.5


class ProgressView(Protocol):
    """Shows progress while its block lasts."""

    def __enter__(self) -> ProgressView: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, progress: Progress) -> None:
        """Bring what is shown up to date."""


def progress_view(console: Console) -> ProgressView:
    """Return what suits the console."""
    return LiveTable(console) if console.is_terminal else PlainLines(console)


def print_report(console: Console, markdown: str) -> None:
    """Print a report, rendered in a terminal and as it is elsewhere."""
    if console.is_terminal:
        console.print(Markdown(markdown))
    else:
        console.file.write(f"{markdown}\n")


class LiveTable:
    """One line per step, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=8, transient=False)
        self._spinner = Spinner("dots")

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Redraw the table."""
        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("", width=1)
        table.add_column("Step", no_wrap=True)
        table.add_column("Took", justify="right", no_wrap=True)
        table.add_column("What it does or waits for", ratio=1, overflow="ellipsis", no_wrap=True)
        for step in progress.steps:
            table.add_row(self._mark(step), step.name, f"{step.seconds:.0f} s", Text(step.last_word, style="dim"))
        if not progress.is_over:
            table.add_row("", progress.state, f"{progress.seconds:.0f} s", Text(progress.last_word, style="dim"))
        self._live.update(table)

    def _mark(self, step: Step) -> RenderableType:
        if not step.is_over:
            return self._spinner
        return Text("✓", style="green") if step.is_good else Text("✗", style="red")


class PlainLines:
    """One line per word said and step ended, each with its own time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: set[Event] = set()

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, progress: Progress) -> None:
        """Print what is new since the last time, but for the newest: what happened before that may not be known yet."""
        settled = float("inf") if progress.is_over else progress.seconds - SETTLE_SECONDS
        for event in progress.events:
            if event not in self._shown and event.seconds <= settled:
                self._shown.add(event)
                self._console.file.write(f"{event.seconds:6.1f} s  {event.text}\n")
        self._console.file.flush()
