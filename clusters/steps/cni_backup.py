"""Backups of what the removal of a CNI could lose: its own objects, and the resources that only it reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from clusters.api import KubeApi
from clusters.backups import load_backup, portable, store_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import APPLICATION_INSTALLATIONS, DAEMON_SETS
from clusters.seed import OpenedCluster
from clusters.steps.addon_inventory import (
    CALICO_GROUPS,
    CILIUM_GROUPS,
    NAMESPACE,
    addon_objects,
    calico_objects,
    cilium_objects,
    labelled,
)
from clusters.steps.custom_resources import definitions_of, place_of
from clusters.steps.result import StepResult, already, recorded
from migration.errors import OperatorActionNeeded
from migration.journal import Migration
from migration.models import CniType

Objects = list[dict[str, Any]]

CALICO: Final = "calico"
CANAL: Final = "canal"
CILIUM: Final = "cilium"
CILIUM_RESOURCES: Final = "cilium-resources"
APPLICATION: Final = "cilium"


@dataclass(frozen=True)
class _Kept:
    """One backup: how its content is read, and whether what it holds is still all there to be read anew."""

    name: str
    what: str
    read: Callable[[KubeApi], Awaitable[Objects]]
    is_whole: Callable[[KubeApi], Awaitable[bool]]
    is_of_people: bool
    """Whether people wrote it, so that it may have grown since."""


async def back_up(opened: OpenedCluster, migration_id: str) -> StepResult:
    """Leave the backups of the CNI that is to go in Secrets beside the journal, read back and compared."""
    migration = await read_migration(opened.api, migration_id)
    kept = _KEPT[migration.old_cni] if migration.old_cni else ()
    if all(migration.backup(found.name) for found in kept):
        return already("the backups were taken before" if kept else "nothing is removed")
    counts = [
        f"{await take_backup(opened, migration_id, found.name, await found.read(opened.api))} {found.what}"
        for found in kept
    ]
    return recorded(f"{' and '.join(counts)} backed up and compared")


async def secure_backups(opened: OpenedCluster, migration: Migration, *, refresh: bool) -> None:
    """Leave every backup intact. One that was lost or damaged is taken anew as long as everything is still there.

    `refresh` adds what people made since, for the definitions are about to be deleted. Raises OperatorActionNeeded if
    something was removed already and its backup is no good.
    """
    for kept in _KEPT[migration.old_cni] if migration.old_cni else ():
        before = await intact_backup(opened.api, migration, kept.name)
        if before is None and not await kept.is_whole(opened.api):
            raise too_late(migration.id, kept.name)
        if before is None or (refresh and kept.is_of_people):
            objects = merged(before or [], await kept.read(opened.api))
            await take_backup(opened, migration.id, kept.name, objects)


def installed_values(objects: Objects) -> dict[str, Any] | None:
    """Return the Helm values with which Cilium was installed, by its backup; None if it was no application."""
    for found in objects:
        if found["kind"] == "ApplicationInstallation":
            return helm_values(found["spec"])
    return None


def helm_values(spec: Any) -> dict[str, Any]:
    """Return an ApplicationInstallation's values. Raises OperatorActionNeeded if they are no YAML mapping."""
    if not spec.get("valuesBlock"):
        return dict(spec.get("values") or {})
    try:
        values = yaml.safe_load(spec["valuesBlock"])
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict):
        raise OperatorActionNeeded(
            f"the valuesBlock of ApplicationInstallation {NAMESPACE}/{APPLICATION} is no YAML mapping: mend it first"
        )
    return values


async def take_backup(opened: OpenedCluster, migration_id: str, name: str, objects: Objects) -> int:
    """Leave these objects in a backup that the journal knows, read back and compared; returns how many."""
    backup = await store_backup(opened.api, objects, migration_id=migration_id, name=name)
    await change_migration(opened.api, migration_id, lambda found: found.with_backup(backup))
    return len(objects)


async def intact_backup(api: KubeApi, migration: Migration, name: str) -> Objects | None:
    """Return what is in a backup, None if there is none or it is no good any more."""
    stored = migration.backup(name)
    if stored is None:
        return None
    try:
        return await load_backup(api, stored)
    except OperatorActionNeeded:
        return None


async def _installation(api: KubeApi) -> Objects:
    """Return what Cilium was installed from: the ApplicationInstallation, or the objects of the addon."""
    found = await api.find(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE)
    kind = APPLICATION_INSTALLATIONS
    installation = [] if found is None else [_application(found, f"{kind.group}/{kind.version}")]
    return [*installation, *await addon_objects(api, CILIUM)]


def _application(found: Any, api_version: str) -> dict[str, Any]:
    body = portable(found, api_version=api_version, kind="ApplicationInstallation")
    body["metadata"].pop("finalizers", None)
    return body


async def _is_installed(api: KubeApi) -> bool:
    if await labelled(api, DAEMON_SETS, CILIUM):
        return True
    return await api.find(APPLICATION_INSTALLATIONS, APPLICATION, namespace=NAMESPACE) is not None


_KEPT: Final = {
    CniType.CANAL: (
        _Kept(
            CANAL,
            "objects of Canal",
            lambda api: addon_objects(api, CANAL),
            lambda api: _any(labelled(api, DAEMON_SETS, CANAL)),
            is_of_people=False,
        ),
        _Kept(
            CALICO,
            "Calico resources",
            calico_objects,
            lambda api: _any(definitions_of(api, CALICO_GROUPS)),
            is_of_people=True,
        ),
    ),
    CniType.CILIUM: (
        _Kept(CILIUM, "objects that install Cilium", _installation, _is_installed, is_of_people=False),
        _Kept(
            CILIUM_RESOURCES,
            "Cilium resources",
            cilium_objects,
            lambda api: _any(definitions_of(api, CILIUM_GROUPS)),
            is_of_people=True,
        ),
    ),
}


async def _any(found: Awaitable[list[Any]]) -> bool:
    return bool(await found)


def merged(before: Objects, now: Objects) -> Objects:
    """Return what is there now and what was there before: a removal that was cut short must not shrink the backup."""
    return list({(item["kind"], place_of(item)): item for item in [*before, *now]}.values())


def too_late(migration_id: str, name: str) -> OperatorActionNeeded:
    """Return the error for a backup that is no good, when it can't be taken anew any more."""
    return OperatorActionNeeded(
        f"the backup {name!r} of migration {migration_id} is missing or does not match its checksum, and what it held "
        "was removed in part already. Nothing more is removed: put its Secrets back from a copy, or finish by hand."
    )
