"""Run the deployments of prefect.yaml in this process's children, as `python -m deployments.serve`.

Registers every deployment at the configured Prefect server and runs what is started there, until SIGTERM or Ctrl-C. For
rehearsals and tests on one machine; installations use a work pool, as `python -m deployments.apply` makes it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any, Final

from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Schedule

from deployments.blocks import CONNECTIONS, ensure_type
from deployments.declared import entries

MOST_AT_ONCE: Final = 12
"""Runs, each a process of some 150 MB: room for a roll-out, its clusters, and whatever a person looks at meanwhile."""


def main() -> None:
    """Serve until told to stop."""
    argparse.ArgumentParser(prog="python -m deployments.serve", description=__doc__).parse_args()
    asyncio.run(serve())


async def serve() -> None:
    """Leave the deployments registered, say so, and run what is started."""
    async with get_client() as client:
        for each in CONNECTIONS:
            await ensure_type(client, each)
    runner = Runner(name="kkp-cni-migration", pause_on_shutdown=False, limit=MOST_AT_ONCE)
    deployments = [deployment(entry) for entry in entries()]
    for served in deployments:
        await runner.aadd_deployment(served)
    names = ", ".join(f"{each.flow_name}/{each.name}" for each in deployments)
    sys.stdout.write(f"Serving {names}\n")
    sys.stdout.flush()
    await runner.start()


def deployment(entry: dict[str, Any]) -> RunnerDeployment:
    """Return an entry of prefect.yaml as the runner takes it; a work pool has no meaning here."""
    return RunnerDeployment.from_entrypoint(
        entry["entrypoint"],
        name=entry["name"],
        description=entry.get("description"),
        tags=entry.get("tags"),
        version=entry.get("version"),
        parameters=entry.get("parameters"),
        schedules=[Schedule(**schedule) for schedule in entry.get("schedules") or ()],
    )


if __name__ == "__main__":
    main()
