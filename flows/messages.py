"""What is told about a run, and in which words: one subject and one text per kind, as Jinja templates.

Prefect's automations render them on the server, a lone run's hooks render them here (`rendered`), so both say the same.
Templates know `flow_run`, `flow` and `work_pool` as Prefect's automations do, and its filter `ui_url`. Sends nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, NamedTuple

from jinja2 import ChainableUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from prefect.utilities.urls import url_for

# Slack takes 40,000 characters, Teams some 28 kB, a pager a few hundred: how it begins and how it ends matters most.
KEPT_CHARACTERS: Final = 1500

# As prefect/server/utilities/user_templates.py of Prefect 3.8.8 has it, as far as the templates above need it.
_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(undefined=ChainableUndefined, autoescape=False)
_ENVIRONMENT.filters["ui_url"] = url_for


class Kind(StrEnum):
    """What somebody should hear of."""

    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CRASHED = "crashed"
    INTERRUPTED = "interrupted"
    WAITING_FOR_APPROVAL = "waiting-for-approval"
    WAITING_FOR_WINDOW = "waiting-for-window"
    STOPPED = "stopped-at-safe-point"
    CLUSTERS_LEFT = "clusters-left"
    COMPLETED = "completed"
    NOT_APPROVED = "not-approved"
    CANCELLED = "cancelled"
    LATE = "late"
    WORK_POOL_NOT_READY = "work-pool-not-ready"
    RESUMING_FAILED = "resuming-failed"


class Message(NamedTuple):
    """One line for a subject, and the text; templates of them, or what became of those."""

    subject: str
    body: str


_CLUSTER: Final = (
    "{% if flow_run.parameters.cluster %}{{ flow_run.parameters.seed }}/{{ flow_run.parameters.cluster }}"
    "{% else %}{{ flow_run.name }}{% endif %}"
)
_RUN: Final = (
    f"Cluster: {_CLUSTER}\n\n"
    "Run: {{ flow_run.name }}, state {{ flow_run.state.name }}\n\n"
    "{{ flow_run|ui_url or 'flow run ' ~ flow_run.id }}"
)
_OBSERVED: Final = (
    "{% set message = flow_run.state.message or '' %}{% if message %}\n\n"
    f"{{% if message|length > {2 * KEPT_CHARACTERS} %}}"
    f"{{{{ message[:{KEPT_CHARACTERS}] }}}}\n\n[... the run's page has all of it ...]\n\n"
    f"{{{{ message[-{KEPT_CHARACTERS}:] }}}}"
    "{% else %}{{ message }}{% endif %}{% endif %}"
)
_AGAIN: Final = "start the flow again with the same parameters: it goes on where it was"
_BACK: Final = "To go back: the flow revert-migration takes back what the journal in the cluster has of it."
# Nobody else can take up a run without a deployment: HandleFlowTerminalStateTransitions of Prefect 3.8.8.
_TAKEN_UP: Final = (
    "{% if flow_run.deployment_id %}the flow resume-interrupted, where it is scheduled, takes the run up within "
    "minutes; by hand, press Retry on the run's page, or {% endif %}"
)


def _unless_said(words: str) -> str:
    """Nearly every state of ours names the ways forward itself; those that Prefect sets don't."""
    return f"{{% if 'To resume' not in message and flow.name != 'check-readiness' %}}\n\n{words}{{% endif %}}"


_NEVER_BEGAN: Final = (
    "The run never began and nothing was changed: correct the parameter that it names, and start the flow again."
)
_WAYS: Final = (
    "{% if message.startswith('Validation of flow parameters') %}"
    f"\n\n{_NEVER_BEGAN}{{% else %}}" + _unless_said(f"To resume: {_AGAIN}. {_BACK}") + "{% endif %}"
)
_GONE: Final = (
    "The run's process is gone, and nobody has looked at the cluster since. It stands in the step that the run's page "
    "shows last; its lock is free within a minute."
)


def _of_a_run(what: str, words: str = "") -> Message:
    """Return the message that a run of a cluster did or met this, with what its state says and then these words."""
    return Message(subject=f"{_CLUSTER}: {{{{ flow.name }}}} {what}", body=f"{_RUN}{_OBSERVED}{words}")


MESSAGES: Final = {
    Kind.FAILED: _of_a_run("failed", _WAYS),
    Kind.TIMED_OUT: _of_a_run("gave up waiting", _WAYS),
    Kind.INTERRUPTED: _of_a_run("was interrupted", _WAYS),
    Kind.CRASHED: _of_a_run("crashed", _unless_said(f"{_GONE} To resume: {_TAKEN_UP}{_AGAIN}. {_BACK}")),
    Kind.WAITING_FOR_APPROVAL: _of_a_run(
        "waits for approval",
        "\n\nIt goes on only when somebody agrees{% if flow_run.parameters.cluster %}: nothing of the platform was "
        "changed yet. What was found, and what would be done, is in the artifact "
        "readiness-{{ flow_run.parameters.cluster }}{% else %}, and begins no cluster before. How each one stands is "
        "in the table in the form{% endif %}. Answer on the run's page, with Resume: go on, or end. Without an answer "
        "it ends after deadlines.approval minutes, a week if nothing else was "
        "asked for. No worker is held meanwhile.",
    ),
    Kind.WAITING_FOR_WINDOW: _of_a_run(
        "still waits for its maintenance window",
        "\n\nThis has been so since {{ (flow_run.state.timestamp|string)[:16] }} UTC. It stands at a safe point, where "
        "the cluster is fine, and no worker is held. It goes on by itself when the window opens. If that is not what "
        "you want, cancel it and start the flow again with another window, or with ignore_window: it goes on where it "
        "was.",
    ),
    Kind.STOPPED: _of_a_run("stopped at a safe point, unfinished"),
    Kind.CLUSTERS_LEFT: _of_a_run("ended, and not every cluster is migrated"),
    Kind.COMPLETED: _of_a_run("is done"),
    Kind.NOT_APPROVED: _of_a_run("was not approved"),
    Kind.CANCELLED: _of_a_run("was cancelled", _WAYS),
    Kind.LATE: _of_a_run(
        "has not started in time",
        # resume-interrupted says since when; the time of a run that was taken up is its place in the queue.
        "\n\n{% if not message %}It was due at {{ (flow_run.next_scheduled_start_time|string)[:16] }} UTC, and no "
        "worker took it up. {% endif %}Look at the work pool, its queue and its workers. The run has changed nothing "
        "since, starts as soon as a worker takes it, and still keeps to its maintenance window then.",
    ),
    Kind.WORK_POOL_NOT_READY: Message(
        subject="work pool {{ work_pool.name }} is not ready: no migration starts or goes on",
        body="No worker of the work pool {{ work_pool.name }} gives a sign of life.\n\n"
        "{{ work_pool|ui_url or '' }}\n\n"
        "Runs that are due wait there, whatever their maintenance windows; runs that were with a lost worker end as "
        "Crashed. Start a worker: prefect worker start --pool '{{ work_pool.name }}'.",
    ),
    Kind.RESUMING_FAILED: Message(
        subject="{{ flow.name }} fails: nobody takes up crashed migrations",
        body="Run: {{ flow_run.name }}, state {{ flow_run.state.name }}\n\n"
        f"{{{{ flow_run|ui_url or 'flow run ' ~ flow_run.id }}}}{_OBSERVED}\n\n"
        "Until it works again, migrations that crash stay where they are until somebody presses Retry on their pages. "
        "Told at most once an hour.",
    ),
}
"""What is told of each kind."""


def rendered(kind: Kind, *, flow_run: Any, flow: Any) -> Message:
    """Return the subject and text for a run as Prefect's server would have rendered them."""
    names = {"flow_run": flow_run, "flow": flow}
    subject, body = (_ENVIRONMENT.from_string(template).render(names) for template in MESSAGES[kind])
    return Message(subject, body)
