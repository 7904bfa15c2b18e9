"""Taking out of a user cluster what a KKP addon left behind: its objects by their label, each by its uid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from clusters.journal import read_migration
from clusters.kinds import CUSTOM_RESOURCE_DEFINITIONS, PODS, Kind
from clusters.seed import OpenedCluster
from clusters.steps.addon_inventory import ADDON_KINDS, NAMESPACE, addon_label, labelled, namespace_of
from clusters.steps.cni_backup import CANAL, secure_backups
from clusters.steps.custom_resources import place_of
from clusters.steps.manifest_removal import Removal, read_plan, remove_by_manifest
from clusters.steps.result import StepResult, already, changed
from clusters.watching import Live, watching
from migration.errors import Conflict, OperatorActionNeeded
from migration.models import CniType

_CANAL_PODS = ("canal", "calico-kube-controllers")


async def remove_canal(
    opened: OpenedCluster, migration_id: str, *, remove_crds: bool, deadline: timedelta, manifest: str = ""
) -> StepResult:
    """Leave nothing of Canal in the cluster, its CustomResourceDefinitions apart unless asked for.

    `manifest` is a file or URL that names what carries no label of KKP; what of it stays is among the findings.
    Refuses with OperatorActionNeeded unless Cilium is the cluster's CNI and the backups are intact or can be renewed.
    """
    cluster = await opened.seed.cluster(opened.ref.name)
    if cluster.cni.type is not CniType.CILIUM:
        raise OperatorActionNeeded(
            f"Cluster {cluster.name} is on {cluster.cni}: Canal is not removed while it is the cluster's CNI. "
            "Somebody changed it back: start the flow again to switch it to Cilium, or leave it as it is"
        )
    plan = await read_plan(manifest, old_cni=CniType.CANAL) if manifest else None
    await secure_backups(opened, await read_migration(opened.api, migration_id), refresh=remove_crds)
    by_manifest = Removal()
    if plan is not None:
        # First, for what has no label has pods as well, and those are waited for below.
        by_manifest = await remove_by_manifest(
            opened, migration_id, plan, remove_crds=remove_crds, pods=_CANAL_PODS, deadline=deadline
        )
    removed = await remove_addon(opened, CANAL, pods=_CANAL_PODS, remove_crds=remove_crds, deadline=deadline)
    removed += by_manifest.removed
    if not removed:
        return replace(already("nothing of Canal was left"), findings=by_manifest.findings)
    kept = "" if remove_crds else "; its CustomResourceDefinitions stay"
    return replace(changed(f"{removed} objects of Canal removed{kept}"), findings=by_manifest.findings)


async def remove_addon(
    opened: OpenedCluster, addon: str, *, pods: Sequence[str], remove_crds: bool, deadline: timedelta
) -> int:
    """Leave no object of an addon, and none of the pods that carry `k8s-app` with one of these values."""
    kinds = [kind for kind, _ in ADDON_KINDS] + ([CUSTOM_RESOURCE_DEFINITIONS] if remove_crds else [])
    removed = 0
    for kind in kinds:
        removed += await _remove_kind(opened, kind, addon)
    await _confirm_gone(opened, addon, kinds, pods=pods, deadline=deadline)
    return removed


async def _remove_kind(opened: OpenedCluster, kind: Kind, addon: str) -> int:
    removed = 0
    for item in await labelled(opened.api, kind, addon):
        metadata = item["metadata"]
        try:
            removed += await opened.api.delete(
                kind, metadata["name"], namespace=metadata.get("namespace", ""), uid=metadata["uid"]
            )
        except Conflict:
            continue  # replaced by somebody since it was listed: the confirmation shows whether that is the addon's
    return removed


async def _confirm_gone(
    opened: OpenedCluster, addon: str, kinds: Sequence[Kind], *, pods: Sequence[str], deadline: timedelta
) -> None:
    lives = [
        Live(opened.api, kind, place_of, namespace=namespace_of(kind), labels=addon_label(addon)) for kind in kinds
    ]
    lives += [Live(opened.api, PODS, place_of, namespace=NAMESPACE, labels=f"k8s-app={name}") for name in pods]

    most = 0

    def missing() -> str | None:
        nonlocal most
        left = [f"{live.kind.plural} {place.strip('/')}" for live in lives for place in live.values()]
        name, most = addon.capitalize(), max(most, len(left))
        opened.progress(most - len(left), most, f"of {name}'s objects and pods gone")
        return f"{len(left)} objects of {name} to go ({', '.join(sorted(left)[:3])})" if left else None

    async with watching(*lives) as view:
        await view.until(
            missing,
            what=f"{addon.capitalize()}'s objects to go",
            deadline=deadline,
            tell=opened.tell,
            advice="Something keeps or re-creates them: look at their finalizers and at the cluster's addons.",
        )
