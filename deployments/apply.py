r"""Puts everything that this project needs on a Prefect server: blocks, work pool, queues, deployments, automations.

    python -m deployments.apply --pool-type process
    python -m deployments.apply --pool-type kubernetes --image registry.example/cni-migration:0.1.0 \
      --results s3://cni-migration/results --notify slack-webhook/operations

Doing it again changes only what differs, and says of each thing whether it was created, changed or unchanged. What
people set on the server on purpose stays, and is told: whether a schedule is active or a deployment paused, limits and
priorities of queues, limits of deployments, the work pool's job template. docs/installation.md says more.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import prefect
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from deployments.alerts import NAMES, OPTIONAL, Alerting, automations
from deployments.automations import NotInstalled, find_block, install
from deployments.blocks import CONNECTIONS, ensure_results, ensure_type
from deployments.declared import PREFECT_YAML, WORK_POOL, queues, read
from deployments.deploying import deploy_all
from deployments.outcomes import NotApplied, Outcome, What
from deployments.pools import TYPES, WantedPool, ensure_pool, ensure_queues, job_template

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

LONGEST_ERROR: Final = 500
"""Characters: Prefect's errors hold the whole of what was sent."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Apply everything; returns the exit status: 0, or 1 with one message on what is wrong."""
    options = _options(arguments)
    try:
        outcomes = asyncio.run(_on_the_server(options))
    except (NotApplied, NotInstalled) as error:
        sys.stderr.write(f"apply: {error}\n")
        return 1
    changed = sum(outcome.what is not What.UNCHANGED for outcome in outcomes)
    sys.stdout.write(f"{changed or 'nothing'} changed on {get_current_settings().api.url}\n")
    return 0


async def apply(client: PrefectClient, options: argparse.Namespace) -> AsyncIterator[Outcome]:
    """Leave everything on the server, in an order in which each thing finds what it needs."""
    for each in CONNECTIONS:
        yield await ensure_type(client, each)
    if options.results:
        yield await ensure_results(client, options.results)
    content = read(options.file)
    yield await ensure_pool(client, _pool(options))
    for outcome in await ensure_queues(client, options.pool, queues(content), dict(options.limit)):
        yield outcome
    for outcome in await deploy_all(client, content, pool=options.pool):
        yield outcome
    if options.notify:
        for outcome in await _automations(client, options):
            yield outcome


async def _on_the_server(options: argparse.Namespace) -> list[Outcome]:
    url = get_current_settings().api.url
    if not url:
        raise NotApplied("no Prefect server is configured: set PREFECT_API_URL, as http://prefect.example:4200/api")
    outcomes = []
    try:
        async with get_client() as client:
            await _compare_versions(client)
            async for outcome in apply(client, options):
                outcomes.append(outcome)
                sys.stdout.write(f"{outcome}\n")
                sys.stdout.flush()
    except (httpx.HTTPError, RuntimeError) as error:
        said = str(error)[:LONGEST_ERROR] or repr(error)
        done = f"{len(outcomes)} things are done" if outcomes else "nothing is done"
        raise NotApplied(f"{url} did not do as asked: {said}. So far {done}: start this again") from error
    return outcomes


async def _compare_versions(client: PrefectClient) -> None:
    """Raise NotApplied for a server that is not of this Prefect's minor version."""
    there = await client.api_version()
    if there.split(".")[:2] != prefect.__version__.split(".")[:2]:
        raise NotApplied(
            f"{client.api_url} runs Prefect {there}, and here is {prefect.__version__}, for which this project was "
            f"tested: run a server of that version (docs/production.md, Upgrading)"
        )


def _pool(options: argparse.Namespace) -> WantedPool:
    values = {**dict(options.job_variable), **({"image": options.image} if options.image else {})}
    template = job_template(options.pool_type, path=options.template, values=values)
    return WantedPool(
        name=options.pool, type=options.pool_type, template=template, replace_template=options.replace_template
    )


async def _automations(client: PrefectClient, options: argparse.Namespace) -> list[Outcome]:
    alerting = Alerting(
        blocks=tuple([await find_block(client, block) for block in options.notify]),
        kinds=frozenset(NAMES) - set(OPTIONAL),
        work_pool=options.pool,
    )
    return [
        Outcome("automation", change.name, What(change.what)) for change in await install(client, automations(alerting))
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.apply", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--pool-type", choices=TYPES, required=True, help="where runs are: beside their worker, or as Kubernetes Jobs")
    add("--pool", default=WORK_POOL, help=f"name of the work pool (default: {WORK_POOL})")
    add("--image", help="what Kubernetes Jobs run")
    add("--template", type=Path, help="base job template instead of the project's own, as JSON")
    set_one = "default of a variable of the job template, as memory_limit=1Gi; may be repeated"
    add("--job-variable", type=_pair, action="append", default=[], metavar="NAME=VALUE", help=set_one)
    add("--replace-template", action="store_true", help="also where the pool's template was changed on the server")
    limit = "concurrency limit of a queue, as migrations=20 or migrations=none; may be repeated"
    add("--limit", type=_limit, action="append", default=[], metavar="QUEUE=LIMIT", help=limit)
    add("--results", metavar="URL", help="where results lie, as s3://bucket/folder: makes the block that says so")
    notify = "type-slug/name of a notification block: installs the automations; may be repeated"
    add("--notify", action="append", default=[], metavar="BLOCK", help=notify)
    add("--file", type=Path, default=PREFECT_YAML, help="instead of this project's prefect.yaml")
    options = parser.parse_args(arguments)
    if options.pool_type == "kubernetes" and not (options.image or options.template):
        parser.error("--pool-type kubernetes needs --image: what the Jobs run")
    if options.pool_type == "process" and options.image:
        parser.error("--image is for --pool-type kubernetes: a process worker runs what is installed beside it")
    known = {queue.name for queue in queues(read(options.file))}
    for name, _ in options.limit:
        if name not in known:
            parser.error(f"--limit {name}: there is no such queue, only {', '.join(sorted(known))}")
    return options


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def _limit(text: str) -> tuple[str, int | None]:
    name, value = _pair(text)
    if value == "none":
        return name, None
    if not value.isdigit():
        raise argparse.ArgumentTypeError(f"{value} is neither a number nor `none`")
    return name, int(value)


if __name__ == "__main__":
    sys.exit(main())
