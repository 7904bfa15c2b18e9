"""Where a run may stop, kept in the journal: which stretches have begun, and which one is under way. Pure.

Between two safe points lies a stretch. One that has begun is finished, never cut: not by a window that closed, and not
by a person who has yet to agree.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from migration.journal import Migration
from migration.models import Stretch

UNDER_WAY: Final = "under way"
"""The mark that names the stretch under way; empty at a safe point."""
APPROVAL: Final = "approval"
"""The step as which a person's approval stands in the journal."""
HARMLESS: Final = (Stretch.PREPARE, Stretch.VERIFY)
"""Stretches that change nothing of the platform: each of their moments is as good as a safe point."""
PREPARATION: Final = "preparation"
"""The mark that counts how often baseline and backups were taken."""
FRESH: Final = timedelta(hours=1)
"""For how long they may wait for the first disruptive step: what people change meanwhile is in neither."""
_PREPARATIONS: Final = ("record baseline", "back up")


def stretch_key(stretch: Stretch, target: str = "") -> str:
    """Return what names a stretch: itself, and behind it what it is applied to, as a MachineDeployment."""
    return f"{stretch} {target}".strip()


def has_begun(migration: Migration, stretch: Stretch, target: str = "") -> bool:
    """Tell whether a run, this one or an earlier one, has gone into the stretch."""
    return _begun(stretch, target) in migration.marks


def at_safe_point(migration: Migration) -> Migration:
    """Return the migration with no stretch under way."""
    return migration.model_copy(update={"marks": {**migration.marks, UNDER_WAY: ""}})


def in_stretch(migration: Migration, stretch: Stretch, target: str = "", *, now: datetime) -> Migration:
    """Return the migration with this stretch under way."""
    marks = {UNDER_WAY: stretch_key(stretch, target), _begun(stretch, target): now.isoformat()}
    return migration.model_copy(update={"marks": {**migration.marks, **marks}})


def under_way(migration: Migration) -> str:
    """Return the stretch that must be finished before the run may stop; empty if it may stop here."""
    key = migration.marks.get(UNDER_WAY, "")
    return "" if key in HARMLESS else key


def is_disruptive(migration: Migration) -> bool:
    """Tell whether anything but preparations has begun."""
    harmless = {_begun(stretch, "") for stretch in HARMLESS}
    return any(mark.startswith("begun ") and mark not in harmless for mark in migration.marks)


def is_approved(migration: Migration) -> bool:
    """Tell whether a person has agreed to this migration."""
    return any(step.step == APPROVAL for step in migration.steps)


def preparation(migration: Migration) -> int:
    """Return how often baseline and backups were taken, this time included."""
    return int(migration.marks.get(PREPARATION, "1"))


def is_stale(migration: Migration, *, now: datetime) -> bool:
    """Tell whether baseline and backups have waited so long that they have to be taken anew.

    Those of a migration that has begun to disrupt are the only ones that show what was before; so are those that a
    revert was handed by what it takes back.
    """
    taken = [step.finished_at for step in migration.steps if step.step in _PREPARATIONS]
    return bool(taken) and not migration.reverts and not is_disruptive(migration) and now - min(taken) > FRESH


def unprepared(migration: Migration) -> Migration:
    """Return the migration as if neither baseline nor backups had been taken yet."""
    return migration.model_copy(
        update={
            "backups": (),
            "steps": tuple(step for step in migration.steps if step.step not in _PREPARATIONS),
            "marks": {**migration.marks, PREPARATION: str(preparation(migration) + 1)},
        }
    )


def _begun(stretch: Stretch, target: str) -> str:
    return f"begun {stretch_key(stretch, target)}"
