"""Taking out what a manifest names of the old CNI, where no label of KKP's tells what belongs to it.

Refuses to remove what the manifest doesn't name, what belongs to somebody else, and definitions of which objects exist
(migration/removal_plans.py has the rules).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from clusters.api import KubeApi
from clusters.backups import portable
from clusters.discovery import served_kinds
from clusters.journal import read_migration
from clusters.kinds import CUSTOM_RESOURCE_DEFINITIONS, PODS, SECRETS, Kind
from clusters.manifests import read_manifest, shown
from clusters.seed import OpenedCluster
from clusters.steps.cni_backup import intact_backup, merged, take_backup, too_late
from clusters.steps.custom_resources import kind_of, place_of
from clusters.watching import Live, watching, with_faults
from migration.errors import Conflict, Forbidden, NotFound, OperatorActionNeeded
from migration.manifests import Manifested, parse_manifest
from migration.models import CniType, Finding
from migration.removal_plans import GROUPS, NAMESPACE, RemovalPlan, another_owner, left_behind, removal_plan
from migration.text import listing

MANIFEST: Final = "manifest"
"""Name of the backup."""
LOOKS_AT_A_TIME: Final = 16
_HAS_OBJECTS: Final = "there are objects of it, which would go along"


@dataclass(frozen=True)
class Present:
    """An object that a manifest names, as it is in the cluster."""

    what: Manifested
    kind: Kind
    found: Any

    @property
    def namespace(self) -> str:
        """Where it is; empty without a namespace."""
        return self.what.namespace

    @property
    def portable(self) -> dict[str, Any]:
        """The object, ready to be applied again."""
        group, version = self.kind.group, self.kind.version
        return portable(self.found, api_version=f"{group}/{version}" if group else version, kind=self.what.kind)


@dataclass(frozen=True)
class PlannedRemoval:
    """What is there of what a manifest names: what is to be removed, in this order, and what stays for which reason."""

    objects: tuple[Present, ...]
    findings: tuple[Finding, ...]
    workloads_left: tuple[str, ...] = ()
    """Agents and operators among what stays: with them the CNI would run on, without its rights."""


@dataclass(frozen=True)
class Removal:
    """What was removed by a manifest, and what stays."""

    removed: int = 0
    findings: tuple[Finding, ...] = ()


async def read_plan(source: str, *, old_cni: CniType) -> RemovalPlan:
    """Return what a manifest would have removed. Raises InvalidRequest if it can't be used, Unreachable."""
    text, name = await read_manifest(source), shown(source)
    # In a thread: what may be megabytes of YAML would hold up everything else.
    manifested = await asyncio.to_thread(parse_manifest, text, source=name)
    return removal_plan(manifested, old_cni=old_cni, source=name)


async def planned_removal(opened: OpenedCluster, plan: RemovalPlan, *, remove_crds: bool) -> PlannedRemoval:
    """Return what of the plan is really there."""
    kinds = await served_kinds(opened.api, GROUPS)
    wanted = [(what, kinds[what.group, what.kind]) for what in plan.objects if (what.group, what.kind) in kinds]
    if remove_crds:
        wanted += [(what, CUSTOM_RESOURCE_DEFINITIONS) for what in plan.definitions]
    slots = asyncio.Semaphore(LOOKS_AT_A_TIME)

    async def look(what: Manifested, kind: Kind) -> tuple[Present, str | None] | None:
        async with slots:
            found = await opened.api.find_listed(kind, what.name, namespace=what.namespace)
            if found is None:
                return None
            present = Present(what, kind, found)
            return present, await _why_it_stays(opened.api, present, plan.old_cni)

    looked = [seen for seen in await asyncio.gather(*(look(*each) for each in wanted)) if seen is not None]
    findings = [left_behind(refused.what, refused.reason) for refused in plan.refused]
    findings += [left_behind(present.what, reason) for present, reason in looked if reason is not None]
    return PlannedRemoval(
        tuple(present for present, reason in looked if reason is None),
        tuple(findings),
        tuple(f"{present.what} ({reason})" for present, reason in looked if reason and present.what.is_workload),
    )


async def remove_by_manifest(
    opened: OpenedCluster,
    migration_id: str,
    plan: RemovalPlan,
    *,
    remove_crds: bool,
    pods: Sequence[str],
    deadline: timedelta,
) -> Removal:
    """Leave nothing of what the plan names, and none of the pods that carry `k8s-app` with one of these values.

    What is removed is in the backup `manifest` before. Raises OperatorActionNeeded if that was lost, and something of
    it is removed already.
    """
    planned = await planned_removal(opened, plan, remove_crds=remove_crds)
    _require_workloads(planned)
    if not planned.objects:
        return Removal(findings=planned.findings)
    await _back_up(opened, migration_id, planned)
    removed, kept, findings = 0, [], list(planned.findings)
    for present in planned.objects:
        # Asked again, for an object may have been made since.
        if reason := await _why_it_stays(opened.api, present, plan.old_cni):
            kept.append(present)
            findings.append(left_behind(present.what, reason))
            continue
        removed += await _remove(opened.api, present)
    gone = [present for present in planned.objects if present not in kept]
    await _confirm_gone(opened, gone, pods=pods, deadline=deadline)
    return Removal(removed, tuple(findings))


def _require_workloads(planned: PlannedRemoval) -> None:
    if planned.workloads_left:
        raise OperatorActionNeeded(
            f"the manifest names {listing(planned.workloads_left)}: it is not removed, and so nothing else is. "
            "Remove it in the way in which it was installed, and start the flow again"
        )


async def _why_it_stays(api: KubeApi, present: Present, old_cni: CniType) -> str | None:
    metadata = present.found["metadata"]
    owners = [owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")]
    reason = another_owner(
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        controllers=[f"{owner['kind']} {owner['name']}" for owner in owners],
        old_cni=old_cni,
    )
    if reason is not None or present.kind != CUSTOM_RESOURCE_DEFINITIONS:
        return reason
    return await _why_definition_stays(api, present.found)


async def _why_definition_stays(api: KubeApi, definition: Any) -> str | None:
    if "deletionTimestamp" in definition["metadata"]:
        return None
    try:
        return None if await api.is_empty(kind_of(definition)) else _HAS_OBJECTS
    except (NotFound, Forbidden, OperatorActionNeeded):
        return "it can't be told whether there are objects of it"


async def _back_up(opened: OpenedCluster, migration_id: str, planned: PlannedRemoval) -> None:
    """Leave everything that is about to go in the backup, beside what an earlier try has taken and removed."""
    migration = await read_migration(opened.api, migration_id)
    before = await intact_backup(opened.api, migration, MANIFEST)
    if before is None and migration.backup(MANIFEST) is not None and not _is_whole(planned):
        raise too_late(migration_id, MANIFEST)
    now = [present.portable for present in planned.objects]
    objects = now if before is None else merged(before, now)
    if objects != before:
        await take_backup(opened, migration_id, MANIFEST, objects)


def _is_whole(planned: PlannedRemoval) -> bool:
    """Tell whether nothing can have been removed yet: DaemonSets go first."""
    return any(present.what.kind == "DaemonSet" for present in planned.objects)


async def _remove(api: KubeApi, present: Present) -> bool:
    metadata = present.found["metadata"]
    try:
        return await api.delete(present.kind, metadata["name"], namespace=present.namespace, uid=metadata["uid"])
    except Conflict:
        return False  # replaced by somebody since it was looked at: the confirmation shows that it is there


async def _confirm_gone(
    opened: OpenedCluster, removed: Sequence[Present], *, pods: Sequence[str], deadline: timedelta
) -> None:
    wanted = {(present.kind, place_of(present.found)) for present in removed}
    lives = [_live(opened.api, *each) for each in sorted({_scope(present) for present in removed}, key=str)]
    lives += [Live(opened.api, PODS, place_of, namespace=NAMESPACE, labels=f"k8s-app={name}") for name in pods]

    def missing() -> str | None:
        left = [
            f"{live.kind.plural} {place}"
            for live in lives
            for place in live.values()
            if live.kind == PODS or (live.kind, place) in wanted
        ]
        if not left:
            return None
        return with_faults(f"{len(left)} objects of the manifest to go ({listing(sorted(left))})", *lives)

    async with watching(*lives) as view:
        await view.until(
            missing,
            what="what the manifest names to go",
            deadline=deadline,
            tell=opened.tell,
            advice="Something keeps or re-creates them: look at their finalizers and at who owns them.",
        )


def _scope(present: Present) -> tuple[Kind, str, str]:
    """Return what is watched to see an object go: its kind in its namespace, but of Secrets the one alone."""
    return present.kind, present.namespace, present.what.name if present.kind == SECRETS else ""


def _live(api: KubeApi, kind: Kind, namespace: str, name: str) -> Live[str]:
    return Live(api, kind, place_of, namespace=namespace, fields=f"metadata.name={name}" if name else "")
