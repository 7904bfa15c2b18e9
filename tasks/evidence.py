"""What a run leaves of itself as evidence beside the journal, and the word to people that it is there."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prefect import runtime
from prefect.artifacts import acreate_markdown_artifact
from prefect.context import FlowRunContext

from clusters.evidence import read_documents, store_document
from clusters.manifests import shown
from clusters.seed import OpenedCluster
from migration.errors import MigrationError
from migration.evidence import Evidence, Start, evidence, ordered
from migration.evidence_summary import to_summary
from migration.journal import Migration
from migration.models import MigrationReport, MigrationRequest
from migration.readiness_report import ReadinessReport, readiness_to_markdown

_PACKAGES: Final = ("kkp-cni-migration", "prefect", "kubernetes")


def versions() -> dict[str, str]:
    """Return the versions of what works here."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


async def keep_start(
    opened: OpenedCluster, request: MigrationRequest, migration: Migration, readiness: ReadinessReport | None
) -> None:
    """Leave beside the journal what was ordered, by whom, and what the check had said."""
    context = FlowRunContext.get()
    creator = context.flow_run.created_by if context is not None and context.flow_run is not None else None
    start = Start(
        at=datetime.now(UTC),
        run=request.run_id,
        run_name=str(runtime.flow_run.name or request.requested_by),
        started_by=f"{creator.type or ''} {creator.display_value or ''}".strip() if creator is not None else "",
        tags=tuple(runtime.flow_run.tags or ()),
        versions=versions(),
        request=ordered(request, manifest=shown(request.manifest) if request.manifest else ""),
        readiness=readiness.model_dump(mode="json") if readiness is not None else None,
        readiness_text=readiness_to_markdown(readiness) if readiness is not None else "",
    )
    await store_document(opened.api, migration.id, "start", start.model_dump(mode="json"), opened.tell)


async def keep_report(opened: OpenedCluster, migration: Migration, report: MigrationReport) -> None:
    """Leave the report beside the journal, and an artifact that tells what evidence there is and how to fetch it."""
    await store_document(opened.api, migration.id, "report", report.model_dump(mode="json"), opened.tell)
    try:
        documents = await read_documents(opened.api, migration.id)
    except MigrationError as error:
        opened.tell(f"the evidence can't be summed up now: {error}")
        return
    found = evidence(opened.ref, migration, documents, made_at=datetime.now(UTC), versions=versions())
    await _publish(found)


async def _publish(found: Evidence) -> None:
    await acreate_markdown_artifact(
        to_summary(found),
        key=f"migration-evidence-{found.cluster.name}",
        description=f"{found.cluster}: evidence of migration {found.migration.id}",
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from its source"
