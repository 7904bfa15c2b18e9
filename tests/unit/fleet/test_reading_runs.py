"""What a roll-out makes of a flow run as Prefect has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun, State, StateType

from tasks.fleet_runs import cluster_run

CANCELLED_AT = datetime(2026, 11, 21, 22, tzinfo=UTC)
TOLD_AT = CANCELLED_AT + timedelta(hours=5)


def run_of(kind: StateType) -> FlowRun:
    return FlowRun(
        flow_id=uuid4(),
        parameters={"seed": "lab", "cluster": "hv2c7xk9tl"},
        state=State(type=kind, name=kind.value.title(), timestamp=TOLD_AT),
        end_time=CANCELLED_AT,
    )


def test_a_run_whose_message_came_later_was_cancelled_when_it_ended():
    found = cluster_run("a-roll-out", run_of(StateType.CANCELLED))

    assert found is not None
    assert found.since == CANCELLED_AT


def test_others_count_from_their_state():
    found = cluster_run("a-roll-out", run_of(StateType.FAILED))

    assert found is not None
    assert found.since == TOLD_AT
