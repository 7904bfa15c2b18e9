"""Put the evidence of one migration into one file: `python -m deployments.evidence --seed lab --cluster abc`.

Reads what lies in the user cluster and needs no Prefect server; with one configured (PREFECT_API_URL) it adds what that
says of the runs. The file is a page that opens in any browser without a network and holds everything as JSON as well;
`--verify FILE` tells whether that JSON is still what the page's checksum is of. Changes nothing anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for

from clusters.backups import load_backup
from clusters.evidence import read_documents
from clusters.journal import read_journal
from clusters.seed import OpenedCluster, open_cluster
from migration.errors import InvalidRequest, MigrationError
from migration.evidence import CheckedBackup, Evidence, PrefectRun, evidence
from migration.evidence_page import json_of, to_page
from migration.journal import Journal, Migration, StoredBackup
from migration.models import ClusterRef
from migration.text import listing
from tasks.evidence import versions

PREFECT_SECONDS: Final = 20.0
LONGEST_STATE: Final = 300


def main(arguments: list[str] | None = None) -> int:
    """Write or verify the file and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.evidence", description=__doc__)
    parser.add_argument("--seed", metavar="CONNECTION", help="name of the connection")
    parser.add_argument("--cluster", metavar="ID", help="ID of the user cluster")
    parser.add_argument("--migration", metavar="ID", help="instead of the open or else the latest migration")
    parser.add_argument("--output", metavar="FILE", type=Path, help="instead of migration-<cluster>-<id>.html")
    parser.add_argument("--verify", metavar="FILE", type=Path, help="tell whether a file is as it was made")
    chosen = parser.parse_args(arguments)
    if chosen.verify:
        return _verify(chosen.verify)
    if not chosen.seed or not chosen.cluster:
        parser.error("--seed and --cluster are needed, or --verify")
    try:
        found = asyncio.run(collect(ClusterRef(seed=chosen.seed, name=chosen.cluster), chosen.migration or ""))
    except MigrationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    output = chosen.output or Path(f"migration-{found.cluster.name}-{found.migration.id}.html")
    output.write_text(to_page(found), encoding="utf-8")
    sys.stdout.write(f"{output}: {len(found.changes)} changes of migration {found.migration.id}\n")
    sys.stdout.writelines(f"gap: {gap}\n" for gap in found.gaps)
    return 0


async def collect(cluster: ClusterRef, migration_id: str = "") -> Evidence:
    """Return the evidence of a migration, of the open or else the latest one without an id. Raises InvalidRequest."""
    async with open_cluster(cluster, _tell) as opened:
        migration = _chosen(await read_journal(opened.api), migration_id, cluster)
        documents = await read_documents(opened.api, migration.id)
        backups = [await _checked(opened, backup) for backup in migration.backups]
    runs, gaps = await _prefect_runs(migration.runs) if PREFECT_API_URL.value() else ((), ())
    return evidence(
        cluster,
        migration,
        documents,
        made_at=datetime.now(UTC),
        versions=versions(),
        backups=backups,
        prefect_runs=runs,
        gaps=gaps,
    )


def _chosen(journal: Journal, migration_id: str, cluster: ClusterRef) -> Migration:
    found = journal.find(migration_id) if migration_id else journal.open_migration() or journal.last_finished()
    if found is None:
        known = listing([migration.id for migration in journal.migrations]) or "none"
        raise InvalidRequest(f"the journal of {cluster} knows no migration {migration_id}; it has: {known}")
    return found


async def _checked(opened: OpenedCluster, backup: StoredBackup) -> CheckedBackup:
    message = ""
    try:
        await load_backup(opened.api, backup)
    except MigrationError as error:
        message = str(error)
    return CheckedBackup(**backup.model_dump(), is_intact=not message, message=message)


async def _prefect_runs(ids: Iterable[str]) -> tuple[tuple[PrefectRun, ...], tuple[str, ...]]:
    """Return what the server says of the runs, and what it doesn't: without it the evidence is the same otherwise."""
    found: list[PrefectRun] = []
    gaps: list[str] = []
    try:
        async with asyncio.timeout(PREFECT_SECONDS), get_client() as client:
            for run_id in ids:
                try:
                    found.append(await _prefect_run(client, UUID(run_id)))
                except (ObjectNotFound, ValueError):
                    gaps.append(f"the Prefect server doesn't know run {run_id} any more")
    except (TimeoutError, OSError, RuntimeError, httpx.HTTPError, PrefectHTTPStatusError) as error:
        gaps.append(f"the Prefect server could not be asked about the runs ({type(error).__name__})")
    return tuple(found), tuple(gaps)


async def _prefect_run(client: PrefectClient, run_id: UUID) -> PrefectRun:
    run = await client.read_flow_run(run_id)
    states = await client.read_flow_run_states(run_id)
    return PrefectRun(
        id=str(run.id),
        name=run.name,
        state=str(run.state.name if run.state else run.state_name or ""),
        started=run.start_time,
        ended=run.end_time,
        created_by=_creator(run),
        states=tuple(_line(state) for state in sorted(states, key=lambda state: state.timestamp)),
        address=url_for(run) or "",
    )


def _creator(run: FlowRun) -> str:
    creator = run.created_by
    return f"{creator.type or ''} {creator.display_value or ''}".strip() if creator is not None else ""


def _line(state: State[object]) -> str:
    return f"{state.timestamp:%Y-%m-%d %H:%M:%S} {state.name}: {(state.message or '')[:LONGEST_STATE]}".rstrip(": ")


def _verify(path: Path) -> int:
    try:
        text, is_intact = json_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    verdict = "matches its checksum" if is_intact else "does not match its checksum: it was changed"
    sys.stdout.write(f"{path}: the JSON ({len(text)} characters) {verdict}\n")
    return 0 if is_intact else 1


def _tell(line: str) -> None:
    logging.getLogger(__name__).info("%s", line)


if __name__ == "__main__":
    sys.exit(main())
