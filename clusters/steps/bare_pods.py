"""Pods that no controller brings back: remembered before they go, and made anew afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from clusters import narrowing
from clusters.backups import load_backup, portable, store_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import PODS
from clusters.seed import OpenedCluster
from clusters.watching import Live, watching
from migration.errors import AlreadyExists, Forbidden, NotFound, OperatorActionNeeded, Rejected, Unreachable
from migration.journal import Migration
from migration.models import Pod
from migration.restart import is_bare

T = TypeVar("T")

BACKUP = "bare-pods"
# Calico's CNI plugin notes the sandbox's addresses on the pod (docs/platform.md 5.2); the next sandbox has others.
CALICO_MARKS = "cni.projectcalico.org/"
# The token volume that the API server adds to every pod; it adds a new one.
TOKEN_VOLUME_PREFIX = "kube-api-access-"  # noqa: S105 - a volume's name


async def remember_bare_pods(opened: OpenedCluster, migration_id: str, pods: Iterable[Pod]) -> None:
    """Leave these pods in the migration's backup and list of debts, so that every later run can make them anew."""
    known = await _backup(opened, await read_migration(opened.api, migration_id))
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
    """Remember every bare pod that would be lost with its node, those on the host's network too."""
    lost = [pod for pod in pods if is_bare(pod) and not pod.finished and not pod.deleting]
    await remember_bare_pods(opened, migration_id, lost)


async def restore_bare_pods(opened: OpenedCluster, migration_id: str, *, deadline: timedelta) -> int:
    """Leave every owed pod that is gone made anew; returns how many were made. One that is there stays as it is.

    Each pod for itself: one that can't be made, or doesn't end, keeps no other away. Raises the first such failure in
    the end. A pod that still is what it was stays owed, for a drain may yet take it.
    """
    migration = await read_migration(opened.api, migration_id)
    owed = dict(migration.bare_pods)
    if not owed:
        return 0
    uids = dict(zip(owed, await _each(_uid_of(opened, key, deadline) for key in owed), strict=True))
    missing = [key for key, uid in uids.items() if uid == ""]
    backup = await _backup(opened, migration) if missing else {}
    made = dict(zip(missing, await _each(_make(opened, migration_id, key, backup) for key in missing), strict=True))
    settled = {key for key, uid in uids.items() if isinstance(uid, str) and uid not in ("", owed[key])}
    settled |= {key for key, result in made.items() if isinstance(result, bool)}

    def settle(found: Migration) -> Migration:
        # What somebody removes from now on is not this migration's to bring back.
        left = {key: uid for key, uid in found.bare_pods.items() if key not in settled or owed[key] != uid}
        return found.model_copy(update={"bare_pods": left})

    await change_migration(opened.api, migration_id, settle)
    for result in (*uids.values(), *made.values()):
        if isinstance(result, BaseException):
            raise result
    return sum(result is True for result in made.values())


async def _each(tasks: Iterable[Coroutine[Any, Any, T]]) -> list[T | BaseException]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _backup(opened: OpenedCluster, migration: Migration) -> dict[str, dict[str, Any]]:
    stored = migration.backup(BACKUP)
    return {_key(item): item for item in await load_backup(opened.api, stored)} if stored else {}


async def _uid_of(opened: OpenedCluster, key: str, deadline: timedelta) -> str:
    """Return the uid of the pod of this name, once one that is being deleted has ended; empty if there is none."""
    namespace, name = key.split("/", 1)
    live = Live(opened.api, PODS, narrowing.pod, namespace=namespace, fields=f"metadata.name={name}")

    def ending() -> str | None:
        return f"pod {namespace}/{name} to end" if any(pod.deleting for pod in live.values()) else None

    async with watching(live) as view:
        await view.until(ending, what=f"pod {namespace}/{name} to end", deadline=deadline, tell=opened.tell)
        return next((pod.uid for pod in live.values()), "")


async def _make(opened: OpenedCluster, migration_id: str, key: str, backup: Mapping[str, Mapping[str, Any]]) -> bool:
    """Make a pod anew; False if it is there by now or its namespace is gone."""
    namespace, name = key.split("/", 1)
    body = backup.get(key)
    if body is None:
        raise OperatorActionNeeded(
            f"pod {key} was taken down and is in no backup: make it anew by hand, then start again"
        )
    try:
        await opened.api.create(PODS, body, namespace=namespace)
    except AlreadyExists:
        return False
    except NotFound:
        opened.tell(f"pod {namespace}/{name} is not made anew: its namespace was removed")
        return False
    except Unreachable:
        if await opened.api.find(PODS, name, namespace=namespace) is None:
            raise
    except (Rejected, Forbidden) as error:  # a quota and Pod Security refuse with a plain 403
        raise OperatorActionNeeded(
            f"pod {namespace}/{name} can't be made anew: {error}. Its backup is in the Secrets "
            f"cni-migration-{migration_id}-{BACKUP}-*: create it by hand, then start the flow again."
        ) from error
    return True


def _recreatable(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod's manifest as somebody would have written it: free to be scheduled, without what admission added."""
    body = portable(found, api_version="v1", kind="Pod")
    annotations = body["metadata"].pop("annotations", None) or {}
    kept = {key: value for key, value in annotations.items() if not key.startswith(CALICO_MARKS)}
    body["metadata"] |= {"annotations": kept} if kept else {}
    spec = {key: value for key, value in body["spec"].items() if key not in ("nodeName", "ephemeralContainers")}
    if spec.get("volumes"):
        spec["volumes"] = [item for item in spec["volumes"] if not item["name"].startswith(TOKEN_VOLUME_PREFIX)]
    for kind in ("containers", "initContainers"):
        if spec.get(kind):
            spec[kind] = [_without_token(container) for container in spec[kind]]
    return {**body, "spec": spec}


def _without_token(container: Mapping[str, Any]) -> dict[str, Any]:
    if not container.get("volumeMounts"):
        return dict(container)
    mounts = [item for item in container["volumeMounts"] if not item["name"].startswith(TOKEN_VOLUME_PREFIX)]
    return {**container, "volumeMounts": mounts}


def _key(item: Mapping[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"
