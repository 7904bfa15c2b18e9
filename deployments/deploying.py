"""The deployments of prefect.yaml on the Prefect server, put there by `prefect deploy --all` itself.

`prefect deploy` (3.8.8) puts back what it finds in the file. What people set on the server on purpose is therefore put
into the file that it gets: whether a deployment is paused or a schedule active, and a deployment's concurrency limit.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint

from deployments.declared import ROOT
from deployments.outcomes import NotApplied, Outcome, What

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import DeploymentSchedule
    from prefect.client.schemas.responses import DeploymentResponse

COMPARED: Final = (
    *("description", "tags", "version", "entrypoint", "parameters", "work_pool_name", "work_queue_name"),
    *("job_variables", "pull_steps", "paused", "concurrency_options", "enforce_parameter_schema"),
    "parameter_openapi_schema",
)
DEPLOY_SECONDS: Final = 300.0
LAST_LINES: Final = 12

State = Mapping[str, Any]
"""What is compared of a deployment, and the words for it."""


async def deploy_all(client: PrefectClient, content: Mapping[str, Any], *, pool: str) -> tuple[Outcome, ...]:
    """Leave all deployments on the server; tell what was done about each. Raises NotApplied if Prefect refuses one."""
    named = {full_name(entry): entry for entry in content["deployments"]}
    before = {name: await _find(client, name) for name in named}
    notes = {name: await _slugged(client, found) if found else () for name, found in before.items()}
    prepared = [_prepared(entry, before[name], pool) for name, entry in named.items()]
    await _run_prefect_deploy({**content, "deployments": prepared})
    outcomes = []
    for name, entry in named.items():
        after = await _find(client, name)
        if after is None:
            raise NotApplied(f"the deployment {name} is not on the server, though Prefect said so: start this again")
        outcomes.append(_outcome(name, entry, before[name], after, notes[name]))
    return tuple(outcomes)


def full_name(entry: Mapping[str, Any]) -> str:
    """Return a deployment's name as Prefect has it: `flow/deployment`."""
    return f"{load_flow_from_entrypoint(entry['entrypoint']).name}/{entry['name']}"


def state_of(deployment: DeploymentResponse) -> State:
    """Return what two equal deployments share, and nothing that only time or a database says."""
    found = deployment.model_dump(mode="json", include=set(COMPARED))
    limit = deployment.global_concurrency_limit
    schedules = {
        f"schedule {each.slug or each.id}": each.model_dump(mode="json", include={"schedule", "active", "parameters"})
        for each in deployment.schedules
    }
    return {**found, "concurrency limit": limit.limit if limit else None, **schedules}


def _prepared(entry: dict[str, Any], found: DeploymentResponse | None, pool: str) -> dict[str, Any]:
    """Return the entry for this work pool, and with what was set on the server on purpose."""
    prepared = {**entry, "work_pool": {**entry["work_pool"], "name": pool}}
    if found is None:
        return prepared
    if found.paused:
        prepared["paused"] = True
    if "concurrency_limit" not in entry and found.global_concurrency_limit:
        limit = found.global_concurrency_limit.limit
        options = found.concurrency_options.model_dump(mode="json") if found.concurrency_options else {}
        prepared["concurrency_limit"] = {"limit": limit, **options} if options else limit
    active = {each.slug: each.active for each in found.schedules}
    if entry.get("schedules"):
        prepared["schedules"] = [
            {**each, "active": active.get(each["slug"], each["active"])} for each in entry["schedules"]
        ]
    return prepared


async def _slugged(client: PrefectClient, found: DeploymentResponse) -> tuple[str, ...]:
    """Leave every schedule with a slug: if one has none, Prefect (3.8.8) deletes those that are not in the file."""
    notes = []
    for each in found.schedules:
        if not each.slug:
            slug = f"by-hand-{str(each.id)[:8]}"
            await client.update_deployment_schedule(found.id, each.id, slug=slug)
            notes.append(f"a schedule that had no slug is {slug} now, so that it stays")
    return tuple(notes)


async def _find(client: PrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return await client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


async def _run_prefect_deploy(content: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="cni-migration-") as directory:
        path = Path(directory) / "prefect.yaml"
        path.write_text(json.dumps(content))  # which is YAML as well
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), DEPLOY_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise NotApplied(
                f"`prefect deploy --all` took longer than {DEPLOY_SECONDS:.0f} s: start this again"
            ) from None
    if process.returncode:
        last = "\n".join(f"  | {line}" for line in said.decode(errors="replace").splitlines()[-LAST_LINES:])
        raise NotApplied(f"`prefect deploy --all` ended with status {process.returncode}:\n{last}")


def _outcome(
    name: str,
    entry: Mapping[str, Any],
    before: DeploymentResponse | None,
    after: DeploymentResponse,
    notes: tuple[str, ...],
) -> Outcome:
    kept = tuple(_kept(entry, after))
    if before is None:
        return Outcome("deployment", name, What.CREATED, kept)
    was, now = state_of(before), state_of(after)
    named = {f"schedule {each.id}": f"schedule {each.slug}" for each in after.schedules}
    was = {named.get(key, key): value for key, value in was.items()}
    changes = tuple(_change(key, was.get(key), now.get(key)) for key in (*was, *now) if was.get(key) != now.get(key))
    what = What.CHANGED if changes else What.UNCHANGED
    return Outcome("deployment", name, what, (*dict.fromkeys(changes), *notes, *kept))


def _change(key: str, was: Any, now: Any) -> str:
    if key.startswith("schedule ") and (was is None or now is None):
        return f"{key} {'added' if was is None else 'removed'}"
    if key in {"parameter_openapi_schema", "pull_steps"}:
        return f"{key.replace('_', ' ')} replaced"
    return f"{key.replace('_', ' ')}: {_short(was)} became {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _kept(entry: Mapping[str, Any], found: DeploymentResponse) -> Iterable[str]:
    declared = {each["slug"]: each["active"] for each in entry.get("schedules") or ()}
    if found.paused:
        yield "it is paused, and stays so"
    if "concurrency_limit" not in entry and found.global_concurrency_limit:
        yield f"its concurrency limit {found.global_concurrency_limit.limit} stays"
    for schedule in found.schedules:
        yield from _kept_schedule(schedule, declared=declared.get(schedule.slug or ""))


def _kept_schedule(schedule: DeploymentSchedule, *, declared: bool | None) -> Iterable[str]:
    state = "active" if schedule.active else "inactive"
    if declared is None:
        yield f"schedule {schedule.slug}, which is not in prefect.yaml, stays, {state}"
    elif declared != schedule.active:
        yield f"schedule {schedule.slug} stays {state}"
