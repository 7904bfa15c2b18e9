"""Run the deployments of prefect.yaml in this process's children, as `python -m deployments.serve`.

Registers every deployment at the configured Prefect server and runs what is started there, until SIGTERM or Ctrl-C. For
one machine; larger installations use a work pool and `prefect deploy --all` with the same file.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Schedule

PREFECT_YAML = Path(__file__).parents[1] / "prefect.yaml"


def main() -> None:
    """Serve until told to stop."""
    asyncio.run(serve())


async def serve() -> None:
    """Leave the deployments registered, say so, and run what is started."""
    runner = Runner(name="kkp-cni-migration", pause_on_shutdown=False)
    deployments = [deployment(entry) for entry in yaml.safe_load(PREFECT_YAML.read_text())["deployments"]]
    for each in deployments:
        await runner.aadd_deployment(each)
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
        parameters=entry.get("parameters"),
        schedules=[Schedule(**schedule) for schedule in entry.get("schedules") or ()],
    )


if __name__ == "__main__":
    main()
