"""Tell which schedules start runs that their own windows keep from working: `python -m deployments.schedules`.

Looks at prefect.yaml and, with `--server`, at the deployments on the configured Prefect server. Exit status 1 if any
schedule contradicts the windows of its run, or can't be compared with them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import DeploymentResponse
from pydantic import ValidationError

from deployments.declared import PREFECT_YAML
from migration.schedules import LOOKED_AT, misfits, read_schedule
from migration.windows import Maintenance, recurrences


@dataclass(frozen=True)
class Scheduled:
    """A schedule of a deployment, and the parameters that its runs have."""

    deployment: str
    schedule: Mapping[str, Any]
    parameters: Mapping[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Print every contradiction and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deployments.schedules", description=__doc__)
    parser.add_argument("--file", type=Path, default=PREFECT_YAML, help="instead of this project's prefect.yaml")
    parser.add_argument("--server", action="store_true", help="look at the configured Prefect server as well")
    parser.add_argument(
        *("--room-minutes",), type=int, default=10, help="what the first stretch of a run needs of a window (10)"
    )
    chosen = parser.parse_args(arguments)
    found = [*of_file(chosen.file), *(asyncio.run(of_server()) if chosen.server else ())]
    room = timedelta(minutes=chosen.room_minutes)
    lines = [line for each in found for line in contradictions(each, now=datetime.now(UTC), room=room)]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    verdict = "start outside of the windows of their runs" if lines else "fit the windows of their runs"
    sys.stdout.write(f"{len(lines) or 'all'} of {len(found)} active schedules {verdict}\n")
    return 1 if lines else 0


def of_file(path: Path) -> Iterator[Scheduled]:
    """Return the active schedules in a prefect.yaml."""
    for entry in _entries(path):
        one = entry.get("schedule")
        for schedule in [*(entry.get("schedules") or ()), *([one] if one else ())]:
            if schedule.get("active", True):
                parameters = {**(entry.get("parameters") or {}), **(schedule.get("parameters") or {})}
                yield Scheduled(f"{path.name}: {entry['name']}", schedule, parameters)


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        sys.exit(f"{path} can't be read: {error}")
    entries = found.get("deployments") if isinstance(found, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) and "name" in each for each in entries):
        sys.exit(f"{path} is no prefect.yaml: it has no list `deployments` of entries with a name")
    return entries


async def of_server() -> list[Scheduled]:
    """Return the active schedules on the configured Prefect server."""
    found: list[DeploymentResponse] = []
    async with get_client() as client:
        while page := await client.read_deployments(limit=200, offset=len(found)):
            found += page
    return [
        Scheduled(
            f"{client.api_url}: {deployment.name}",
            {**each.schedule.model_dump(mode="json"), "slug": each.slug},
            {**deployment.parameters, **each.parameters},
        )
        for deployment in found
        for each in deployment.schedules
        if each.active
    ]


def contradictions(found: Scheduled, *, now: datetime, room: timedelta) -> Iterable[str]:
    """Return what speaks against a schedule: one line, or none.

    One whose run works in the cluster's own window as well is left to the readiness check, which knows that window.
    """
    where = f"{found.deployment}: schedule {found.schedule.get('slug') or ''}".rstrip()
    try:
        schedule, parameters = read_schedule(found.schedule), _of_a_cluster(found.parameters)
        maintenance = Maintenance.model_validate(parameters.get("maintenance") or {})
        if maintenance.cluster_window or parameters.get("ignore_window"):
            return
        missed = misfits(schedule, recurrences(maintenance, None), now=now, needed=room)
    except ValidationError as error:
        yield f"{where}: can't be read: {'; '.join(_told(each) for each in error.errors())}"
        return
    except ValueError as error:
        yield f"{where}: can't be compared with the windows: {error}"
        return
    if missed:
        yield (
            f"{found.deployment}: schedule {schedule}: {len(missed)} of the next {LOOKED_AT} starts don't fit the "
            f"windows of the run. The first: {missed[0]}"
        )


def _of_a_cluster(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters that say when a run works: a roll-out hands them to its clusters' runs."""
    handed_on = parameters.get("migration")
    return handed_on if isinstance(handed_on, Mapping) else parameters


def _told(error: Any) -> str:
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg']}" if place else str(error["msg"])


if __name__ == "__main__":
    sys.exit(main())
