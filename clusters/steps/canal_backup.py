"""Backups of what Canal's removal could lose: its own objects, and the resources that only Calico reads."""

from __future__ import annotations

from typing import Any, Final

from clusters.api import KubeApi
from clusters.backups import load_backup, store_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import CUSTOM_RESOURCE_DEFINITIONS, DAEMON_SETS
from clusters.seed import OpenedCluster
from clusters.steps.canal_inventory import CALICO_GROUPS, calico_objects, canal_objects, labelled_canal, place_of
from clusters.steps.result import StepResult, already, recorded
from migration.errors import OperatorActionNeeded
from migration.journal import Migration

CANAL: Final = "canal"
CALICO: Final = "calico"


async def back_up_canal(opened: OpenedCluster, migration_id: str) -> StepResult:
    """Leave the backups in Secrets beside the journal, read back and compared."""
    migration = await read_migration(opened.api, migration_id)
    if migration.backup(CANAL) and migration.backup(CALICO):
        return already("the backups were taken before")
    canal = await _take(opened, migration_id, CANAL, await canal_objects(opened.api))
    calico = await _take(opened, migration_id, CALICO, await calico_objects(opened.api))
    return recorded(f"{canal} objects of Canal and {calico} Calico resources backed up and compared")


async def secure_backups(opened: OpenedCluster, migration_id: str, *, refresh: bool) -> None:
    """Leave both backups intact. One that was lost or damaged is taken anew as long as everything is still there.

    `refresh` adds what was made since to the Calico resources, for their definitions are about to be deleted.
    Raises OperatorActionNeeded if something was removed already and its backup is no good.
    """
    migration = await read_migration(opened.api, migration_id)
    canal, calico = await _intact(opened.api, migration, CANAL), await _intact(opened.api, migration, CALICO)
    if canal is None:
        if not await labelled_canal(opened.api, DAEMON_SETS):
            raise _too_late(migration_id, CANAL)
        await _take(opened, migration_id, CANAL, await canal_objects(opened.api))
    if calico is None and not await _are_defined(opened.api):
        raise _too_late(migration_id, CALICO)
    if calico is None or refresh:
        await _take(opened, migration_id, CALICO, _merged(calico or [], await calico_objects(opened.api)))


async def _take(opened: OpenedCluster, migration_id: str, name: str, objects: list[dict[str, Any]]) -> int:
    backup = await store_backup(opened.api, objects, migration_id=migration_id, name=name)
    await change_migration(opened.api, migration_id, lambda found: found.with_backup(backup))
    return len(objects)


async def _intact(api: KubeApi, migration: Migration, name: str) -> list[dict[str, Any]] | None:
    stored = migration.backup(name)
    if stored is None:
        return None
    try:
        return await load_backup(api, stored)
    except OperatorActionNeeded:
        return None


async def _are_defined(api: KubeApi) -> bool:
    definitions = await api.list(CUSTOM_RESOURCE_DEFINITIONS)
    return any(definition["spec"]["group"] in CALICO_GROUPS for definition in definitions)


def _merged(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what is there now and what was there before: a removal that was cut short must not shrink the backup."""
    return list({(item["kind"], place_of(item)): item for item in [*before, *now]}.values())


def _too_late(migration_id: str, name: str) -> OperatorActionNeeded:
    return OperatorActionNeeded(
        f"the backup {name!r} of migration {migration_id} is missing or does not match its checksum, and what it held "
        "was removed in part already. Nothing more is removed: put its Secrets back from a copy, or finish by hand."
    )
