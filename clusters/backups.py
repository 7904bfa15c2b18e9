"""Backups in Secrets beside the journal: a gzipped `v1 List` that `kubectl apply` restores, in chunks, with a checksum.

Restore by hand: join the `data.list` of the Secrets in the journal's order, base64-decoded, gunzip, apply; the exact
command is in docs/operating.md. Why names carry a checksum: docs/adr/0006-backups-are-named-by-content.md.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from clusters.api import KubeApi
from clusters.journal import LABELS
from clusters.kinds import SECRETS
from migration.errors import AlreadyExists, OperatorActionNeeded, Unreachable
from migration.journal import NAMESPACE, StoredBackup

CHUNK_BYTES: Final = 700_000
"""Below the 1 MiB that a Secret may hold, and in base64 still below the body that aiohttp sends without complaint."""
MIGRATION_LABEL: Final = "cni-migration/id"
_SERVER_FIELDS: Final = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")


def portable(found: Mapping[str, Any], *, api_version: str, kind: str) -> dict[str, Any]:
    """Return an object without what the server sets, ready to be applied again (items of lists carry no type)."""
    metadata = {key: value for key, value in found["metadata"].items() if key not in _SERVER_FIELDS}
    metadata.pop("deletionTimestamp", None)
    metadata.pop("deletionGracePeriodSeconds", None)
    rest = {key: value for key, value in found.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


async def store_backup(
    user_cluster: KubeApi, objects: Sequence[Mapping[str, Any]], *, migration_id: str, name: str
) -> StoredBackup:
    """Leave the objects in Secrets, read back and compared. Raises OperatorActionNeeded if they come back changed."""
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}, sort_keys=True).encode()
    packed = gzip.compress(content, mtime=0)
    chunks = [packed[start : start + CHUNK_BYTES] for start in range(0, len(packed), CHUNK_BYTES)]
    sha256 = hashlib.sha256(content).hexdigest()
    # Named after their content: a newer backup never overwrites the one that the journal still points to.
    names = tuple(f"cni-migration-{migration_id}-{name}-{sha256[:8]}-{number}" for number in range(len(chunks)))
    for secret, chunk in zip(names, chunks, strict=True):
        await put_chunk(user_cluster, secret, chunk, labels={MIGRATION_LABEL: migration_id})
    backup = StoredBackup(name=name, secrets=names, sha256=sha256, objects=len(objects))
    await load_backup(user_cluster, backup)
    return backup


async def load_backup(user_cluster: KubeApi, backup: StoredBackup) -> list[dict[str, Any]]:
    """Return the objects of a backup. Raises OperatorActionNeeded if it is incomplete or was changed."""
    packed = b"".join([await _chunk(user_cluster, secret) for secret in backup.secrets])
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError) as error:
        raise _damaged(backup) from error
    if hashlib.sha256(content).hexdigest() != backup.sha256:
        raise _damaged(backup)
    return list(json.loads(content)["items"])


async def put_chunk(user_cluster: KubeApi, name: str, chunk: bytes, *, labels: Mapping[str, str]) -> None:
    """Leave a Secret beside the journal with this content and these labels, whatever an earlier try has left there."""
    data = {"list": base64.b64encode(chunk).decode()}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {**LABELS, **labels}},
        "data": data,
    }
    try:
        await user_cluster.create(SECRETS, body, namespace=NAMESPACE)
    except (AlreadyExists, Unreachable):
        # An earlier try got here, or its answer was lost: what counts is the newest content.
        found = await user_cluster.find(SECRETS, name, namespace=NAMESPACE)
        if found is None:
            await user_cluster.create(SECRETS, body, namespace=NAMESPACE)
        elif found.get("data") != data:
            await user_cluster.patch(SECRETS, name, {"data": data}, namespace=NAMESPACE)


async def _chunk(user_cluster: KubeApi, name: str) -> bytes:
    found = await user_cluster.find(SECRETS, name, namespace=NAMESPACE)
    text = ((found or {}).get("data") or {}).get("list", "")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def _damaged(backup: StoredBackup) -> OperatorActionNeeded:
    secrets: Iterable[str] = backup.secrets
    return OperatorActionNeeded(
        f"backup {backup.name!r} (Secrets {NAMESPACE}/{', '.join(secrets)}) does not match its checksum: it was "
        "edited or removed. Put the Secrets back from a copy; docs/operating.md says how to go on without one."
    )
