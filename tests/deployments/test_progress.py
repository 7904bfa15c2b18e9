"""Progress tells each step once, in order, with the last thing it said."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from deployments.progress import Progress
from deployments.terminal import PlainLines, print_report

BEGAN, ENDED = "2026-01-01T10:00:00Z", "2026-01-01T10:00:02.500000Z"


class CannedApi:
    """A Prefect API that shows one flow run at one moment."""

    def __init__(self) -> None:
        self.run = {
            "state": {"type": "RUNNING", "name": "Running", "message": ""},
            "start_time": BEGAN,
            "end_time": None,
        }
        self.tasks: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []

    async def flow_run(self, flow_run_id):
        return self.run

    async def task_runs(self, flow_run_id):
        return self.tasks

    async def logs(self, flow_run_id):
        return self.said

    def task(self, name, *, state, begun=BEGAN, ended=None):
        self.tasks.append(
            {
                "id": name,
                "name": name,
                "state": {"type": state.upper(), "name": state},
                "start_time": begun,
                "end_time": ended,
            }
        )

    def say(self, message, *, task=None):
        log = {"id": str(len(self.said)), "message": message, "task_run_id": task, "timestamp": ENDED}
        self.said.append(log)


async def test_steps_are_in_the_order_of_their_start_without_prefects_suffix():
    api, progress = CannedApi(), Progress("run")
    api.task("switch CNI-3fa", state="Running", begun="2026-01-01T10:00:05Z")
    api.task("check readiness", state="Completed", ended=ENDED)

    await progress.look(api)

    assert [(step.name, step.state, step.is_good) for step in progress.steps] == [
        ("check readiness", "Completed", True),
        ("switch CNI", "Running", False),
    ]
    assert progress.steps[0].seconds == 2.5


async def test_a_step_shows_the_first_line_of_what_it_said_last():
    api, progress = CannedApi(), Progress("run")
    api.task("wait", state="Running")
    api.say("waiting for 3 agents", task="wait")
    api.say("waiting for 1 agent\nwith details", task="wait")
    api.say("Finished in state Completed()", task="wait")

    await progress.look(api)

    assert progress.steps[0].last_word == "waiting for 1 agent"


async def test_events_are_told_once_each_in_their_order():
    api, progress = CannedApi(), Progress("run")
    api.say("label added")
    api.task("allow", state="Completed", ended="2026-01-01T10:00:01Z")
    await progress.look(api)
    await progress.look(api)

    assert [(event.seconds, event.text) for event in progress.events] == [
        (1.0, "allow: Completed after 1.0 s"),
        (2.5, "  label added"),
    ]


async def test_a_failed_run_is_over_and_says_why():
    api, progress = CannedApi(), Progress("run")
    api.run = api.run | {"state": {"type": "FAILED", "name": "Failed", "message": "Helm gave up"}, "end_time": ENDED}

    await progress.look(api)

    assert (progress.is_over, progress.is_good, progress.message) == (True, False, "Helm gave up")


async def test_without_a_terminal_each_change_is_one_line():
    api, progress, output = CannedApi(), Progress("run"), io.StringIO()
    view = PlainLines(Console(file=output))
    api.task("check readiness", state="Completed", ended=ENDED)
    for _ in range(2):
        await progress.look(api)
        view.show(progress)

    assert output.getvalue() == "   2.5 s  check readiness: Completed after 2.5 s\n"


def test_a_report_is_printed_as_it_is_without_a_terminal():
    output = io.StringIO()

    print_report(Console(file=output, width=20), "| a table that | is wider than twenty |")

    assert output.getvalue() == "| a table that | is wider than twenty |\n"
