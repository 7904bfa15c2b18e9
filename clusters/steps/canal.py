"""Taking Canal out of a user cluster, once Cilium carries its pods. Source: docs/platform.md 6.1."""

from __future__ import annotations

from datetime import timedelta

from clusters.kinds import CUSTOM_RESOURCE_DEFINITIONS, PODS, Kind
from clusters.seed import OpenedCluster
from clusters.steps.canal_backup import secure_backups
from clusters.steps.canal_inventory import (
    CANAL_KINDS,
    CANAL_LABEL,
    NAMESPACE,
    labelled_canal,
    namespace_of,
    place_of,
)
from clusters.steps.result import StepResult, already, changed
from clusters.watching import Live, watching
from migration.errors import Conflict, OperatorActionNeeded
from migration.models import CniType


async def remove_canal(
    opened: OpenedCluster, migration_id: str, *, remove_crds: bool, deadline: timedelta
) -> StepResult:
    """Leave nothing of Canal in the cluster, its CustomResourceDefinitions apart unless asked for.

    Refuses with OperatorActionNeeded unless Cilium is the cluster's CNI and the backups are intact or can be renewed.
    """
    cluster = await opened.seed.cluster(opened.ref.name)
    if cluster.cni.type is not CniType.CILIUM:
        raise OperatorActionNeeded(
            f"Cluster {cluster.name} is on {cluster.cni}: Canal is not removed while it is the cluster's CNI. "
            "Somebody changed it back: start the flow again to switch it to Cilium, or leave it as it is"
        )
    await secure_backups(opened, migration_id, refresh=remove_crds)
    removed = 0
    for kind, _ in CANAL_KINDS:
        removed += await _remove_kind(opened, kind)
    if remove_crds:
        removed += await _remove_kind(opened, CUSTOM_RESOURCE_DEFINITIONS)
    await _confirm_gone(opened, remove_crds=remove_crds, deadline=deadline)
    if not removed:
        return already("nothing labelled kubermatic-addon=canal was left")
    return changed(
        f"{removed} objects of Canal removed" + ("" if remove_crds else "; its CustomResourceDefinitions stay")
    )


async def _remove_kind(opened: OpenedCluster, kind: Kind) -> int:
    removed = 0
    for item in await labelled_canal(opened.api, kind):
        metadata = item["metadata"]
        try:
            removed += await opened.api.delete(
                kind, metadata["name"], namespace=metadata.get("namespace", ""), uid=metadata["uid"]
            )
        except Conflict:
            continue  # replaced by somebody since it was listed: the confirmation shows whether that is Canal again
    return removed


async def _confirm_gone(opened: OpenedCluster, *, remove_crds: bool, deadline: timedelta) -> None:
    kinds = [kind for kind, _ in CANAL_KINDS] + ([CUSTOM_RESOURCE_DEFINITIONS] if remove_crds else [])
    lives = [Live(opened.api, kind, place_of, namespace=namespace_of(kind), labels=CANAL_LABEL) for kind in kinds]
    pods = [
        Live(opened.api, PODS, place_of, namespace=NAMESPACE, labels=f"k8s-app={name}")
        for name in ("canal", "calico-kube-controllers")
    ]

    def missing() -> str | None:
        left = [f"{live.kind.plural} {place.strip('/')}" for live in (*lives, *pods) for place in live.values()]
        return f"{len(left)} objects of Canal to go ({', '.join(sorted(left)[:3])})" if left else None

    async with watching(*lives, *pods) as view:
        await view.until(
            missing,
            what="Canal's objects to go",
            deadline=deadline,
            tell=opened.tell,
            advice="Something keeps or re-creates them: look at their finalizers and at the cluster's addons.",
        )
