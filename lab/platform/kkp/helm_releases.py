"""Helm's record of what it installed: Secrets of type helm.sh/release.v1, as its storage driver writes them.

Refuses to install anything. Source: Helm 3 pkg/storage/driver/secrets.go; docs/platform.md 4.1.
"""

from __future__ import annotations

import base64
import gzip
import json
import time
from dataclasses import dataclass, replace
from typing import Any

from lab.errors import ApiError
from lab.objects import Object, timestamp
from lab.platform.client import Client
from lab.platform.runtime import ignoring
from lab.resources import SECRETS

_NOT_FOUND, _CONFLICT = 404, 409


@dataclass(frozen=True)
class Release:
    """One revision of a release. `manifest` holds its objects, without those of hooks."""

    name: str
    namespace: str
    revision: int
    status: str
    chart: str
    chart_version: str
    values: dict[str, Any]
    manifest: list[Object]
    description: str = "Initial install underway"
    first_deployed: str = ""
    last_deployed: str = ""

    def turned(self, status: str, description: str) -> Release:
        """Return the revision in another state."""
        return replace(self, status=status, description=description)

    def is_same_as(self, chart_version: str, values: dict[str, Any], manifest: list[Object]) -> bool:
        """Tell whether an upgrade would change nothing; live objects are not asked (docs/platform.md 4.4)."""
        return (self.chart_version, self.values, self.manifest) == (chart_version, values, manifest)

    @property
    def secret_name(self) -> str:
        """Name of the Secret that holds this revision."""
        return f"sh.helm.release.v1.{self.name}.v{self.revision}"


async def stored_releases(client: Client, name: str, namespace: str) -> list[Release]:
    """Return the stored revisions of a release, the oldest first."""
    found, _ = await client.list(SECRETS, namespace=namespace, label_selector=f"owner=helm,name={name}")
    return sorted((_decoded(secret) for secret in found), key=lambda release: release.revision)


async def store_release(client: Client, release: Release) -> None:
    """Leave a Secret that holds the revision."""
    secret = _encoded(release)
    try:
        await client.create(SECRETS, secret)
    except ApiError as error:
        if error.code != _CONFLICT:
            raise
        await client.update(SECRETS, secret)


async def forget_release(client: Client, release: Release) -> None:
    """Leave no Secret of the revision."""
    with ignoring(_NOT_FOUND):
        await client.delete(SECRETS, release.secret_name, namespace=release.namespace)


def _encoded(release: Release) -> Object:
    times = {"first_deployed": release.first_deployed, "last_deployed": release.last_deployed, "deleted": ""}
    metadata = {"name": release.chart, "version": release.chart_version, "appVersion": release.chart_version}
    record = {
        "name": release.name,
        "namespace": release.namespace,
        "version": release.revision,
        "info": {**times, "status": release.status, "description": release.description},
        "chart": {"metadata": {"apiVersion": "v2", **metadata}},
        "config": release.values,
        "manifest": "\n".join(f"---\n{json.dumps(found)}" for found in release.manifest),
    }
    packed = base64.b64encode(gzip.compress(json.dumps(record).encode(), mtime=0))
    labels = {"owner": "helm", "name": release.name, "status": release.status, "version": str(release.revision)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": release.secret_name,
            "namespace": release.namespace,
            "labels": {**labels, "modifiedAt": str(int(time.time()))},
        },
        "type": "helm.sh/release.v1",
        "data": {"release": base64.b64encode(packed).decode()},
    }


def _decoded(secret: Object) -> Release:
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    record = json.loads(gzip.decompress(packed))
    info, chart = record["info"], record["chart"]["metadata"]
    return Release(
        name=record["name"],
        namespace=record["namespace"],
        revision=record["version"],
        status=info["status"],
        chart=chart["name"],
        chart_version=chart["version"],
        values=record.get("config") or {},
        manifest=[json.loads(part) for part in record.get("manifest", "").split("---\n") if part.strip()],
        description=info.get("description", ""),
        first_deployed=info.get("first_deployed", ""),
        last_deployed=info.get("last_deployed", ""),
    )


def now() -> str:
    """Return this moment as Helm records it."""
    return timestamp()
