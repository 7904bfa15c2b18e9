"""The seed: the Cluster object of a user cluster, what KKP offers there, and the way into the user cluster."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import yaml

from clusters import narrowing
from clusters.api import KubeApi, open_api
from clusters.connections import parse_kubeconfig, seed_kubeconfig
from clusters.kinds import APPLICATION_DEFINITIONS, CLUSTERS, SECRETS
from clusters.watching import Live, Tell
from migration.errors import Conflict, InvalidRequest, NotFound, Permanent
from migration.facts import ClusterFacts
from migration.models import ClusterRef, Cni

# KKP 2.31, pkg/validation/cluster.go: the key's presence is what counts.
UNSAFE_CNI_MIGRATION: Final = "unsafe-cni-migration"
# KKP 2.31, sdk/apis/kubermatic/v1/common.go: JSON Helm values, consumed when the ApplicationInstallation is created.
INITIAL_VALUES: Final = "kubermatic.io/initial-cni-values-request"
ADMIN_KUBECONFIG: Final = "admin-kubeconfig"
# KKP 2.31, pkg/webhook/cluster/validation: an RFC 1035 label; generated names may begin with a digit all the same.
_CLUSTER_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
CONFLICT_TRIES: Final = 6
CONFLICT_PAUSE_SECONDS: Final = 0.2


class Seed:
    """A KKP seed, reached through its Kubernetes API."""

    def __init__(self, api: KubeApi) -> None:
        self.api = api

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
        await self.api.patch(
            CLUSTERS, name, {"metadata": {"labels": {UNSAFE_CNI_MIGRATION: "true" if present else None}}}
        )
        return True

    async def switch_cni(self, name: str, *, expected: Cni, desired: Cni, helm_values: Mapping[str, Any]) -> bool:
        """Leave the Cluster's spec on `desired`; tells whether that was a change.

        Raises Rejected with KKP's own words if its webhook refuses, Permanent if the CNI is neither of the two:
        somebody else has changed it.
        """
        for attempt in range(CONFLICT_TRIES):
            cluster = await self.cluster(name)
            if cluster.cni == desired:
                return False
            if cluster.cni != expected:
                raise Permanent(
                    f"Cluster {name} was changed to {cluster.cni} meanwhile, expected {expected}: "
                    "somebody else works on it"
                )
            patch = {
                "metadata": {
                    "resourceVersion": cluster.resource_version,
                    "annotations": {INITIAL_VALUES: json.dumps(dict(helm_values), sort_keys=True)},
                },
                "spec": {"cniPlugin": {"type": str(desired.type), "version": desired.version}},
            }
            try:
                await self.api.patch(CLUSTERS, name, patch)
            except Conflict:
                await asyncio.sleep(CONFLICT_PAUSE_SECONDS * attempt)  # KKP's controllers write the status in bursts
                continue
            return True
        raise Conflict(f"Cluster {name} changes faster than it can be patched ({CONFLICT_TRIES} tries)")

    async def user_cluster_kubeconfig(self, cluster: ClusterFacts) -> dict[str, Any]:
        """Return the admin kubeconfig of a user cluster, never to be stored or shown.

        Source: KKP 2.31, pkg/resources/kubeconfig.go. Raises InvalidRequest if it is missing or unusable.
        """
        where = f"Secret {cluster.namespace}/{ADMIN_KUBECONFIG} on {self.api.where}"
        found = await self.api.find(SECRETS, ADMIN_KUBECONFIG, namespace=cluster.namespace)
        if found is None:
            raise InvalidRequest(
                f"there is no {where}: the control plane of {cluster.name} isn't ready, or this isn't its seed"
            )
        try:
            text = base64.b64decode((found.get("data") or {})["kubeconfig"]).decode()
        except (KeyError, binascii.Error, UnicodeDecodeError):
            raise InvalidRequest(f"{where} has no usable key 'kubeconfig'") from None
        return parse_kubeconfig(text, source=where)

    def live_cluster(self, name: str) -> Live[ClusterFacts]:
        """Return what a view needs to watch this Cluster."""
        return Live(self.api, CLUSTERS, narrowing.cluster_facts, fields=f"metadata.name={name}")


@asynccontextmanager
async def open_seed(connection: str) -> AsyncIterator[Seed]:
    """Open a seed by the name of its configured connection."""
    async with open_api(seed_kubeconfig(connection), where=f"seed {connection}") as api:
        yield Seed(api)


@dataclass(frozen=True)
class OpenedCluster:
    """A user cluster with its seed, ready for the steps of a runbook; `tell` takes what people should see."""

    ref: ClusterRef
    seed: Seed
    api: KubeApi
    tell: Tell


@asynccontextmanager
async def open_cluster(ref: ClusterRef, tell: Tell) -> AsyncIterator[OpenedCluster]:
    """Open a seed and, through it, the API of one of its user clusters."""
    async with open_seed(ref.seed) as seed:
        kubeconfig = await seed.user_cluster_kubeconfig(await seed.cluster(ref.name))
        async with open_api(kubeconfig, where=f"user cluster {ref.name}") as api:
            yield OpenedCluster(ref, seed, api, tell)
