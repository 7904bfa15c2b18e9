"""Canal's objects in a user cluster: which there are, their backup, and their removal. Source: docs/platform.md 6.1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from clusters.api import KubeApi
from clusters.backups import load_backup, portable, store_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICE_ACCOUNTS,
    Kind,
)
from clusters.seed import OpenedCluster
from clusters.steps.result import StepResult, already, changed
from clusters.watching import Live, watching
from migration.errors import Conflict, OperatorActionNeeded
from migration.models import CniType

# KKP 2.31, pkg/controller/seed-controller-manager/addon: every object of an addon carries this label, its pods don't.
CANAL_LABEL: Final = "kubermatic-addon=canal"
CALICO_GROUPS: Final = ("crd.projectcalico.org", "policy.networking.k8s.io")

# Workloads first, so that nothing runs without its rights; then configuration, rights and accounts.
CANAL_KINDS: Final = (
    (DAEMON_SETS, "DaemonSet"),
    (DEPLOYMENTS, "Deployment"),
    (POD_DISRUPTION_BUDGETS, "PodDisruptionBudget"),
    (NETWORK_POLICIES, "NetworkPolicy"),
    (CONFIG_MAPS, "ConfigMap"),
    (CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding"),
    (CLUSTER_ROLES, "ClusterRole"),
    (SERVICE_ACCOUNTS, "ServiceAccount"),
)
_POLICY_KINDS: Final = frozenset(
    {
        "networkpolicies",
        "globalnetworkpolicies",
        "stagednetworkpolicies",
        "stagedglobalnetworkpolicies",
        "stagedkubernetesnetworkpolicies",
        "adminnetworkpolicies",
        "baselineadminnetworkpolicies",
    }
)


async def calico_policies(api: KubeApi) -> list[str]:
    """Return the policies that only Calico reads, as `kind namespace/name`."""
    found = await calico_objects(api, plurals=_POLICY_KINDS)
    return [f"{item['kind']} {_place(item)}" for item in found]


async def calico_objects(api: KubeApi, *, plurals: frozenset[str] | None = None) -> list[dict[str, Any]]:
    """Return every custom resource of Calico and of AdminNetworkPolicy, ready to be applied again."""
    definitions = await api.list(CUSTOM_RESOURCE_DEFINITIONS)
    wanted = [
        definition
        for definition in definitions
        if definition["spec"]["group"] in CALICO_GROUPS
        and (plurals is None or definition["spec"]["names"]["plural"] in plurals)
    ]
    groups = await asyncio.gather(*(_instances(api, definition) for definition in wanted))
    return [item for group in groups for item in group]


async def back_up_canal(opened: OpenedCluster, migration_id: str) -> StepResult:
    """Leave backups of what Canal's removal could lose in Secrets beside the journal, read back and compared."""
    migration = await read_migration(opened.api, migration_id)
    if migration.backup("canal") and migration.backup("calico"):
        return already("the backups were taken before")
    canal, calico = await asyncio.gather(canal_objects(opened.api), calico_objects(opened.api))
    for name, objects in (("canal", canal), ("calico", calico)):
        backup = await store_backup(opened.api, objects, migration_id=migration_id, name=name)
        await change_migration(opened.api, migration_id, lambda found, backup=backup: found.with_backup(backup))  # type: ignore[misc]
    return changed(f"{len(canal)} objects of Canal and {len(calico)} Calico resources backed up and compared")


async def canal_objects(api: KubeApi) -> list[dict[str, Any]]:
    """Return the objects of the Canal addon, ready to be applied again."""
    found = []
    for kind, name in CANAL_KINDS:
        api_version = f"{kind.group}/{kind.version}" if kind.group else kind.version
        found += [
            portable(item, api_version=api_version, kind=name) for item in await api.list(kind, labels=CANAL_LABEL)
        ]
    return found


async def remove_canal(
    opened: OpenedCluster, migration_id: str, *, remove_crds: bool, deadline: timedelta
) -> StepResult:
    """Leave nothing of Canal in the cluster, its CustomResourceDefinitions apart unless asked for.

    Refuses with OperatorActionNeeded unless Cilium is the cluster's CNI and the backup is intact.
    """
    cluster = await opened.seed.cluster(opened.ref.name)
    if cluster.cni.type is not CniType.CILIUM:
        raise OperatorActionNeeded(
            f"Cluster {cluster.name} is on {cluster.cni}: Canal is not removed while it is the cluster's CNI"
        )
    await _require_backups(opened, migration_id)
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


async def _require_backups(opened: OpenedCluster, migration_id: str) -> None:
    migration = await read_migration(opened.api, migration_id)
    for name in ("canal", "calico"):
        backup = migration.backup(name)
        if backup is None:
            raise OperatorActionNeeded(
                f"migration {migration_id} has no backup {name!r}: Canal is not removed without one"
            )
        await load_backup(opened.api, backup)


async def _remove_kind(opened: OpenedCluster, kind: Kind) -> int:
    removed = 0
    for item in await opened.api.list(kind, labels=CANAL_LABEL):
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
    lives = [Live(opened.api, kind, _place, labels=CANAL_LABEL) for kind in kinds]
    pods = [
        Live(opened.api, PODS, _place, namespace="kube-system", labels=f"k8s-app={name}")
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


async def _instances(api: KubeApi, definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    spec = definition["spec"]
    version = next((entry["name"] for entry in spec["versions"] if entry.get("storage")), spec["versions"][0]["name"])
    kind = Kind(spec["group"], version, spec["names"]["plural"], namespaced=spec["scope"] == "Namespaced", custom=True)
    api_version = f"{kind.group}/{version}"
    return [portable(item, api_version=api_version, kind=spec["names"]["kind"]) for item in await api.list(kind)]


def _place(found: Mapping[str, Any]) -> str:
    metadata = found["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}".lstrip("/")
