"""The whole thing in a few minutes: `python -m deployments.demo` starts a stack, migrates its cluster, shows it, ends.

The migration runs as it would in production: through a deployment, in a process of its own. The exit status is 0 only
if the run completed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import cast

import httpx
from rich.console import Console

from deployments.processes import ProcessFailed
from deployments.progress import PrefectApi, Progress
from deployments.stack import SEED, Stack, StackSettings, running_stack
from deployments.terminal import print_report, progress_view

DEPLOYMENT = "canal-to-cilium/canal-to-cilium"
LOOK_SECONDS = 0.5


def main() -> int:
    """Run the demo; returns the exit status: 0, 1 if the migration or the stack failed, 130 if interrupted."""
    console = Console(highlight=False)
    options = _options()
    try:
        return asyncio.run(demo(_settings(options), console=console, time_limit_minutes=options.time_limit_minutes))
    except asyncio.CancelledError:
        console.print("Interrupted.")
        return 130
    except TimeoutError:
        return _complain("it took longer than --time-limit-minutes allows")
    except (ProcessFailed, httpx.HTTPError) as error:
        return _complain(str(error) or repr(error))


def _complain(message: str) -> int:
    sys.stderr.write(f"demo: {message}\n")
    return 1


async def demo(settings: StackSettings, *, console: Console, time_limit_minutes: float) -> int:
    """Migrate the lab's cluster and print the report; returns the exit status."""
    begun = time.monotonic()
    end_when_told()
    console.print("Starting an embedded KKP and a Prefect server ...")
    async with running_stack(settings) as stack, asyncio.timeout(time_limit_minutes * 60):
        console.print(f"Started in {time.monotonic() - begun:.0f} s. Prefect UI, while this runs: {stack.ui_url}")
        cluster = stack.cluster_names[0]
        console.print(f"Migrating user cluster {cluster} from Canal to Cilium.")
        console.print(f"The embedded KKP runs {settings.speed:g} times as fast as life; the flow's own pauses don't.\n")
        status = await _migrate(stack, cluster, console=console)
    console.print(f"\nAll in all: {time.monotonic() - begun:.0f} s")
    return status


def end_when_told() -> None:
    """Let Ctrl-C and SIGTERM end the current task in an orderly way."""
    task = cast("asyncio.Task[object]", asyncio.current_task())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _migrate(stack: Stack, cluster: str, *, console: Console) -> int:
    async with httpx.AsyncClient(base_url=stack.api_url, trust_env=False, timeout=30) as http:
        api = PrefectApi(http)
        parameters = {"seed": SEED, "cluster": cluster, "probes": {"enabled": True}}
        progress = Progress(await api.start_run(DEPLOYMENT, parameters=parameters))
        with progress_view(console) as view:
            while not progress.is_over:
                await asyncio.sleep(LOOK_SECONDS)
                stack.check()
                await progress.look(api)
                view.show(progress)
            # The last lines arrive a moment after the run's end.
            await asyncio.sleep(2 * LOOK_SECONDS)
            await progress.look(api)
            view.show(progress)
        report = await api.artifact(f"migration-report-{cluster}", flow_run_id=progress.flow_run_id)
    if report:
        console.print()
        print_report(console, report)
    if not progress.is_good:
        console.print(f"\nThe run ended as {progress.state}: {progress.message}", markup=False)
    return 0 if progress.is_good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.demo", description=__doc__)
    parser.add_argument("--nodes", type=int, default=3, help="nodes of the user cluster (default: 3)")
    parser.add_argument("--pods", type=int, default=60, help="user pods in it (default: 60)")
    parser.add_argument("--speed", type=float, default=20, help="how much faster than life the lab is (default: 20)")
    parser.add_argument("--time-limit-minutes", type=float, default=10, help="after which the demo fails (default: 10)")
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="for files and logs (default: .demo)")
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> StackSettings:
    return StackSettings(
        directory=options.directory,
        clusters=1,
        nodes=options.nodes,
        pods=options.pods,
        speed=options.speed,
        poll_seconds=1,
    )


if __name__ == "__main__":
    sys.exit(main())
