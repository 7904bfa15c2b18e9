"""KKP by its seed's Kubernetes API: the Cluster objects, the ApplicationDefinition, the Secrets with kubeconfigs."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import yaml

from clusters import access, listing, narrowing
from clusters.access import ADMIN_KUBECONFIG, MIGRATION_KUBECONFIG
from clusters.api import Fence, KubeApi
from clusters.connections import parse_kubeconfig
from clusters.kinds import APPLICATION_DEFINITIONS, CLUSTERS, SECRETS
from clusters.recording import Recorder
from clusters.watching import Live
from clusters.ways_in import (
    CONFLICT_PAUSE_SECONDS,
    CONFLICT_TRIES,
    WayIn,
    refuse_foreign_network,
    refuse_odd_name,
)
from migration.errors import Conflict, Forbidden, InvalidRequest, NoSuchCluster, NotFound, Permanent
from migration.facts import ClusterFacts, ListedCluster
from migration.models import Network
from migration.patches import UNSAFE_CNI_MIGRATION, label_patch, network_patch
from migration.survey import CredentialFacts


class KubernetesSeed:
    """A KKP seed, reached through its Kubernetes API."""

    def __init__(self, api: KubeApi, connection: str, *, expires_at: datetime | None = None) -> None:
        self.api = api
        self.connection = connection
        self._expires_at = expires_at

    @property
    def where(self) -> str:
        """What this is called in messages."""
        return self.api.where

    def fenced(self, fence: Fence) -> KubernetesSeed:
        """Return the same seed, on which nothing is changed without asking the fence just before."""
        return KubernetesSeed(self.api.fenced(fence), self.connection, expires_at=self._expires_at)

    def recorded(self, recorder: Recorder) -> KubernetesSeed:
        """Return the same seed, of which the recorder is told what is read and changed."""
        return KubernetesSeed(self.api.recorded(recorder), self.connection, expires_at=self._expires_at)

    async def cluster(self, name: str) -> ClusterFacts:
        """Return a Cluster. Raises InvalidRequest if there is none of this name, or if this is no name."""
        refuse_odd_name(name)
        try:
            return narrowing.cluster_facts(await self.api.get(CLUSTERS, name))
        except NotFound as error:
            raise NoSuchCluster(
                f"{self.where} has no Cluster named {name!r}. The name is the ID that KKP shows, "
                "not the human-readable one; `kubectl get clusters` on the seed lists both"
            ) from error

    async def list_clusters(self) -> tuple[ListedCluster, ...]:
        """Return every Cluster of the seed, read in pages."""
        try:
            found = await self.api.list(CLUSTERS)
        except Forbidden as error:
            raise Forbidden(
                f"the Clusters of {self.where} may not be listed: grant that to the account of connection "
                f"{self.connection}, as deployments/rbac/fleet.yaml does ({error})"
            ) from error
        return tuple(listing.listed_cluster(item, seed=self.connection) for item in found)

    async def offered_cilium_versions(self) -> tuple[str, ...] | None:
        """Return the Cilium versions that KKP can install here, None without an ApplicationDefinition."""
        found = await self.api.find(APPLICATION_DEFINITIONS, "cilium")
        return None if found is None else tuple(entry["version"] for entry in found["spec"].get("versions") or ())

    async def cilium_defaults(self) -> dict[str, Any]:
        """Return the ApplicationDefinition's default Helm values. Raises Permanent if they can't be read."""
        found = await self.api.get(APPLICATION_DEFINITIONS, "cilium")
        return default_values(found["spec"], where=self.where)

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
        """Leave the Cluster's spec on `desired`, against the version that was read (`ways_in.Seed`)."""
        for attempt in range(CONFLICT_TRIES):
            cluster = await self.cluster(name)
            if cluster.network == desired:
                return False
            refuse_foreign_network(cluster, expected=expected, desired=desired)
            try:
                await self.api.patch(CLUSTERS, name, network_patch(cluster, desired, helm_values))
            except Conflict:
                await asyncio.sleep(CONFLICT_PAUSE_SECONDS * attempt)  # KKP's controllers write the status in bursts
                continue
            return True
        raise Conflict(f"Cluster {name} changes faster than it can be patched ({CONFLICT_TRIES} tries)")

    async def way_into(self, cluster: ClusterFacts) -> WayIn:
        """Return the kubeconfig of a user cluster: one that was made for migrations goes before the administrator's.

        Raises InvalidRequest if there is none or it is unusable, Forbidden if it may not be read: no other is taken in
        its place.
        """
        for name in (MIGRATION_KUBECONFIG, ADMIN_KUBECONFIG):
            where = f"Secret {cluster.namespace}/{name} on {self.where}"
            try:
                found = await self.api.find(SECRETS, name, namespace=cluster.namespace)
            except Forbidden as error:
                raise Forbidden(f"{where} may not be read: {self._grant(name, cluster)} ({error})") from error
            if found is not None:
                kubeconfig = _kubeconfig_of(found, where)
                return WayIn(kubeconfig=kubeconfig, source=where, is_administrator_s=name == ADMIN_KUBECONFIG)
        raise InvalidRequest(
            f"there is no Secret {cluster.namespace}/{ADMIN_KUBECONFIG} on {self.where}: the control plane of "
            f"{cluster.name} isn't ready, or this isn't its seed"
        )

    async def missing_rights(self, cluster: str, *, as_administrator: bool) -> tuple[str, ...]:
        """Return which rights that every migration needs on the seed are denied."""
        # KKP 2.31, pkg/resources: a user cluster's namespace is its name behind `cluster-`.
        return await access.denied(self.api, access.on_seed(cluster, f"cluster-{cluster}", as_admin=as_administrator))

    def credentials(self) -> tuple[CredentialFacts, ...]:
        """Return the credentials of the seed's kubeconfig, if they end some day."""
        if self._expires_at is None:
            return ()
        return (CredentialFacts(source=f"kubeconfig of seed {self.connection}", expires_at=self._expires_at),)

    def live_cluster(self, name: str) -> Live[ClusterFacts]:
        """Return what a view needs to watch this Cluster."""
        return Live(self.api, CLUSTERS, narrowing.cluster_facts, fields=f"metadata.name={name}")

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


def default_values(definition: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return the default Helm values of an ApplicationDefinition's spec. Raises Permanent if they can't be read."""
    if not definition.get("defaultValuesBlock"):
        return dict(definition.get("defaultValues") or {})
    try:
        values = yaml.safe_load(definition["defaultValuesBlock"])
    except yaml.YAMLError as error:
        raise Permanent(f"{where}: defaultValuesBlock of ApplicationDefinition cilium is not YAML") from error
    if not isinstance(values or {}, Mapping):
        raise Permanent(f"{where}: defaultValuesBlock of ApplicationDefinition cilium is no mapping")
    return dict(values or {})


def _kubeconfig_of(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    try:
        text = base64.b64decode((found.get("data") or {})["kubeconfig"]).decode()
    except (KeyError, binascii.Error, UnicodeDecodeError):
        raise InvalidRequest(f"{where} has no usable key 'kubeconfig'") from None
    return parse_kubeconfig(text, source=where)
