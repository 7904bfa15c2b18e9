"""Where a run may stop, kept in the journal: which stretches have begun, and which one is under way. Pure.

Between two safe points lies a stretch. One that has begun is finished, never cut: not by a window that closed, and not
by a person who has yet to agree.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from migration.journal import BEGUN, Migration
from migration.models import Runbook, Stretch

UNDER_WAY: Final = "under way"
"""The mark that names the stretch under way; empty at a safe point."""
ENTERED_BY: Final = "entered by"
"""The mark that names the run that went into a stretch last."""
APPROVAL: Final = "approval"
"""The step as which a person's approval stands in the journal."""
HARMLESS: Final = (Stretch.PREPARE, Stretch.VERIFY)
"""Stretches that change nothing of the platform: each of their moments is as good as a safe point."""
PREPARATION: Final = "preparation"
"""The mark that counts how often baseline and backups were taken."""
FRESH: Final = timedelta(hours=1)
"""For how long they may wait for the first disruptive step: what people change meanwhile is in neither."""
_PREPARATIONS: Final = ("record baseline", "back up")
_NOTES: Final = "window before "


def stretch_key(stretch: Stretch, target: str = "") -> str:
    """Return what names a stretch: itself, and behind it what it is applied to, as a MachineDeployment."""
    return f"{stretch} {target}".strip()


def has_begun(migration: Migration, stretch: Stretch, target: str = "") -> bool:
    """Tell whether a run, this one or an earlier one, has gone into the stretch."""
    return _begun(stretch, target) in migration.marks


def at_safe_point(migration: Migration) -> Migration:
    """Return the migration with no stretch under way."""
    return migration.model_copy(update={"marks": {**migration.marks, UNDER_WAY: ""}})


def in_stretch(
    migration: Migration, stretch: Stretch, target: str = "", *, now: datetime, run_id: str = ""
) -> Migration:
    """Return the migration with this stretch under way, gone into by this run."""
    begun = {_begun(stretch, target): now.isoformat()}
    marks = {UNDER_WAY: stretch_key(stretch, target), ENTERED_BY: run_id, **begun}
    return migration.model_copy(update={"marks": {**migration.marks, **marks}})


def under_way(migration: Migration) -> str:
    """Return the stretch that must be finished before the run may stop; empty if it may stop here."""
    key = migration.marks.get(UNDER_WAY, "")
    return "" if key in HARMLESS else key


def first_disruption(runbook: Runbook) -> Stretch:
    """Return the stretch with which a runbook begins to disrupt."""
    return Stretch.MODE if runbook is Runbook.CHANGE_PROXY_MODE else Stretch.MOVE


def is_disruptive(migration: Migration) -> bool:
    """Tell whether anything but preparations has begun: by its marks, or by its steps if an older release began it."""
    harmless = {_begun(stretch, "") for stretch in HARMLESS}
    steps = (step.step for step in migration.steps if step.step not in (*_PREPARATIONS, APPROVAL))
    return any(mark.startswith(BEGUN) and mark not in harmless for mark in migration.marks) or any(
        not step.startswith(_NOTES) for step in steps
    )


def has_progressed(migration: Migration, run_id: str) -> bool:
    """Tell whether this run has gone into a stretch, or found one under way: then the next safe point ends it."""
    return bool(run_id) and migration.marks.get(ENTERED_BY) == run_id


def taking_back(fresh: Migration, original: Migration, *, now: datetime) -> Migration:
    """Return a fresh reversal that goes on at once if what it takes back is in the middle of something."""
    if not is_disruptive(original):
        return fresh
    return in_stretch(in_stretch(fresh, Stretch.PREPARE, now=now), first_disruption(fresh.kind), now=now)


def is_approved(migration: Migration) -> bool:
    """Tell whether a person has agreed to this migration."""
    return any(step.step == APPROVAL for step in migration.steps)


def preparation(migration: Migration) -> int:
    """Return how often baseline and backups were taken, this time included."""
    counted = migration.marks.get(PREPARATION, "")
    return int(counted) if counted.isdecimal() else 1


def is_stale(migration: Migration, *, now: datetime) -> bool:
    """Tell whether baseline and backups have waited so long that they have to be taken anew.

    Those of a migration that has begun to disrupt are the only ones that show what was before; so are those that a
    revert was handed by an unfinished migration, in whose middle it begins.
    """
    taken = [step.finished_at for step in migration.steps if step.step in _PREPARATIONS]
    return bool(taken) and not is_disruptive(migration) and now - min(taken) > FRESH


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
    return f"{BEGUN}{stretch_key(stretch, target)}"
