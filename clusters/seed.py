"""The seed: the Cluster object of a user cluster, what KKP offers there, and the way into the user cluster."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import yaml

from clusters import narrowing
from clusters.access import ADMIN_KUBECONFIG, MIGRATION_KUBECONFIG
from clusters.api import KubeApi, open_api
from clusters.connections import parse_kubeconfig, seed_kubeconfig
from clusters.expiry import expires_at
from clusters.kinds import APPLICATION_DEFINITIONS, CLUSTERS, SECRETS
from clusters.lock import LockFence
from clusters.watching import Live, Tell
from migration.errors import Conflict, Forbidden, InvalidRequest, NotFound, Permanent, Unauthorized
from migration.facts import ClusterFacts
from migration.models import ClusterRef, Network
from migration.patches import UNSAFE_CNI_MIGRATION, label_patch, network_patch

# KKP 2.31, pkg/webhook/cluster/validation: an RFC 1035 label; generated names may begin with a digit all the same.
_CLUSTER_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
CONFLICT_TRIES: Final = 6
CONFLICT_PAUSE_SECONDS: Final = 0.2


class Seed:
    """A KKP seed, reached through its Kubernetes API."""

    def __init__(self, api: KubeApi, connection: str) -> None:
        self.api = api
        self.connection = connection

    async def cluster(self, name: str) -> ClusterFacts:
        """Return a Cluster. Raises InvalidRequest if there is none of this name, or if this is no name."""
        if not _CLUSTER_NAME.match(name):
            raise InvalidRequest(
                f"{name[:60]!r} is no name of a Cluster: those have lower-case letters, digits and dashes"
            )
        try:
            return narrowing.cluster_facts(await self.api.get(CLUSTERS, name))
        except NotFound as error:
            raise InvalidRequest(
                f"{self.api.where} has no Cluster named {name!r}. The name is the ID that KKP shows, "
                "not the human-readable one; `kubectl get clusters` on the seed lists both"
            ) from error

    async def offered_cilium_versions(self) -> tuple[str, ...] | None:
        """Return the Cilium versions that KKP can install here, None without an ApplicationDefinition."""
        found = await self.api.find(APPLICATION_DEFINITIONS, "cilium")
        return None if found is None else tuple(entry["version"] for entry in found["spec"].get("versions") or ())

    async def cilium_defaults(self) -> dict[str, Any]:
        """Return the ApplicationDefinition's default Helm values. Raises Permanent if they can't be read."""
        found = await self.api.get(APPLICATION_DEFINITIONS, "cilium")
        spec = found["spec"]
        if not spec.get("defaultValuesBlock"):
            return dict(spec.get("defaultValues") or {})
        try:
            values = yaml.safe_load(spec["defaultValuesBlock"])
        except yaml.YAMLError as error:
            raise Permanent(
                f"{self.api.where}: defaultValuesBlock of ApplicationDefinition cilium is not YAML"
            ) from error
        if not isinstance(values or {}, Mapping):
            raise Permanent(f"{self.api.where}: defaultValuesBlock of ApplicationDefinition cilium is no mapping")
        return dict(values or {})

    async def label(self, name: str, *, present: bool) -> bool:
        """Leave the Cluster with or without the unsafe label; tells whether that was a change."""
        cluster = await self.cluster(name)
        if (UNSAFE_CNI_MIGRATION in cluster.labels) == present:
            return False
        await self.api.patch(CLUSTERS, name, label_patch(present=present))
        return True

    async def switch_network(
        self, name: str, *, expected: Network, desired: Network, helm_values: Mapping[str, Any] | None = None
    ) -> bool:
        """Leave the Cluster's spec on `desired`, in one patch; tells whether that was a change.

        `helm_values` are those with which KKP is to install the CNI. Raises Rejected with KKP's own words if its
        webhook refuses, Permanent if CNI or proxy mode is neither as expected nor as desired: somebody else changed it.
        """
        for attempt in range(CONFLICT_TRIES):
            cluster = await self.cluster(name)
            if cluster.network == desired:
                return False
            if cluster.cni not in (expected.cni, desired.cni) or cluster.proxy_mode not in (
                expected.proxy_mode,
                desired.proxy_mode,
            ):
                raise Permanent(
                    f"Cluster {name} was changed to {cluster.network} meanwhile, expected {expected}: "
                    "somebody else works on it"
                )
            try:
                await self.api.patch(CLUSTERS, name, network_patch(cluster, desired, helm_values))
            except Conflict:
                await asyncio.sleep(CONFLICT_PAUSE_SECONDS * attempt)  # KKP's controllers write the status in bursts
                continue
            return True
        raise Conflict(f"Cluster {name} changes faster than it can be patched ({CONFLICT_TRIES} tries)")

    async def user_cluster_kubeconfig(self, cluster: ClusterFacts) -> tuple[str, dict[str, Any]]:
        """Return the kubeconfig of a user cluster, never to be stored or shown, and the Secret (`namespace/name`).

        One that was made for migrations goes before the administrator's. Raises InvalidRequest if there is none or it
        is unusable, Forbidden if it may not be read: no other is taken in its place.
        """
        for name in (MIGRATION_KUBECONFIG, ADMIN_KUBECONFIG):
            secret = f"{cluster.namespace}/{name}"
            where = f"Secret {secret} on {self.api.where}"
            try:
                found = await self.api.find(SECRETS, name, namespace=cluster.namespace)
            except Forbidden as error:
                raise Forbidden(f"{where} may not be read: {self._grant(name, cluster)} ({error})") from error
            if found is not None:
                return secret, _kubeconfig_of(found, where)
        raise InvalidRequest(
            f"there is no Secret {cluster.namespace}/{ADMIN_KUBECONFIG} on {self.api.where}: the control plane of "
            f"{cluster.name} isn't ready, or this isn't its seed"
        )

    def _grant(self, secret: str, cluster: ClusterFacts) -> str:
        to_whom = (
            f"grant `get` on it to the account of connection {self.connection}, as deployments/rbac/seed.yaml does"
        )
        if secret == MIGRATION_KUBECONFIG:
            return f"{to_whom}. If it is not there, that is no matter"
        return (
            f"there is no Secret {cluster.namespace}/{MIGRATION_KUBECONFIG}, which goes before it; make that one "
            f"(docs/operating.md, Rights), or {to_whom}"
        )

    def live_cluster(self, name: str) -> Live[ClusterFacts]:
        """Return what a view needs to watch this Cluster."""
        return Live(self.api, CLUSTERS, narrowing.cluster_facts, fields=f"metadata.name={name}")


@asynccontextmanager
async def open_seed(connection: str) -> AsyncIterator[Seed]:
    """Open a seed by the name of its configured connection."""
    async with open_api(seed_kubeconfig(connection), where=f"seed {connection}") as api:
        yield Seed(api, connection)


@dataclass(frozen=True)
class OpenedCluster:
    """A user cluster with its seed, ready for the steps of a runbook; `tell` takes what people should see."""

    ref: ClusterRef
    seed: Seed
    api: KubeApi
    tell: Tell
    kubeconfig_secret: str
    """`namespace/name` of the Secret on the seed that has the way in."""
    expires_at: datetime | None = None
    """When the way in ends, as far as it says."""

    @property
    def is_administrator_s(self) -> bool:
        """Whether the way in is KKP's own kubeconfig, which may do everything."""
        return self.kubeconfig_secret.endswith(f"/{ADMIN_KUBECONFIG}")


@asynccontextmanager
async def open_cluster(ref: ClusterRef, tell: Tell, *, holder: str = "") -> AsyncIterator[OpenedCluster]:
    """Open a seed and, through it, the API of one of its user clusters.

    With a holder, nothing is changed on either unless it has the cluster's lock. Raises LockLost if it hasn't.
    """
    async with open_seed(ref.seed) as seed:
        secret, kubeconfig = await seed.user_cluster_kubeconfig(await seed.cluster(ref.name))
        where = f"user cluster {ref.name}"
        try:
            async with open_api(kubeconfig, where=where) as api:
                opened = OpenedCluster(ref, seed, api, tell, secret, expires_at(kubeconfig))
                yield await _fenced(opened, holder) if holder else opened
        except Unauthorized as error:
            if not str(error).startswith(where):
                raise
            raise Unauthorized(f"{error}. It came from Secret {secret} on {seed.api.where}") from error


async def _fenced(opened: OpenedCluster, holder: str) -> OpenedCluster:
    fence = LockFence(opened.api, holder)
    await fence()
    seed = Seed(opened.seed.api.fenced(fence), opened.seed.connection)
    return replace(opened, seed=seed, api=opened.api.fenced(fence))


def _kubeconfig_of(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    try:
        text = base64.b64decode((found.get("data") or {})["kubeconfig"]).decode()
    except (KeyError, binascii.Error, UnicodeDecodeError):
        raise InvalidRequest(f"{where} has no usable key 'kubeconfig'") from None
    return parse_kubeconfig(text, source=where)
