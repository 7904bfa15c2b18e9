"""Looking, for the readiness check, how the old CNI was installed and what a manifest would have removed."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from clusters.api import KubeApi
from clusters.kinds import DAEMON_SETS, DEPLOYMENTS, Kind
from clusters.manifests import shown
from clusters.seed import OpenedCluster
from clusters.steps.cilium import RELEASE
from clusters.steps.manifest_removal import planned_removal, read_plan
from migration.errors import Forbidden, InvalidRequest, Unreachable
from migration.manifest_findings import ManifestFacts, OldCniFacts
from migration.models import CniType
from migration.removal_plans import ADDON_LABEL, NAMESPACE, RELEASE_ANNOTATION

# docs/platform.md 6.1, 6.3. Only agents and operators: what else there is goes with them or waits for them.
_WORKLOADS: Final[dict[CniType, tuple[tuple[Kind, str, str], ...]]] = {
    CniType.CANAL: ((DAEMON_SETS, "DaemonSet", "canal"), (DEPLOYMENTS, "Deployment", "calico-kube-controllers")),
    CniType.CILIUM: ((DAEMON_SETS, "DaemonSet", "cilium"), (DEPLOYMENTS, "Deployment", "cilium-operator")),
    CniType.NONE: (),
}


async def look_up_old_cni(opened: OpenedCluster, *, old_cni: CniType, manifest: str, remove_crds: bool) -> OldCniFacts:
    """Return how the CNI that is to go was installed, and what the manifest, if one is named, would have removed."""
    unlabelled = await unlabelled_workloads(opened.api, old_cni)
    if not manifest:
        return OldCniFacts(old_cni=old_cni, unlabelled=unlabelled)
    facts = await look_up_manifest(opened, manifest, old_cni=old_cni, remove_crds=remove_crds)
    return OldCniFacts(old_cni=old_cni, unlabelled=unlabelled, manifest=facts)


async def look_up_manifest(opened: OpenedCluster, source: str, *, old_cni: CniType, remove_crds: bool) -> ManifestFacts:
    """Return what a manifest would have removed in this cluster, or why it can't be used. Changes nothing."""
    try:
        plan = await read_plan(source, old_cni=old_cni)
    except (InvalidRequest, Unreachable) as error:
        return ManifestFacts(source=shown(source), problem=str(error))
    try:
        planned = await planned_removal(opened, plan, remove_crds=remove_crds)
    except Forbidden as error:
        # Which kinds have to be listed only the manifest tells, so no table of rights has them.
        return ManifestFacts(source=shown(source), problem=f"what it names can't be looked up: {error}")
    return ManifestFacts(
        source=shown(source),
        objects=tuple(str(present.what) for present in planned.objects),
        left=planned.findings,
        workloads_left=planned.workloads_left,
    )


async def unlabelled_workloads(api: KubeApi, old_cni: CniType) -> tuple[str, ...]:
    """Return the CNI's workloads that KKP didn't install, as `Kind namespace/name`."""
    workloads = _WORKLOADS[old_cni]
    looked = await asyncio.gather(*(api.find_listed(kind, name, namespace=NAMESPACE) for kind, _, name in workloads))
    return tuple(
        f"{kind} {NAMESPACE}/{name}"
        for (_, kind, name), found in zip(workloads, looked, strict=True)
        if found is not None and not _is_of_kkp(found, old_cni)
    )


def _is_of_kkp(found: Any, cni: CniType) -> bool:
    metadata = found["metadata"]
    by_addon = (metadata.get("labels") or {}).get(ADDON_LABEL) == cni
    return by_addon or (metadata.get("annotations") or {}).get(RELEASE_ANNOTATION) == RELEASE
