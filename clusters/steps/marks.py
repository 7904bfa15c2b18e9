"""Notes of what runs before a change, so that a later step can tell whether the platform has acted on it.

A rollout that KKP does by itself must not be done a second time, and one that it doesn't do must not be waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clusters.api import KubeApi
from clusters.journal import change_migration, read_migration
from clusters.kinds import DAEMON_SETS, DEPLOYMENTS, Kind
from clusters.seed import OpenedCluster
from migration.journal import Migration

NAMESPACE: Final = "kube-system"
# KKP 2.31, addons/kube-proxy/daemonset.yaml, since 2.30: it rolls the pods when the configuration changes.
CHECKSUM: Final = "checksum/config"
# Makes a DaemonSet or Deployment roll, as kubectl's `restartedAt` does; the value is the migration's id.
RESTARTED_FOR: Final = "cni-migration/restarted-for"

PROXY_MODE: Final = "proxy-mode"
"""The change of the kube-proxy mode, as a mark."""
REMOVAL: Final = "removal"
"""The preparation of Cilium's removal, as a mark."""
KUBE_PROXY: Final = "kube-proxy"
AGENTS: Final = "cilium"
OPERATOR: Final = "cilium-operator"
_MARKED: Final = ((DAEMON_SETS, KUBE_PROXY), (DAEMON_SETS, AGENTS), (DEPLOYMENTS, OPERATOR))
ABSENT: Final = "absent"


async def mark_workloads(opened: OpenedCluster, migration_id: str, *, before: str) -> None:
    """Leave in the journal what kube-proxy, Cilium's agents and operator are before a change, unless it is there."""
    migration = await read_migration(opened.api, migration_id)
    if any(key.startswith(f"{before}/") for key in migration.marks):
        return
    marks = {
        f"{before}/{name}": _mark(await opened.api.find(kind, name, namespace=NAMESPACE)) for kind, name in _MARKED
    }
    await record_marks(opened, migration_id, marks)


async def record_marks(opened: OpenedCluster, migration_id: str, marks: Mapping[str, str]) -> Migration:
    """Leave these marks in the journal; one that is there already stays as it was first."""
    return await change_migration(
        opened.api, migration_id, lambda found: found.model_copy(update={"marks": {**marks, **found.marks}})
    )


def has_rolled_since(found: Any, migration: Migration, change: str) -> bool:
    """Tell whether a DaemonSet's or Deployment's pods were asked to be others since it was marked before a change."""
    before = migration.marks.get(f"{change}/{found['metadata']['name']}", ABSENT)
    return before == ABSENT or before.partition(" ")[0] != found["metadata"]["uid"] or _template(found) != before


async def restart_workload(api: KubeApi, kind: Kind, name: str, migration_id: str, *, reason: str) -> bool:
    """Leave the pods of a DaemonSet or Deployment asked to be replaced, once per migration and reason."""
    found = await api.find(kind, name, namespace=NAMESPACE)
    if found is None:
        return False
    annotations = (found["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    value = f"{migration_id}.{reason}"
    if annotations.get(RESTARTED_FOR) == value:
        return False
    patch = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_FOR: value}}}}}
    await api.patch(kind, name, patch, namespace=NAMESPACE)
    return True


def _mark(found: Any) -> str:
    return ABSENT if found is None else _template(found)


def _template(found: Any) -> str:
    """Return what changes with the pod template, and with nothing else that is of interest here."""
    annotations = (found["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    checksum = annotations.get(CHECKSUM, "")
    return f"{found['metadata']['uid']} {found['metadata'].get('generation', 0)} {checksum}".strip()
