"""Migrations as a journal remembers them, for the tests of what it tells of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from migration.journal import Journal, Migration
from migration.models import StepOutcome, StepStatus
from tests.unit.making import make_migration

LAST_MONTH = datetime(2026, 10, 20, 22, tzinfo=UTC)
WORKERS = "rotate kube-system/workers"


class Done(NamedTuple):
    """A step that a migration has behind it: how long it took, how it ended, and how long after the one before."""

    step: str
    seconds: float
    status: StepStatus = StepStatus.CHANGED
    amount: int = 0
    after: float = 0.0


def past(*done: Done, id: str = "m1", **changes: Any) -> Migration:  # noqa: A002 - what it is
    """Return a closed migration with these steps, one after the other."""
    migration = make_migration(id, **{"started_at": LAST_MONTH, "finished_at": LAST_MONTH, **changes})
    moment = migration.started_at
    for step in done:
        began = moment + timedelta(seconds=step.after)
        moment = began + timedelta(seconds=step.seconds)
        outcome = StepOutcome(
            step=step.step, status=step.status, summary="", started_at=began, finished_at=moment, count=step.amount
        )
        migration = migration.with_step(outcome)
    return migration


def journal(*migrations: Migration) -> Journal:
    """Return the journal with these migrations; the one that is open is the current one."""
    return Journal(
        current=next((found.id for found in migrations if found.is_open), None), migrations=tuple(migrations)
    )
