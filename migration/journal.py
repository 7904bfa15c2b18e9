"""The record of a migration, kept in the user cluster so that it outlives Prefect. Rules only; `clusters` stores it.

The ConfigMap kube-system/cni-migration holds one JSON document per migration under its id, and under `current` the id
of the one that is open. A closed migration stays as history, in outline, until there are more than `KEPT`. Nothing
in it grows with the number of workloads, because a ConfigMap ends at 1 MiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from migration.errors import OperatorActionNeeded
from migration.frozen import Frozen
from migration.models import Cni, CniType, Network, Runbook, StepOutcome

NAMESPACE = "kube-system"
NAME = "cni-migration"
CURRENT = "current"
KEPT = 10
BEGUN = "begun "
"""How the marks begin that tell when a run went into a stretch."""
CNI_UNINSTALL = "cni-uninstall"
"""Mark that tells whether Cilium's agents take their CNI configuration with them when they go: `true` or `false`."""
CLOSED_NODES = "closed-nodes"
"""Mark that holds the uids of the nodes that were there when old nodes were closed to new pods."""
OPEN_BEFORE = "open-before"
"""Mark that holds the uids of those among them that nobody had closed before."""
NODES_TO_OPEN = "nodes-to-open"
"""Mark of a migration that takes another one back: the uids of the nodes that that one had closed."""
KEPT_DETAILS = 100
"""How many workloads with an outage, and how many findings, a step leaves in the journal: the worst ones."""


Platform = Literal["applications", "addons"]


class StoredBackup(Frozen):
    """A backup: the Secrets that hold it, in order, and the SHA-256 of the uncompressed content."""

    name: str
    secrets: tuple[str, ...]
    sha256: str
    objects: int


class Migration(Frozen):
    """One migration from beginning to end."""

    id: str
    kind: Runbook = Runbook.CANAL_TO_CILIUM
    started_at: AwareDatetime
    started_by: str
    previous_cni: Cni
    desired_cni: Cni
    previous_proxy_mode: str
    desired_proxy_mode: str = ""
    """Empty if it stays as it was."""
    label_was_there: bool
    """Whether the cluster was labelled before: then the label is not ours to remove."""
    tunnel_port: int
    platform: Platform = "applications"
    """How this KKP installs Cilium: as an application, or, before 2.22, as an addon."""
    reverts: str = ""
    """Id of the migration that this one takes back."""
    reverted_by: str = ""
    """Id of the migration that took this one back, wholly or from where it had come to."""
    runs: tuple[str, ...] = ()
    """Ids of the flow runs that worked on it, the latest last."""
    steps: tuple[StepOutcome, ...] = ()
    backups: tuple[StoredBackup, ...] = ()
    bare_pods: Mapping[str, str] = Field(default_factory=dict)
    """Mapping of `namespace/name` to uid of the bare pods that this migration took down and owes."""
    old_machines: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Mapping of MachineDeployment to the uids of the Machines that its rotation replaces."""
    old_nodes: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Mapping of MachineDeployment to the uids of the Nodes that its rotation replaces."""
    restarts: Mapping[str, str] = Field(default_factory=dict)
    """Mapping of MachineDeployment to the value of `forceRestart` (Unix time in ns) that its rotation sets."""
    marks: Mapping[str, str] = Field(default_factory=dict)
    """What was seen before a change, by which a later step tells whether the platform has acted on it."""
    boot_ids: Mapping[str, str] = Field(default_factory=dict)
    """Mapping of the nodes that a person has to reboot to the boot that they had before."""
    finished_at: AwareDatetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still has steps to do."""
        return self.finished_at is None

    @property
    def previous(self) -> Network:
        """Where it set out from."""
        return Network(cni=self.previous_cni, proxy_mode=self.previous_proxy_mode)

    @property
    def desired(self) -> Network:
        """Where it leads."""
        return Network(cni=self.desired_cni, proxy_mode=self.desired_proxy_mode or self.previous_proxy_mode)

    @property
    def changes_proxy_mode(self) -> bool:
        """Whether the kube-proxy mode shall be another."""
        return self.desired.proxy_mode != self.previous_proxy_mode

    @property
    def old_cni(self) -> CniType | None:
        """The CNI that is taken out; None if only the proxy mode changes."""
        if self.kind is Runbook.CHANGE_PROXY_MODE:
            return None
        return CniType.CANAL if self.desired_cni.type is CniType.CILIUM else CniType.CILIUM

    @property
    def target(self) -> str:
        """Where it leads, for people."""
        mode = f"kube-proxy mode {self.desired_proxy_mode}" if self.changes_proxy_mode else ""
        if self.kind is Runbook.CHANGE_PROXY_MODE:
            return mode or f"kube-proxy mode {self.previous_proxy_mode}"
        return f"{self.desired_cni}{f' with {mode}' if mode else ''}"

    def with_step(self, outcome: StepOutcome) -> Migration:
        """Return the migration with a step's outcome recorded; a step that changed something stays recorded as such.

        A repeated step finds everything done: that must not hide what the first try did, nor how long that had waited.
        """
        known = {step.step: step for step in self.steps}
        before = known.get(outcome.step)
        if before is not None and outcome.status == "already done":
            return self
        if before is not None and before.status == outcome.status == "confirmed":
            outcome = _confirmed_again(before, outcome)
        known[outcome.step] = outcome.model_copy(
            update={"outage": outcome.outage[:KEPT_DETAILS], "findings": outcome.findings[:KEPT_DETAILS]}
        )
        return self.model_copy(update={"steps": tuple(known.values())})

    @property
    def nodes_it_closed(self) -> str:
        """The uids of the nodes that were open before this migration closed them."""
        return self.marks.get(OPEN_BEFORE, self.marks.get(CLOSED_NODES, ""))

    def outline(self) -> Migration:
        """Return the migration without the details that only a run under way asks for."""
        steps = tuple(step.model_copy(update={"outage": (), "findings": ()}) for step in self.steps)
        forgotten = ("bare_pods", "old_machines", "old_nodes", "restarts", "boot_ids")
        begun = {mark: moment for mark, moment in self.marks.items() if mark.startswith(BEGUN)}
        return self.model_copy(update={"steps": steps, "marks": begun, **{name: {} for name in forgotten}})

    def with_backup(self, backup: StoredBackup) -> Migration:
        """Return the migration with a backup recorded, in place of one of the same name."""
        others = tuple(known for known in self.backups if known.name != backup.name)
        return self.model_copy(update={"backups": (*others, backup)})

    def backup(self, name: str) -> StoredBackup | None:
        """Return the backup of this name."""
        return next((backup for backup in self.backups if backup.name == name), None)


def _confirmed_again(first: StepOutcome, again: StepOutcome) -> StepOutcome:
    """Return what a wait found in the end, with the times of the first, and the outage of the worse."""
    worse = first if first.outage_seconds >= again.outage_seconds else again
    measured = {
        "started_at": first.started_at,
        "finished_at": first.finished_at,
        "outage": worse.outage,
        "outage_seconds": worse.outage_seconds,
        "mixed_seconds": max(first.mixed_seconds, again.mixed_seconds),
    }
    return again.model_copy(update=measured)


class Journal(Frozen):
    """All migrations that a cluster remembers, oldest first."""

    current: str | None = None
    migrations: tuple[Migration, ...] = ()

    def open_migration(self) -> Migration | None:
        """Return the migration that isn't finished, if there is one."""
        found = self.find(self.current) if self.current else None
        return found if found is not None and found.is_open else None

    def find(self, migration_id: str) -> Migration | None:
        """Return a migration by its id."""
        return next((migration for migration in self.migrations if migration.id == migration_id), None)

    def last_finished(self) -> Migration | None:
        """Return the migration that ended last."""
        finished = [found for found in self.migrations if found.finished_at is not None]
        return max(finished, key=lambda migration: migration.finished_at or migration.started_at, default=None)

    def with_migration(self, migration: Migration) -> Journal:
        """Return the journal with a migration added or replaced; an open one becomes the current one."""
        others = tuple(known for known in self.migrations if known.id != migration.id)
        history = tuple(known if known.id == self.current else known.outline() for known in others)
        current = self.current if self.current != migration.id else None
        kept = tuple(sorted((*history, migration), key=lambda known: known.started_at))[-KEPT:]
        return Journal(current=migration.id if migration.is_open else current, migrations=kept)


def to_data(journal: Journal) -> dict[str, str]:
    """Return the ConfigMap's data."""
    data = {f"{migration.id}.json": migration.model_dump_json() for migration in journal.migrations}
    return {CURRENT: journal.current or "", **data}


def from_data(data: Mapping[str, str]) -> Journal:
    """Return the journal in a ConfigMap's data. Raises OperatorActionNeeded if it can't be understood: fail closed."""
    try:
        documents = [Migration.model_validate_json(text) for key, text in data.items() if key != CURRENT]
    except ValidationError as error:
        raise OperatorActionNeeded(
            f"the journal in ConfigMap {NAMESPACE}/{NAME} can't be read ({error.error_count()} errors, first at "
            f"{error.errors()[0]['loc']}): it was edited or written by another version of this project. Restore it, or "
            "move it away if no migration is open."
        ) from error
    documents.sort(key=lambda migration: migration.started_at)
    current = data.get(CURRENT) or None
    if current is not None and current not in {migration.id for migration in documents}:
        raise OperatorActionNeeded(
            f"the journal in ConfigMap {NAMESPACE}/{NAME} names migration {current} as open, but has lost its record: "
            f"restore the key {current}.json. If that migration is known to be over, empty the key {CURRENT!r}."
        )
    return Journal(current=current, migrations=tuple(documents))
