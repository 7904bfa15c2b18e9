"""The evidence of one migration, put together from its journal and its documents. Pure.

`evidence_page` shows it as one file. The JSON in there is what the checksum is of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import AwareDatetime, Field, ValidationError

from migration.changes import RecordedChange
from migration.frozen import Frozen
from migration.journal import Migration
from migration.models import ClusterRef, MigrationReport, MigrationRequest, StepOutcome
from migration.safe_points import APPROVAL

FORMAT: Final = 1
"""Grows when the JSON changes so that an older reader would misread it."""


class Document(Frozen):
    """One piece of evidence as it was found beside the journal."""

    name: str
    part: str
    content: Mapping[str, Any]
    damage: str = ""


class Start(Frozen):
    """A run that began the migration or took it up: what was ordered, by whom, and what the check had said."""

    at: AwareDatetime
    run: str = ""
    run_name: str = ""
    started_by: str = ""
    """Whom Prefect names as the run's creator."""
    tags: tuple[str, ...] = ()
    versions: Mapping[str, str] = Field(default_factory=dict)
    request: Mapping[str, Any] = Field(default_factory=dict)
    readiness: Mapping[str, Any] | None = None
    """The readiness report with the plan, as it was then: kept as it is, whatever that model becomes later."""
    readiness_text: str = ""
    """The same as people saw it, in Markdown."""


class CheckedBackup(Frozen):
    """A backup of the migration, and whether it still is what it was."""

    name: str
    secrets: tuple[str, ...]
    sha256: str
    objects: int
    is_intact: bool
    message: str = ""


class PrefectRun(Frozen):
    """What the Prefect server says of a run."""

    id: str
    name: str
    state: str
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    created_by: str = ""
    states: tuple[str, ...] = ()
    """One line for each, the earliest first, approvals and waits among them."""
    address: str = ""


class Evidence(Frozen):
    """Everything that is known of one migration."""

    format: int = FORMAT
    made_at: AwareDatetime
    versions: Mapping[str, str]
    cluster: ClusterRef
    migration: Migration
    starts: tuple[Start, ...] = ()
    changes: tuple[RecordedChange, ...] = ()
    not_listed: int = 0
    """How many changes there were beyond those."""
    report: MigrationReport | None = None
    backups: tuple[CheckedBackup, ...] = ()
    prefect_runs: tuple[PrefectRun, ...] = ()
    gaps: tuple[str, ...] = ()
    """What is missing or damaged of the evidence, for people."""

    @property
    def approvals(self) -> tuple[StepOutcome, ...]:
        """What the journal says of persons who agreed."""
        return tuple(step for step in self.migration.steps if step.step == APPROVAL)

    @property
    def plan_of_the_start(self) -> str:
        """The report of the check before the first change, as people saw it."""
        return next((start.readiness_text for start in self.starts if start.readiness_text), "")


def ordered(request: MigrationRequest, *, manifest: str) -> dict[str, Any]:
    """Return a request as it was ordered, with a name of the manifest that holds no credentials."""
    return {**request.model_dump(mode="json", exclude={"schedules", "run_id"}), "manifest": manifest}


def evidence(
    cluster: ClusterRef,
    migration: Migration,
    documents: Iterable[Document],
    *,
    made_at: AwareDatetime,
    versions: Mapping[str, str],
    backups: Iterable[CheckedBackup] = (),
    prefect_runs: Iterable[PrefectRun] = (),
    gaps: Iterable[str] = (),
) -> Evidence:
    """Return what the documents say together; what can't be read of them is among the gaps."""
    read = _Reading()
    for document in documents:
        read.add(document)
    missing = list(gaps)
    missing += [] if read.starts else ["no plan of the start is kept: the migration is older, or it was removed"]
    if migration.finished_at is not None and read.report is None:
        missing.append("no report is kept: outage by workload and findings are in none of the documents")
    missing += _unrecorded(migration, read)
    return Evidence(
        made_at=made_at,
        versions=versions,
        cluster=cluster,
        migration=migration,
        starts=tuple(read.starts),
        changes=tuple(sorted(read.changes, key=lambda change: change.at)),
        not_listed=read.not_listed,
        report=read.report,
        backups=tuple(backups),
        prefect_runs=tuple(prefect_runs),
        gaps=(*missing, *read.gaps),
    )


def to_json(found: Evidence) -> str:
    """Return the evidence as the JSON that is kept and summed."""
    return json.dumps(found.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def sha256_of(text: str) -> str:
    """Return the checksum that the page shows."""
    return hashlib.sha256(text.encode()).hexdigest()


class _Reading:
    """The documents as far as they are read."""

    def __init__(self) -> None:
        self.starts: list[Start] = []
        self.changes: list[RecordedChange] = []
        self.steps: set[str] = set()
        self.report: MigrationReport | None = None
        self.not_listed = 0
        self.gaps: list[str] = []

    def add(self, document: Document) -> None:
        """Take a document in, whichever it is."""
        if document.damage:
            self.gaps.append(f"{document.name}: {document.damage}")
            return
        try:
            self._read(document)
        except (ValidationError, KeyError, TypeError) as error:
            self.gaps.append(f"{document.name}: written by another version of this project ({type(error).__name__})")

    def _read(self, document: Document) -> None:
        content = dict(document.content)
        if document.part == "start":
            self.starts.append(Start.model_validate(content))
        elif document.part == "report":
            self.report = MigrationReport.model_validate(content)
        elif document.part == "changes":
            self.changes += [RecordedChange.model_validate(change) for change in content["changes"]]
            self.not_listed += int(content.get("not_listed", 0))
            self.steps.add(str(content["step"]))


def _unrecorded(migration: Migration, read: _Reading) -> list[str]:
    """Return what the journal says was changed, of which no change is kept."""
    bookkeeping = ("finish migration",)
    return [
        f"step {step.step!r} changed something, of which no record is kept"
        for step in migration.steps
        if step.status == "changed" and step.step not in read.steps and step.step not in bookkeeping
    ]
