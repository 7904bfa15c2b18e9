"""Puts the automations of `deployments/alerts.py` on the Prefect server, and takes them off again.

    python -m deployments.automations install --block slack-webhook/operations
    python -m deployments.automations list
    python -m deployments.automations remove

Installing again changes only what differs: an automation that is replaced forgets for how long runs have waited. One
that somebody switched off stays off. Automations without this project's prefix are never touched.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
from prefect.automations import Automation
from prefect.client.orchestration import PrefectClient, get_client
from prefect.events.schemas.automations import Automation as Installed
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from deployments.alerts import HEARTBEAT_LOST, NAMES, OPTIONAL, PREFIX, Alerting, automations

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.schemas.objects import BlockDocument

NOTIFY: Final = "notify"
"""The capability of Prefect's notification blocks."""
PAGE: Final = 200
LONGEST_ERROR: Final = 500
"""Characters: Prefect's errors hold the whole of what was sent."""
# Prefect's own limits: a flow's heartbeats, and the `within` of a proactive trigger.
LEAST_HEARTBEAT_SECONDS: Final = 30
LEAST_WAIT_DAYS: Final = 10 / 86400
COMPARED: Final = frozenset(
    {"name", "description", "tags", "trigger", "actions", "actions_on_trigger", "actions_on_resolve"}
)


class NotInstalled(Exception):
    """The automations could not be installed, listed or removed; the message says why and what to do."""


@dataclass(frozen=True)
class Change:
    """What became of one automation: created, changed, unchanged or removed."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.what:<10} {self.name}"


async def install(client: PrefectClient, desired: Sequence[Automation]) -> tuple[Change, ...]:
    """Leave the desired automations on the server and no others with this project's prefix; tell what changed."""
    found = await installed(client)
    changes = []
    for automation in desired:
        same_name = [each for each in found if each.name == automation.name]
        changes.append(await _ensure(client, automation, same_name[0] if same_name else None))
        changes += await _delete(client, same_name[1:])
    names = {automation.name for automation in desired}
    return (*changes, *await _delete(client, [each for each in found if each.name not in names]))


async def remove(client: PrefectClient) -> tuple[Change, ...]:
    """Leave no automation of this project on the server; tell which there were."""
    return tuple(await _delete(client, await installed(client)))


async def installed(client: PrefectClient) -> tuple[Installed, ...]:
    """Return the automations of this project that are on the server, the oldest of each name first."""
    found: list[Installed] = []
    while len(page := await client.read_automations(limit=PAGE, offset=len(found))) == PAGE:
        found += page
    ours = (each for each in (*found, *page) if each.name.startswith(PREFIX))
    return tuple(sorted(ours, key=lambda each: (each.name, str(each.id))))


async def find_block(client: PrefectClient, slug_and_name: str) -> UUID:
    """Return the id of the notification block `type-slug/name`. Raises NotInstalled if there is none."""
    slug, _, name = slug_and_name.partition("/")
    try:
        block = await client.read_block_document_by_name(name, slug, include_secrets=False)
    except ObjectNotFound:
        raise NotInstalled(await _no_such_block(client, slug, name)) from None
    if not _notifies(block):
        raise NotInstalled(f"{slug_and_name} is no notification block. {await _which_there_are(client)}")
    return block.id


async def _ensure(client: PrefectClient, desired: Automation, found: Installed | None) -> Change:
    if found is None:
        await client.create_automation(_complete(desired, enabled=True))
        return Change(desired.name, "created")
    if _compared(found) == _compared(desired):
        return Change(desired.name, "unchanged")
    await client.update_automation(found.id, _complete(desired, enabled=found.enabled))
    return Change(desired.name, "changed")


async def _delete(client: PrefectClient, automations: Iterable[Installed]) -> list[Change]:
    changes = []
    for automation in automations:
        await client.delete_automation(automation.id)
        changes.append(Change(automation.name, "removed"))
    return changes


def _compared(automation: AutomationCore) -> dict[str, Any]:
    """Return what two equal automations share; whether one is switched on is for people to say."""
    return AutomationCore.model_validate(automation.model_dump()).model_dump(include=set(COMPARED))


def _complete(automation: Automation, *, enabled: bool) -> AutomationCore:
    """Return it with every field set but its owner's: an update sends only what is set, and may not send that."""
    fields = automation.model_dump(exclude={"id", "owner_resource"})
    return AutomationCore.model_validate({**fields, "enabled": enabled})


async def _no_such_block(client: PrefectClient, slug: str, name: str) -> str:
    try:
        await client.read_block_type_by_slug(slug)
        make = f"`prefect block create {slug}` prints the page of the UI that makes one"
    except ObjectNotFound:
        make = f"there is no block type {slug} either: `prefect block type ls` lists the types, such as slack-webhook"
    return f"There is no block {slug}/{name} on {client.api_url}: {make}. {await _which_there_are(client)}"


async def _which_there_are(client: PrefectClient) -> str:
    blocks = [block for block in await client.read_block_documents(include_secrets=False) if _notifies(block)]
    names = sorted(f"{block.block_type.slug}/{block.name}" for block in blocks if block.block_type)
    return f"Notification blocks there: {', '.join(names) or 'none'}."


def _notifies(block: BlockDocument) -> bool:
    return block.block_schema is not None and NOTIFY in block.block_schema.capabilities


async def _install(client: PrefectClient, options: argparse.Namespace) -> tuple[str, ...]:
    alerting = Alerting(
        blocks=tuple([await find_block(client, block) for block in options.block]),
        kinds=(frozenset(NAMES) - set(OPTIONAL) | set(options.also)) - set(options.without),
        work_pool=options.work_pool,
        tags=tuple(options.tag),
        window_wait=timedelta(days=options.window_days),
        heartbeat=timedelta(seconds=options.heartbeat_seconds),
    )
    changes = await install(client, automations(alerting))
    changed = sum(change.what != "unchanged" for change in changes)
    return (*(str(change) for change in changes), f"{changed or 'nothing'} changed on {client.api_url}")


async def _list(client: PrefectClient, _options: argparse.Namespace) -> tuple[str, ...]:
    lines = [
        f"{'on ' if each.enabled else 'off'}  {each.name:<40} {each.description}" for each in await installed(client)
    ]
    return tuple(lines) or (f"none on {client.api_url}",)


async def _remove(client: PrefectClient, _options: argparse.Namespace) -> tuple[str, ...]:
    return tuple(str(change) for change in await remove(client)) or (f"none on {client.api_url}",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status: 0, or 1 with one line on what is wrong."""
    options = _options(arguments)
    try:
        lines = asyncio.run(_on_the_server(options))
    except NotInstalled as error:
        sys.stderr.write(f"automations: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


async def _on_the_server(options: argparse.Namespace) -> tuple[str, ...]:
    url = get_current_settings().api.url
    if not url:
        raise NotInstalled("no Prefect server is configured: set PREFECT_API_URL, as http://prefect.example:4200/api")
    try:
        async with get_client() as client:
            lines: tuple[str, ...] = await options.action(client, options)
            return lines
    except (httpx.HTTPError, RuntimeError) as error:
        said = str(error)[:LONGEST_ERROR]
        raise NotInstalled(f"{url} did not do as asked, and may have done a part: {said}. Start this again") from error


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.automations", description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(required=True)
    adding = actions.add_parser("install", help="have them on the server, as the options say, and no others")
    adding.set_defaults(action=_install)
    add = adding.add_argument
    blocks = "type-slug/name of a notification block; may be repeated"
    add("--block", action="append", required=True, type=_block, help=blocks)
    add("--tag", action="append", default=[], help="only runs with this tag, or with one of these")
    add("--window-days", type=_days, default=1.0, help="a wait for a window is told after so many days (default: 1)")
    add("--work-pool", default="kkp-migrations", help="(default: kkp-migrations)")
    pulse = f"PREFECT_FLOWS_HEARTBEAT_FREQUENCY of the workers; after three of them, {HEARTBEAT_LOST} ends a silent run"
    add("--heartbeat-seconds", type=_heartbeat, default=180, help=f"{pulse} (default: 180, which is Prefect's)")
    add("--also", action="append", default=[], choices=OPTIONAL, help="what is not told unless asked for")
    add("--without", action="append", default=[], choices=NAMES, help="what is not wanted")
    actions.add_parser("list", help="show those on the server").set_defaults(action=_list)
    actions.add_parser("remove", help="take them all off the server").set_defaults(action=_remove)
    return parser.parse_args(arguments)


def _block(text: str) -> str:
    slug, _, name = text.partition("/")
    if not (slug and name):
        raise argparse.ArgumentTypeError(f"{text} is not type-slug/name, as in slack-webhook/operations")
    return text


def _days(text: str) -> float:
    days = float(text)
    if days < LEAST_WAIT_DAYS:
        raise argparse.ArgumentTypeError("Prefect waits for ten seconds at least")
    return days


def _heartbeat(text: str) -> int:
    seconds = int(text)
    if seconds < LEAST_HEARTBEAT_SECONDS:
        raise argparse.ArgumentTypeError("Prefect gives a sign of life every 30 s at most")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
