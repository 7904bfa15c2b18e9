"""KKP by its REST API: the same as a seed by its Kubernetes API, as far as the API goes.

It knows no precondition, so a change is confirmed by reading back; one whose answer was lost is judged by that alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import Any, Final

from clusters.api import Fence
from clusters.connections import KkpConnection
from clusters.expiry import end_of_token
from clusters.kinds import CLUSTERS
from clusters.kkp_api import kubeconfigs, shape
from clusters.kkp_api.client import KkpApi
from clusters.kkp_api.offers import Offers
from clusters.kkp_api.polling import PolledCluster
from clusters.kkp_api.projects import Projects, role_in
from clusters.recording import Answered, Asked, Recorder
from clusters.watching import Live
from clusters.ways_in import (
    CONFLICT_PAUSE_SECONDS,
    CONFLICT_TRIES,
    WayIn,
    refuse_foreign_network,
    refuse_odd_name,
)
from migration.errors import Conflict, InvalidRequest, NotFound, Rejected, ServerFault, Transient
from migration.facts import ClusterFacts, ListedCluster
from migration.models import Network
from migration.patches import UNSAFE_CNI_MIGRATION, Patch, label_patch, network_patch
from migration.survey import CredentialFacts

LONGEST_PAUSE_SECONDS: Final = 30.0

Wanted = Callable[[ClusterFacts], Patch | None]
"""Returns the patch of the Cluster object that is still missing, None if it is as it shall be."""


class KkpSeed:
    """KKP, reached through its REST API."""

    def __init__(self, api: KkpApi, connection: KkpConnection) -> None:
        self._api, self._connection = api, connection
        self._projects = Projects(api, connection)
        self._offers = Offers(api)
        self._fence: Fence | None = None
        self._recorder: Recorder | None = None

    @property
    def connection(self) -> str:
        """The name of the connection that led here."""
        return self._connection.name

    @property
    def where(self) -> str:
        """What this is called in messages."""
        return self._api.where

    def fenced(self, fence: Fence) -> KkpSeed:
        """Return the same, on which nothing is changed without asking the fence just before."""
        return self._with(fence, self._recorder)

    def recorded(self, recorder: Recorder) -> KkpSeed:
        """Return the same, of which the recorder is told what is read and changed."""
        return self._with(self._fence, recorder)

    async def cluster(self, name: str) -> ClusterFacts:
        """Return a Cluster. Raises InvalidRequest if there is none of this name, or if this is no name."""
        return shape.cluster_facts(await self._object(name), kubermatic_version=await self._offers.kkp_version())

    async def list_clusters(self) -> tuple[ListedCluster, ...]:
        """Return every Cluster of the projects that can be seen. Raises ServerFault if KKP lists only a part."""
        return tuple(
            shape.listed_cluster(item, project=project, seed=self.connection, where=self.where)
            for project, item in await self._projects.clusters()
        )

    async def offered_cilium_versions(self) -> tuple[str, ...] | None:
        """Return the Cilium versions that KKP can install, None if it installs Cilium as an addon."""
        return await self._offers.cilium_versions()

    async def cilium_defaults(self) -> dict[str, Any]:
        """Return the ApplicationDefinition's default Helm values. Raises Permanent if they can't be read."""
        return await self._offers.cilium_defaults()

    async def label(self, name: str, *, present: bool) -> bool:
        """Leave the Cluster with or without the unsafe label; tells whether that was a change."""

        def missing(cluster: ClusterFacts) -> Patch | None:
            is_there = UNSAFE_CNI_MIGRATION in cluster.labels
            return None if is_there == present else label_patch(present=present)

        return await self._change(name, missing)

    async def switch_network(
        self, name: str, *, expected: Network, desired: Network, helm_values: Mapping[str, Any] | None = None
    ) -> bool:
        """Leave the Cluster's spec on `desired`, in one patch (`ways_in.Seed`)."""

        def missing(cluster: ClusterFacts) -> Patch | None:
            if cluster.network == desired:
                return None
            refuse_foreign_network(cluster, expected=expected, desired=desired)
            return network_patch(cluster, desired, helm_values)

        return await self._change(name, missing)

    async def way_into(self, cluster: ClusterFacts) -> WayIn:
        """Return how a user cluster is reached. Raises InvalidRequest if it can't be, Forbidden if it may not."""
        project = await self._projects.project_of(cluster.name)
        try:
            return await kubeconfigs.way_into(self._api, project, cluster.name, connection=self.connection)
        except NotFound:
            # KKP says the same of a cluster whose seed it doesn't reach: a look tells which of the two it is.
            await self._projects.find(cluster.name)
        try:
            return await kubeconfigs.way_into(self._api, project, cluster.name, connection=self.connection)
        except NotFound as error:
            what = kubeconfigs.source(self._api, cluster.name)
            raise InvalidRequest(f"{what} is not there: the control plane isn't ready ({error})") from error

    async def missing_rights(self, cluster: str, *, as_administrator: bool) -> tuple[str, ...]:
        """Return that the token may change nothing if its role is known to be a viewer's: the API tells no more."""
        del as_administrator
        project = await self._projects.project_of(cluster)
        role = await role_in(self._api, project)
        return (f'patch clusters "{cluster}" (role {role} in project {project}) on {self.where}',) * (role == "viewers")

    def credentials(self) -> tuple[CredentialFacts, ...]:
        """Return the token, if it is a JSON Web Token that ends some day."""
        end = end_of_token(self._connection.token)
        return (
            () if end is None else (CredentialFacts(source=f"token of connection {self.connection}", expires_at=end),)
        )

    def live_cluster(self, name: str) -> Live[ClusterFacts]:
        """Return what a view needs to follow this Cluster, by asking for it now and then."""
        version = ""

        async def look() -> dict[str, Any] | None:
            nonlocal version
            version = await self._offers.kkp_version()
            try:
                return await self._object(name)
            except InvalidRequest:
                return None

        return Live(
            PolledCluster(name, look), CLUSTERS, lambda found: shape.cluster_facts(found, kubermatic_version=version)
        )

    async def _object(self, name: str) -> dict[str, Any]:
        refuse_odd_name(name)
        project, found = await self._projects.find(name)
        with self._seed_may_have_gone(name):
            health = await self._api.get("v2", "projects", project, "clusters", name, "health")
        made = shape.cluster_object(found, health, project=project, where=self.where)
        if self._recorder is not None:
            self._recorder.saw(self.where, CLUSTERS, made)
        return made

    async def _change(self, name: str, missing: Wanted) -> bool:
        """Patch the Cluster until nothing is missing, looking each time; tells whether that was a change."""
        was_asked = False
        error: Transient = Conflict(f"Cluster {name} changes faster than it can be patched ({CONFLICT_TRIES} tries)")
        for attempt in range(CONFLICT_TRIES):
            patch = missing(await self.cluster(name))
            if patch is None:
                return was_asked
            was_asked = True
            try:
                await self._patch(name, patch)
            except Transient as trouble:
                # KKP may have acted all the same: the next look tells.
                error = trouble
                await asyncio.sleep(_pause_seconds(trouble, attempt))
                continue
            if missing(await self.cluster(name)) is None:
                return True
            raise Rejected(
                f"{self.where} took the patch of Cluster {name}, and it is not as asked for "
                f"({', '.join(shape.api_patch(patch))}): this KKP can't change that by its REST API, or somebody did "
                "at once. Use a connection to the seed"
            )
        if missing(await self.cluster(name)) is None:
            return True
        raise error

    async def _patch(self, name: str, patch: Patch) -> None:
        """Send a patch once, and see in the answer that KKP took all of it. Raises Rejected for what it passed over."""
        project, body = await self._projects.project_of(name), shape.api_patch(patch)
        # The check of the kubelets' versions asks the user cluster, and no version changes.
        query = {"skip_kubelet_version_validation": "true"}
        async with self._changing(name, patch) as answered:
            place = ("v2", "projects", project, "clusters", name)
            with self._seed_may_have_gone(name):
                found = await self._api.patch(*place, body=body, query=query, fence=self._fence)
            answered.after = shape.cluster_object(found, {}, project=project, where=self.where)
        if passed_over := shape.not_taken(body, found):
            raise Rejected(
                f"{self.where} took the patch of Cluster {name} and passed over {', '.join(passed_over)}: this KKP "
                "doesn't change that by its REST API. Use a connection to the seed"
            )

    @contextmanager
    def _seed_may_have_gone(self, name: str) -> Iterator[None]:
        """Take a cluster that is not found, and was a moment ago, for one that the next look tells more about.

        KKP says the same of a cluster whose seed it does not reach (`Projects.find`).
        """
        try:
            yield
        except NotFound as error:
            raise ServerFault(
                f"{self.where} finds Cluster {name} no more, which it has just shown: KKP may not reach its seed for "
                f"the moment ({error})"
            ) from error

    def _changing(self, name: str, patch: Patch) -> AbstractAsyncContextManager[Answered]:
        if self._recorder is None:
            return nullcontext(Answered())
        return self._recorder.changing(Asked(where=self.where, verb="patch", kind=CLUSTERS, name=name, patch=patch))

    def _with(self, fence: Fence | None, recorder: Recorder | None) -> KkpSeed:
        made = KkpSeed(self._api, self._connection)
        made._projects, made._offers = self._projects, self._offers
        made._fence, made._recorder = fence, recorder
        return made


def _pause_seconds(trouble: Transient, attempt: int) -> float:
    if trouble.retry_after_seconds is not None:
        return float(min(trouble.retry_after_seconds, LONGEST_PAUSE_SECONDS))
    if isinstance(trouble, Conflict):
        return CONFLICT_PAUSE_SECONDS * attempt  # KKP's controllers write the status in bursts
    return CONFLICT_PAUSE_SECONDS * float(2**attempt)
