"""Nodes that no MachineDeployment replaces: named for a person to reboot, and watched until each was.

Source: docs/platform.md 7.4; the guide's alternative to a rotation is to reboot the nodes by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from clusters import narrowing
from clusters.journal import change_migration, read_migration
from clusters.kinds import NODES
from clusters.seed import OpenedCluster
from clusters.steps.result import StepResult, already, confirmed
from clusters.steps.survey import list_nodes
from clusters.watching import Live, watching, with_faults
from migration.errors import DeadlineExceeded, OperatorActionNeeded
from migration.facts import NodeFacts
from migration.journal import Migration
from migration.models import CniType
from migration.text import listing

# What Cilium's agents leave where they could not take it along (docs/platform.md 5.2).
CILIUM_FILE: Final = "/etc/cni/net.d/05-cilium.conflist"


async def await_reboots(opened: OpenedCluster, migration_id: str, *, deadline: timedelta) -> StepResult:
    """Return once every node that no MachineDeployment owns was rebooted, or is gone.

    Raises OperatorActionNeeded with the nodes and what to do there when the deadline ends; a later run waits on.
    """
    migration = await _remember(opened, migration_id)
    if not migration.boot_ids:
        return already("a MachineDeployment owns every node")
    nodes = Live(opened.api, NODES, narrowing.node)

    def missing() -> str | None:
        left = not_rebooted(nodes.values(), migration.boot_ids)
        return with_faults(f"{len(left)} nodes to be rebooted by hand ({listing(left)})", nodes) if left else None

    async with watching(nodes) as view:
        await view.listed()
        if left := not_rebooted(nodes.values(), migration.boot_ids):
            opened.tell(_instruction(migration, left))
        try:
            await view.until(missing, what="nodes to be rebooted", deadline=deadline, tell=opened.tell)
        except DeadlineExceeded as error:
            left = not_rebooted(nodes.values(), migration.boot_ids)
            raise OperatorActionNeeded(f"{_instruction(migration, left)} Then start the flow again.") from error
    count = len(migration.boot_ids)
    return replace(confirmed(f"{count} nodes were rebooted or are gone"), count=count)


def not_rebooted(nodes: tuple[NodeFacts, ...], boot_ids: Mapping[str, str]) -> list[str]:
    """Return the nodes that still run the boot they had before, or have not come back from the next."""
    return sorted(
        node.name
        for node in nodes
        if not node.deleting and node.name in boot_ids and (node.boot_id == boot_ids[node.name] or not node.ready)
    )


async def _remember(opened: OpenedCluster, migration_id: str) -> Migration:
    """Record the boots of those nodes, once: a repeat must not take the boot after for the one before."""
    migration = await read_migration(opened.api, migration_id)
    if migration.boot_ids:
        return migration
    boots = {node.name: node.boot_id for node in await list_nodes(opened.api) if not node.owned_by_machine}

    def record(found: Migration) -> Migration:
        return found if found.boot_ids else found.model_copy(update={"boot_ids": boots})

    return await change_migration(opened.api, migration_id, record)


def _instruction(migration: Migration, left: list[str]) -> str:
    what = "drain it, reboot it, and uncordon it"
    if migration.old_cni is CniType.CILIUM:
        what = f"drain it, remove {CILIUM_FILE} if it is there, reboot it, and uncordon it"
    names = ", ".join(left)
    return (
        f"No MachineDeployment owns {len(left)} nodes, so they have to be rebooted by hand ({names}): each one, {what}."
    )
