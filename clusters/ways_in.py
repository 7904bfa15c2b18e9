"""What every way to KKP can do: the one protocol behind which a seed's Kubernetes API and KKP's REST API lie.

Holds what both must judge alike. Refuses to make any request itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from clusters.api import Fence
from clusters.recording import Recorder
from clusters.watching import Live
from migration.errors import InvalidRequest, Permanent
from migration.facts import ClusterFacts, ListedCluster
from migration.models import Network
from migration.survey import CredentialFacts

# KKP 2.31, pkg/webhook/cluster/validation: an RFC 1035 label; generated names may begin with a digit all the same.
_CLUSTER_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
CONFLICT_TRIES: Final = 6
CONFLICT_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class WayIn:
    """How a user cluster is reached: a kubeconfig, never to be stored or shown, and where it is from."""

    kubeconfig: dict[str, Any] = field(repr=False)
    source: str
    """For messages, as `Secret cluster-abc/admin-kubeconfig on seed lab`."""
    is_administrator_s: bool
    """Whether it is KKP's own, which may do everything."""


class Seed(Protocol):
    """KKP as a migration sees it: Cluster objects, what KKP offers, and the way into user clusters."""

    @property
    def connection(self) -> str:
        """The name of the connection that led here."""

    @property
    def where(self) -> str:
        """What this is called in messages, as `seed lab`."""

    def fenced(self, fence: Fence) -> Seed:
        """Return the same, on which nothing is changed without asking the fence just before."""

    def recorded(self, recorder: Recorder) -> Seed:
        """Return the same, of which the recorder is told what is read and changed."""

    async def cluster(self, name: str) -> ClusterFacts:
        """Return a Cluster. Raises InvalidRequest if there is none of this name, or if this is no name."""

    async def list_clusters(self) -> tuple[ListedCluster, ...]:
        """Return every Cluster that can be seen. Raises rather than leaving one out."""

    async def offered_cilium_versions(self) -> tuple[str, ...] | None:
        """Return the Cilium versions that KKP can install here, None if it installs Cilium as an addon."""

    async def cilium_defaults(self) -> dict[str, Any]:
        """Return the Helm values with which KKP installs Cilium by itself. Raises Permanent if they can't be read."""

    async def label(self, name: str, *, present: bool) -> bool:
        """Leave the Cluster with or without the unsafe label; tells whether that was a change."""

    async def switch_network(
        self, name: str, *, expected: Network, desired: Network, helm_values: Mapping[str, Any] | None = None
    ) -> bool:
        """Leave the Cluster's spec on `desired`, in one patch; tells whether that was a change.

        `helm_values` are those with which KKP is to install the CNI. Raises Rejected with KKP's own words if its
        webhook refuses, Permanent if CNI or proxy mode is neither as expected nor as desired: somebody else changed it.
        """

    async def way_into(self, cluster: ClusterFacts) -> WayIn:
        """Return how a user cluster is reached. Raises InvalidRequest if it can't be, Forbidden if it may not."""

    async def missing_rights(self, cluster: str, *, as_administrator: bool) -> tuple[str, ...]:
        """Return which rights that every migration needs here are denied, as far as that can be asked."""

    def credentials(self) -> tuple[CredentialFacts, ...]:
        """Return the credentials that led here, if they end some day."""

    def live_cluster(self, name: str) -> Live[ClusterFacts]:
        """Return what a view needs to follow this Cluster."""


def refuse_odd_name(name: str) -> None:
    """Raise InvalidRequest for what can't be the name of a Cluster, before it becomes part of an address."""
    if not _CLUSTER_NAME.match(name):
        raise InvalidRequest(f"{name[:60]!r} is no name of a Cluster: those have lower-case letters, digits and dashes")


def refuse_foreign_network(cluster: ClusterFacts, *, expected: Network, desired: Network) -> None:
    """Raise Permanent if CNI or proxy mode is neither as expected nor as desired: somebody else changed it."""
    if cluster.cni not in (expected.cni, desired.cni) or cluster.proxy_mode not in (
        expected.proxy_mode,
        desired.proxy_mode,
    ):
        raise Permanent(
            f"Cluster {cluster.name} was changed to {cluster.network} meanwhile, expected {expected}: "
            "somebody else works on it"
        )
