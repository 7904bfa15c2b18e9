"""The journal's ConfigMap in the user cluster: read, and changed under optimistic locking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from clusters.api import LONGEST_RETRY_AFTER_SECONDS, KubeApi
from clusters.kinds import CONFIG_MAPS
from migration import journal
from migration.errors import AlreadyExists, OperatorActionNeeded, Transient
from migration.journal import Journal, Migration

TRIES: Final = 8
PAUSE_SECONDS: Final = 0.25
LABELS: Final = {"app.kubernetes.io/managed-by": "kkp-cni-migration"}


async def read_journal(user_cluster: KubeApi) -> Journal:
    """Return the journal, empty if the cluster has none."""
    found = await user_cluster.find(CONFIG_MAPS, journal.NAME, namespace=journal.NAMESPACE)
    return Journal() if found is None else journal.from_data(found.get("data") or {})


async def change_journal(user_cluster: KubeApi, change: Callable[[Journal], Journal]) -> Journal:
    """Leave the journal changed by `change`, which is applied anew to a fresh reading after every failure.

    It tries hard: a step whose outcome can't be written would be repeated, and find nothing of its own outage left.
    """
    for attempt in range(TRIES):
        found = await user_cluster.find(CONFIG_MAPS, journal.NAME, namespace=journal.NAMESPACE)
        before = Journal() if found is None else journal.from_data(found.get("data") or {})
        after = change(before)
        if found is not None and after == before:
            return after
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": journal.NAME, "namespace": journal.NAMESPACE, "labels": LABELS},
            "data": journal.to_data(after),
        }
        try:
            if found is None:
                await user_cluster.create(CONFIG_MAPS, body, namespace=journal.NAMESPACE)
            else:
                body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]  # type: ignore[index]
                await user_cluster.replace(CONFIG_MAPS, body, namespace=journal.NAMESPACE)
        except (AlreadyExists, Transient) as error:
            # Somebody else wrote, or the answer was lost: the next reading shows which, and `change` is idempotent.
            if attempt == TRIES - 1:
                raise
            retry_after = error.retry_after_seconds if isinstance(error, Transient) else None
            await asyncio.sleep(min(retry_after or PAUSE_SECONDS * attempt, LONGEST_RETRY_AFTER_SECONDS))
            continue
        return after
    raise AssertionError("unreachable")


async def change_migration(
    user_cluster: KubeApi, migration_id: str, change: Callable[[Migration], Migration]
) -> Migration:
    """Leave one migration of the journal changed. Raises OperatorActionNeeded if the journal has lost it."""

    def apply(found: Journal) -> Journal:
        return found.with_migration(change(_known(found, migration_id)))

    return _known(await change_journal(user_cluster, apply), migration_id)


async def read_migration(user_cluster: KubeApi, migration_id: str) -> Migration:
    """Return one migration of the journal. Raises OperatorActionNeeded if the journal has lost it."""
    return _known(await read_journal(user_cluster), migration_id)


def _known(found: Journal, migration_id: str) -> Migration:
    migration = found.find(migration_id)
    if migration is None:
        raise OperatorActionNeeded(
            f"migration {migration_id} is no longer in ConfigMap {journal.NAMESPACE}/{journal.NAME}: somebody removed "
            f"it. Its backups are the Secrets labelled cni-migration/id={migration_id}. Put the ConfigMap back, or "
            'start the flow with accept=["not-on-canal"], on the way to Canal ["not-on-cilium"], and make pods without '
            "a controller anew from the backup (docs/operating.md)"
        )
    return migration
