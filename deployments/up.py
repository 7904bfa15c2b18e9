"""An embedded KKP and a Prefect server to try things on: `python -m deployments.up` runs both until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console

from deployments.demo import DEPLOYMENT, end_when_told
from deployments.processes import ProcessFailed
from deployments.stack import SEED, Stack, StackSettings, running_stack


def main() -> int:
    """Run until Ctrl-C; returns the exit status: 0, or 1 if a part of the stack failed."""
    try:
        asyncio.run(up(_settings(), console=Console(highlight=False, soft_wrap=True)))
    except asyncio.CancelledError:
        return 0
    except ProcessFailed as error:
        sys.stderr.write(f"up: {error}\n")
        return 1
    return 0


async def up(settings: StackSettings, *, console: Console) -> None:
    """Leave a stack running, and tell how to use it, until this task is cancelled or a part of the stack ends."""
    end_when_told()
    console.print("Starting an embedded KKP and a Prefect server ...")
    async with running_stack(settings) as stack:
        console.print(greeting(stack), markup=False)
        while True:
            stack.check()
            await asyncio.sleep(1)


def greeting(stack: Stack) -> str:
    """Return where everything is, and what to try."""
    return f"""
{stack.lab_greeting}

Prefect UI: {stack.ui_url}
Migrate a cluster there (Deployments, canal-to-cilium, Run), or from another terminal:
  export PREFECT_API_URL={stack.api_url} CNI_MIGRATION_CONNECTIONS={stack.connections}
  .venv/bin/prefect deployment run {DEPLOYMENT} -p seed={SEED} -p cluster={stack.cluster_names[0]} \\
    -p 'probes={{"enabled": true}}' --watch
What it would do, and what speaks against it, tells check-readiness/check-readiness in the same way.
Its log, with every finding, and its report are on the run's page in the UI, or:
  .venv/bin/prefect flow-run logs <id of the run>
  .venv/bin/python -m deployments.artifact migration-report-{stack.cluster_names[0]}
"""


def _settings() -> StackSettings:
    parser = argparse.ArgumentParser(prog="python -m deployments.up", description=__doc__)
    parser.add_argument("--clusters", type=int, default=3, help="user clusters (default: 3)")
    parser.add_argument("--nodes", type=int, default=5, help="nodes of each (default: 5)")
    parser.add_argument("--pods", type=int, default=200, help="user pods in each (default: 200)")
    parser.add_argument("--speed", type=float, default=20, help="how much faster than life the lab is (default: 20)")
    parser.add_argument("--port", type=int, default=4200, help="of the Prefect server (default: 4200)")
    options = parser.parse_args()
    return StackSettings(
        directory=Path(".lab"),
        clusters=options.clusters,
        nodes=options.nodes,
        pods=options.pods,
        speed=options.speed,
        server_port=options.port,
    )


if __name__ == "__main__":
    sys.exit(main())
