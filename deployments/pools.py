"""The work pool and its queues on the Prefect server: made if they are missing, else left as people made them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

from deployments.declared import ROOT, DeclaredQueue
from deployments.outcomes import NotApplied, Outcome, What

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import WorkPool, WorkQueue

KUBERNETES_TEMPLATE: Final = ROOT / "deployments" / "kubernetes" / "base-job-template.json"
TYPES: Final = ("process", "kubernetes")
RUN_COMMAND: Final = "python -m prefect.engine"
"""Without a command, Prefect (3.8.8, workers/process.py) puts a supervisor between worker and run, in a session of its
own: one process more for each run, and a worker's runs outlive it when its processes are killed as a group."""
DESCRIPTION: Final = "Migrations of KKP user clusters between CNIs."


@dataclass(frozen=True, kw_only=True)
class WantedPool:
    """A work pool as it is to be."""

    name: str
    type: str
    template: Mapping[str, Any]
    replace_template: bool = False
    """Also where somebody has changed it on the server."""


def job_template(
    pool_type: str, *, path: Path | None = None, values: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a base job template, with these values as its defaults. Raises NotApplied for a value it does not know."""
    if path is None and pool_type == "process":
        template: dict[str, Any] = ProcessWorker.get_default_base_job_template()
        template["variables"]["properties"]["command"]["default"] = RUN_COMMAND
    else:
        template = json.loads((path or KUBERNETES_TEMPLATE).read_text())
    properties = template["variables"]["properties"]
    for name, value in (values or {}).items():
        if name not in properties:
            raise NotApplied(f"the job template knows no {name}, only {', '.join(sorted(properties))}")
        properties[name]["default"] = value
    return template


async def ensure_pool(client: PrefectClient, wanted: WantedPool) -> Outcome:
    """Leave the work pool on the server. Raises NotApplied if it is there with another type."""
    try:
        found = await client.read_work_pool(wanted.name)
    except ObjectNotFound:
        return await _create_pool(client, wanted)
    if found.type != wanted.type:
        raise NotApplied(
            f"the work pool {wanted.name} is there, and is of type {found.type}, not {wanted.type}: no pool can change "
            f"its type. Name another with --pool, or delete it with its queues: prefect work-pool delete {wanted.name}"
        )
    return await _compare_template(client, wanted, found)


async def ensure_queues(
    client: PrefectClient, pool: str, declared: Iterable[DeclaredQueue], limits: Mapping[str, int | None]
) -> tuple[Outcome, ...]:
    """Leave the queues in the pool. One that is there keeps its priority, and its limit unless one is given here."""
    found = {queue.name: queue for queue in await client.read_work_queues(work_pool_name=pool)}
    # Those that go first are made last: each takes its place, and moves the others back.
    outcomes = [
        await _ensure_queue(client, pool, queue, found.get(queue.name), limits)
        for queue in sorted(declared, key=lambda queue: -queue.priority)
    ]
    return tuple(reversed(outcomes))


async def _create_pool(client: PrefectClient, wanted: WantedPool) -> Outcome:
    template = dict(wanted.template)
    pool = WorkPoolCreate(
        name=wanted.name, type=wanted.type, base_job_template=template, description=DESCRIPTION, is_paused=False
    )
    try:
        await client.create_work_pool(pool)
    except ObjectAlreadyExists:
        raise NotApplied(f"somebody else has just made the work pool {wanted.name}: start this again") from None
    return Outcome("work pool", wanted.name, What.CREATED, (f"type {wanted.type}",))


async def _compare_template(client: PrefectClient, wanted: WantedPool, found: WorkPool) -> Outcome:
    paused = ("it is paused, and stays so",) if found.is_paused else ()
    if found.base_job_template == dict(wanted.template):
        return Outcome("work pool", wanted.name, What.UNCHANGED, paused)
    if not wanted.replace_template:
        kept = "its job template differs from the one here, and stays as it is; --replace-template takes the one here"
        return Outcome("work pool", wanted.name, What.UNCHANGED, (kept, *paused))
    await client.update_work_pool(wanted.name, WorkPoolUpdate(base_job_template=dict(wanted.template)))
    return Outcome("work pool", wanted.name, What.CHANGED, ("job template replaced", *paused))


async def _ensure_queue(
    client: PrefectClient,
    pool: str,
    wanted: DeclaredQueue,
    found: WorkQueue | None,
    limits: Mapping[str, int | None],
) -> Outcome:
    name = f"{pool}/{wanted.name}"
    if found is None:
        limit = limits.get(wanted.name, wanted.concurrency_limit)
        await client.create_work_queue(
            name=wanted.name,
            work_pool_name=pool,
            description=wanted.description,
            concurrency_limit=limit,
            priority=wanted.priority,
        )
        return Outcome("work queue", name, What.CREATED, (_limit(limit),))
    paused = ("it is paused, and stays so",) if found.is_paused else ()
    if wanted.name in limits and limits[wanted.name] != found.concurrency_limit:
        await client.update_work_queue(found.id, concurrency_limit=limits[wanted.name])
        changed = f"{_limit(limits[wanted.name])}, before {_limit(found.concurrency_limit)}"
        return Outcome("work queue", name, What.CHANGED, (changed, *paused))
    kept: tuple[str, ...] = ()
    if wanted.name not in limits and found.concurrency_limit != wanted.concurrency_limit:
        kept = (f"{_limit(found.concurrency_limit)} stays, though new pools get {_limit(wanted.concurrency_limit)}",)
    return Outcome("work queue", name, What.UNCHANGED, (*kept, *paused))


def _limit(limit: int | None) -> str:
    return "no limit" if limit is None else f"limit {limit}"
