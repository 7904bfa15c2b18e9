"""The automations of this project as Prefect knows them: which events, of which runs, lead to which message. Pure.

Only deployed runs of this project's flows are covered: a lone run tells by itself (`flows/notifying.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from prefect.automations import (
    Automation,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    ResourceSpecification,
    SendNotification,
)
from prefect.client.schemas.objects import StateType

from flows.messages import MESSAGES, Kind
from migration.fleet.resuming import FLEET_FLOW
from migration.resuming import MIGRATING_FLOWS

if TYPE_CHECKING:
    from uuid import UUID

PREFIX: Final = "kkp-cni-migration: "
"""What the names of all automations of this project begin with, and of no others."""
FLOWS: Final = (*MIGRATING_FLOWS, FLEET_FLOW, "check-readiness")
RESUMING: Final = "resume-interrupted"
"""Starts every few minutes, so what goes wrong with it is told once an hour, and being late is not told at all."""

HEARTBEAT_LOST: Final = "heartbeat-lost"
"""The automation that sends nothing: it ends a run that gives no sign of life, which `crashed` tells then."""
NAMES: Final = (*(kind.value for kind in Kind), HEARTBEAT_LOST)
OPTIONAL: Final = (Kind.COMPLETED.value, Kind.NOT_APPROVED.value, Kind.CANCELLED.value)
"""Left out unless asked for: nobody has to act, or whoever did this knows."""

RUN: Final = "prefect.flow-run."
HEARTBEAT: Final = f"{RUN}heartbeat"
LOST_HEARTBEATS: Final = 3
RETOLD_AFTER: Final = timedelta(hours=1)
# Prefect (3.8.8) takes an event up again that met a locked SQLite, also for automations that had acted on it already.
TOLD_ONCE_IN: Final = timedelta(seconds=10)

STATES: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.FAILED: ("Failed", "BudgetExhausted"),
    Kind.TIMED_OUT: ("TimedOut",),
    Kind.CRASHED: ("Crashed",),
    Kind.INTERRUPTED: ("Interrupted",),
    Kind.WAITING_FOR_APPROVAL: ("Suspended",),
    Kind.STOPPED: ("StoppedAtSafePoint",),
    Kind.CLUSTERS_LEFT: ("MigratedWithFailures",),
    Kind.COMPLETED: ("Completed", "Migrated"),
    Kind.NOT_APPROVED: ("NotApproved",),
    Kind.CANCELLED: ("Cancelled",),
    Kind.LATE: ("Late",),
}
"""The names of the states that are told as soon as a run has them."""

ENDED: Final = (
    *("Completed", "StoppedAtSafePoint", "Ready", "NotReady", "Migrated", "MigratedWithFailures"),
    *("Failed", "TimedOut", "BudgetExhausted", "Cancelled", "NotApproved", "Crashed", "Interrupted"),
)
STEPPED_ASIDE: Final = ("AwaitingWindow", "AwaitingClusterLock", "Suspended", "Soaking", "AwaitingClusters")
"""Nothing runs, and nothing has to. The documented automation does not know these, and would end such runs."""
GOING_ON: Final = ("Pending", "Running")

_RUNS: Final = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


@dataclass(frozen=True, kw_only=True)
class Alerting:
    """What is told, of which runs, and to whom."""

    blocks: tuple[UUID, ...]
    """The notification blocks that every message goes to."""
    kinds: frozenset[str]
    """Of NAMES."""
    work_pool: str
    tags: tuple[str, ...] = ()
    """Only runs with one of these tags; none: all runs of this project."""
    window_wait: timedelta = timedelta(days=1)
    heartbeat: timedelta = timedelta(seconds=180)
    """How often workers' runs give a sign of life: their PREFECT_FLOWS_HEARTBEAT_FREQUENCY."""


def automations(alerting: Alerting) -> tuple[Automation, ...]:
    """Return the automations that there shall be, and no others with this project's prefix."""
    wanted = {
        **{kind.value: _at_once(alerting, kind) for kind in STATES},
        Kind.WAITING_FOR_WINDOW.value: _after_a_long_wait(alerting),
        Kind.WORK_POOL_NOT_READY.value: _of_the_work_pool(alerting),
        Kind.RESUMING_FAILED.value: _once_an_hour(alerting),
        HEARTBEAT_LOST: _ending_the_dead(alerting),
    }
    return tuple(wanted[name] for name in NAMES if name in alerting.kinds)


def _at_once(alerting: Alerting, kind: Kind) -> Automation:
    trigger = EventTrigger(
        expect={f"{RUN}{state}" for state in STATES[kind]},
        match=_RUNS,
        match_related=_covered(alerting, FLOWS),
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=TOLD_ONCE_IN,
    )
    return _told(alerting, kind, trigger, f"A run is {' or '.join(STATES[kind])}.")


def _after_a_long_wait(alerting: Alerting) -> Automation:
    """AwaitingWindow is expected as well as waited after: only so a second wait of a run is timed anew.

    prefect/server/events/triggers.py (3.8.8) keeps the count of a wait that has ended until its time is up, and begins
    a new one in its place only for an event that is both.
    """
    awaiting = f"{RUN}AwaitingWindow"
    trigger = EventTrigger(
        after={awaiting},
        expect={awaiting, *(f"{RUN}{state}" for state in (*GOING_ON, "Cancelling", *ENDED))},
        match=_RUNS,
        match_related=_covered(alerting, MIGRATING_FLOWS),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=alerting.window_wait,
    )
    return _told(alerting, Kind.WAITING_FOR_WINDOW, trigger, f"A run awaits its window for {alerting.window_wait}.")


def _of_the_work_pool(alerting: Alerting) -> Automation:
    trigger = EventTrigger(
        expect={"prefect.work-pool.not-ready"},
        match=ResourceSpecification(
            {"prefect.resource.id": "prefect.work-pool.*", "prefect.resource.name": alerting.work_pool}
        ),
        match_related=[],
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(),
    )
    return _told(
        alerting, Kind.WORK_POOL_NOT_READY, trigger, f"No worker of {alerting.work_pool} gives a sign of life."
    )


def _once_an_hour(alerting: Alerting) -> Automation:
    trigger = EventTrigger(
        expect={f"{RUN}{state}" for state in ("Failed", "TimedOut", "Crashed")},
        match=_RUNS,
        match_related=_covered(alerting, (RESUMING,)),
        for_each={"related:flow:prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=RETOLD_AFTER,
    )
    return _told(alerting, Kind.RESUMING_FAILED, trigger, f"{RESUMING} fails; told once an hour.")


def _ending_the_dead(alerting: Alerting) -> Automation:
    """https://docs.prefect.io/v3/advanced/detect-zombie-flows, knowing also in which states nothing has to run."""
    silence = alerting.heartbeat * LOST_HEARTBEATS
    trigger = EventTrigger(
        after={HEARTBEAT},
        expect={HEARTBEAT, *(f"{RUN}{state}" for state in (*ENDED, *STEPPED_ASIDE))},
        match=_RUNS,
        match_related=_covered(alerting, FLOWS),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=silence,
    )
    message = f"no sign of life for {silence.total_seconds():.0f} s: its process, its worker or their host is gone"
    return Automation(
        name=f"{PREFIX}{HEARTBEAT_LOST}",
        description=f"A run that gives no sign of life for {silence} is Crashed. Sends nothing.",
        trigger=trigger,
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)],
    )


def _told(alerting: Alerting, kind: Kind, trigger: EventTrigger, description: str) -> Automation:
    message = MESSAGES[kind]
    actions = [
        SendNotification(block_document_id=block, subject=message.subject, body=message.body)
        for block in alerting.blocks
    ]
    return Automation(name=f"{PREFIX}{kind}", description=description, trigger=trigger, actions=list(actions))


def _covered(alerting: Alerting, flows: tuple[str, ...]) -> list[ResourceSpecification]:
    """Each must hold; of heartbeats the deployment has no name, so flows are told by theirs."""
    deployed = {"prefect.resource.role": "deployment", "prefect.resource.id": "prefect.deployment.*"}
    tagged = [f"prefect.tag.{tag}" for tag in alerting.tags]
    return [
        ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": list(flows)}),
        ResourceSpecification(deployed),
        *([ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": tagged})] if tagged else []),
    ]
