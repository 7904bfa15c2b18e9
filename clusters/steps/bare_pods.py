"""Pods that no controller brings back: remembered before they go, and made anew afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from clusters import narrowing
from clusters.backups import load_backup, portable, store_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import PODS
from clusters.seed import OpenedCluster
from clusters.watching import Live, watching
from migration.errors import AlreadyExists, OperatorActionNeeded, Rejected, Unreachable
from migration.journal import Migration
from migration.models import Pod
from migration.restart import is_bare, needs_network

BACKUP = "bare-pods"
# The token volume that the API server adds to every pod; it adds a new one.
TOKEN_VOLUME_PREFIX = "kube-api-access-"  # noqa: S105 - a volume's name


async def remember_bare_pods(opened: OpenedCluster, migration_id: str, pods: Iterable[Pod]) -> None:
    """Leave these pods in the migration's backup and list of debts, so that every later run can make them anew."""
    migration = await read_migration(opened.api, migration_id)
    stored = migration.backup(BACKUP)
    known = {_key(item): item for item in await load_backup(opened.api, stored)} if stored else {}
    owed: dict[str, str] = {}
    for pod in pods:
        found = await opened.api.find(PODS, pod.name, namespace=pod.namespace)
        if found is not None and found["metadata"]["uid"] == pod.uid:
            known[pod.key] = _recreatable(found)
            owed[pod.key] = pod.uid
    if not owed:
        return
    backup = await store_backup(opened.api, list(known.values()), migration_id=migration_id, name=BACKUP)

    def record(found: Migration) -> Migration:
        return found.with_backup(backup).model_copy(update={"bare_pods": {**found.bare_pods, **owed}})

    await change_migration(opened.api, migration_id, record)


async def remember_all_bare_pods(opened: OpenedCluster, migration_id: str, pods: Iterable[Pod]) -> None:
    """Remember every bare pod of the pod network that would be lost with its node."""
    await remember_bare_pods(
        opened, migration_id, [pod for pod in pods if is_bare(pod) and needs_network(pod) and not pod.deleting]
    )


async def restore_bare_pods(opened: OpenedCluster, migration_id: str, *, deadline: timedelta) -> int:
    """Leave every remembered pod running again; returns how many were made anew. One that is there stays as it is."""
    migration = await read_migration(opened.api, migration_id)
    stored = migration.backup(BACKUP)
    if stored is None or not migration.bare_pods:
        return 0
    backup = {_key(item): item for item in await load_backup(opened.api, stored)}
    made = 0
    for key in sorted(migration.bare_pods):
        made += await _restore(opened, migration_id, backup[key], deadline)
    return made


async def _restore(opened: OpenedCluster, migration_id: str, body: Mapping[str, Any], deadline: timedelta) -> bool:
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    live = Live(opened.api, PODS, narrowing.pod, namespace=namespace, fields=f"metadata.name={name}")

    def ending() -> str | None:
        return f"pod {namespace}/{name} to end" if any(pod.deleting for pod in live.values()) else None

    async with watching(live) as view:
        await view.until(ending, what=f"pod {namespace}/{name} to end", deadline=deadline, tell=opened.tell)
        if live.objects:
            return False
    try:
        await opened.api.create(PODS, body, namespace=namespace)
    except AlreadyExists:
        return False
    except Unreachable:
        if await opened.api.find(PODS, name, namespace=namespace) is None:
            raise
    except Rejected as error:
        raise OperatorActionNeeded(
            f"pod {namespace}/{name} can't be made anew: {error}. Its backup is in the Secrets "
            f"cni-migration-{migration_id}-{BACKUP}-*: create it by hand, then start the flow again."
        ) from error
    return True


def _recreatable(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod's manifest as somebody would have written it: free to be scheduled, without what admission added."""
    body = portable(found, api_version="v1", kind="Pod")
    spec = {key: value for key, value in body["spec"].items() if key not in ("nodeName", "ephemeralContainers")}
    spec["volumes"] = [
        volume for volume in spec.get("volumes") or () if not volume["name"].startswith(TOKEN_VOLUME_PREFIX)
    ]
    for kind in ("containers", "initContainers"):
        if spec.get(kind):
            spec[kind] = [_without_token(container) for container in spec[kind]]
    return {**body, "spec": spec}


def _without_token(container: Mapping[str, Any]) -> dict[str, Any]:
    mounts = [
        mount for mount in container.get("volumeMounts") or () if not mount["name"].startswith(TOKEN_VOLUME_PREFIX)
    ]
    return {**container, "volumeMounts": mounts}


def _key(item: Mapping[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
