"""What the REST API stands on: one seed, its user clusters, and who asks about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from lab.errors import ApiError
from lab.faults import Faults, PlatformTrouble
from lab.objects import Object, labels_of, name_of
from lab.platform.client import Client
from lab.platform.kkp import Profile
from lab.platform.kkp.admission import PROJECT_ID
from lab.resources import CLUSTERS, PROJECTS
from lab.restapi.answers import RestError
from lab.restapi.people import People, Person


@dataclass(frozen=True)
class Installation:
    """A KKP installation: its seed, the way to each user cluster, and its people."""

    seed_name: str
    seed: Client
    user_cluster: Callable[[str], Client]
    """Raises KeyError for an unknown one."""
    profile: Profile
    faults: Faults
    people: People

    def meets(self, trouble: PlatformTrouble, cluster: str) -> bool:
        """Tell whether trouble is on for a cluster."""
        return self.faults.for_platform(trouble, cluster=cluster, subject=self.seed_name) is not None

    def is_reached(self, cluster: str) -> bool:
        """Tell whether the seed of a cluster answers."""
        return not self.meets("seed-unreachable", cluster) and not self.is_left_out(cluster)

    def is_left_out(self, cluster: str) -> bool:
        """Tell whether lists leave out the seed of a cluster without a word."""
        return self.meets("seed-left-out", cluster) or self.meets("seed-gone", cluster)


@dataclass(frozen=True)
class Call:
    """One authenticated request."""

    request: Request
    person: Person
    kkp: Installation

    @property
    def project_id(self) -> str:
        """The project that the path names."""
        return str(self.request.path_params["project"])

    @property
    def cluster_id(self) -> str:
        """The cluster that the path names."""
        return str(self.request.path_params["cluster"])

    def asks_for(self, flag: str) -> bool:
        """Tell whether a query parameter is true."""
        return self.request.query_params.get(flag) == "true"

    async def body(self, refuse_with: str) -> Any:
        """Return the JSON of the body; raises a 400 with these words."""
        try:
            return json.loads(await self.request.body())
        except ValueError as error:
            raise RestError(400, refuse_with) from error

    async def project(self) -> Object:
        """Return the project; 404 if there is none, 403 for those who are no members (D pkg/handler/v1/common)."""
        found = await self.kkp.seed.get(PROJECTS, self.project_id)
        if not self.person.is_admin and self.project_id not in self.person.roles:
            raise RestError(403, f'forbidden: "{self.person.email}" doesn\'t belong to project {self.project_id}')
        return found

    async def cluster(self) -> Object:
        """Return the cluster, as stored; 404 unless it is one of the project's.

        The seed is looked for before anything else: a cluster whose seed does not answer is one that nobody has
        (D pkg/handler/middleware getClusterProviderByClusterID).
        """
        found = await self._known_cluster()
        await self.project()
        if labels_of(found).get(PROJECT_ID) != self.project_id:
            raise RestError(404, f'clusters.kubermatic.k8c.io "{self.cluster_id}" not found')
        return found

    async def _known_cluster(self) -> Object:
        nobodys = RestError(404, f'cluster-provider "{self.cluster_id}" not found')
        if not self.kkp.is_reached(self.cluster_id):
            raise nobodys
        try:
            return await self.kkp.seed.get(CLUSTERS, self.cluster_id)
        except ApiError as error:
            raise nobodys if error.code == 404 else error from error

    def user_cluster(self, cluster: Object) -> Client:
        """Return the way to a user cluster."""
        try:
            return self.kkp.user_cluster(name_of(cluster))
        except KeyError as error:
            raise RestError(500, f"failed to get the client of cluster {name_of(cluster)}") from error

    def check_may_write(self, resource: str, name: str, *, group: str, scope: str, verb: str = "update") -> None:
        """Raise the 403 of the seed or user cluster, which KKP asks in the user's own name."""
        if not self.person.may_write(self.project_id):
            who = f'User "{self.person.email}" cannot {verb} resource "{resource}" in API group "{group}"'
            raise RestError(403, f'{resource}.{group} "{name}" is forbidden: {who} {scope}')
