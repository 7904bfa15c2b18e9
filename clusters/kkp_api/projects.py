"""In which project a cluster is, and what a project has. There is no list across projects, so each one is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from clusters.kkp_api.client import Json, KkpApi
from migration.errors import Forbidden, InvalidRequest, NoSuchCluster, NotFound, Permanent, ServerFault


class Projects:
    """The projects that a token sees, or the one that the connection names."""

    def __init__(self, api: KkpApi, *, connection: str, project: str) -> None:
        self._api, self._connection, self._only = api, connection, project
        self._project_of: dict[str, str] = {}

    async def find(self, cluster: str) -> tuple[str, Json]:
        """Return the project of a cluster, and the cluster. Raises InvalidRequest if it is in none that can be seen.

        A cluster whose seed doesn't answer is told like one that doesn't exist (D pkg/handler/middleware), so nothing
        is taken for absent unless every project's list is whole.
        """
        if known := self._project_of.get(cluster):
            try:
                return known, await self.get(known, cluster)
            except NotFound:
                del self._project_of[cluster]
        projects = [self._only] if self._only else [item["id"] for item in await self._list()]
        found = [item for item in await asyncio.gather(*(self._look(one, cluster) for one in projects)) if item]
        if not found:
            raise await self._nowhere(cluster)
        self._project_of[cluster] = found[0][0]
        return found[0]

    async def project_of(self, cluster: str) -> str:
        """Return the project of a cluster, which it never leaves."""
        known = self._project_of.get(cluster)
        return known or (await self.find(cluster))[0]

    async def get(self, project: str, cluster: str) -> Json:
        """Return a cluster of a project. Raises NotFound."""
        return await self._api.get("v2", "projects", project, "clusters", cluster)

    async def clusters(self) -> list[tuple[str, Json]]:
        """Return every cluster with its project. Raises ServerFault if a list isn't whole."""
        projects = [await self._project(self._only)] if self._only else await self._list()
        listed = await asyncio.gather(*(self._clusters_of(item) for item in projects))
        return [(project["id"], item) for project, items in zip(projects, listed, strict=True) for item in items]

    async def _look(self, project: str, cluster: str) -> tuple[str, Json] | None:
        try:
            return project, await self.get(project, cluster)
        except (NotFound, Forbidden):
            return None  # if it is found nowhere, the lists tell what could not be seen

    async def _nowhere(self, cluster: str) -> Exception:
        listed = await self.clusters()
        if any(item.get("id") == cluster for _, item in listed):
            return ServerFault(f"{self._api.where} lists Cluster {cluster}, and doesn't find it")
        where = f"project {self._only}" if self._only else "any project that the token sees"
        return NoSuchCluster(
            f"{self._api.where} has no Cluster named {cluster!r} in {where}. The name is the ID that KKP shows in the "
            "cluster's address, not the human-readable one"
        )

    async def _list(self) -> list[Json]:
        # displayAll matters to administrators alone.
        found = await self._api.get("v1", "projects", query={"displayAll": "true"})
        if not isinstance(found, list) or not all(isinstance(item, Mapping) and item.get("id") for item in found):
            raise ServerFault(f"{self._api.where} answered with something that is no list of projects")
        if not found:
            raise InvalidRequest(
                f"{self._api.where} shows no project to the token of connection {self._connection}: make it a member "
                "of one, or name the project in the connection if the token may not list any"
            )
        return found

    async def _project(self, project: str) -> Json:
        try:
            found = await self._api.get("v1", "projects", project)
        except (NotFound, Forbidden) as error:
            raise InvalidRequest(
                f"{self._api.where} has no project {project!r} for the token of connection {self._connection}: "
                f"the name is the ID that KKP shows in the project's address ({error})"
            ) from error
        return {"id": project, **(found if isinstance(found, Mapping) else {})}

    async def _clusters_of(self, project: Mapping[str, Any]) -> list[Json]:
        """Return a project's clusters; read once more if there seem to be too few: one may have gone meanwhile."""
        name, found = project["id"], await self._listed(project["id"])
        told = project.get("clustersNumber")
        if isinstance(told, int) and len(found) < told:
            # KKP leaves out a seed that it can't make a client for, without a word (D pkg/handler/v2/cluster), and so
            # does the number: only one that went or came back in between shows.
            told = (await self._project(name)).get("clustersNumber")
            found = await self._listed(name)
            if isinstance(told, int) and len(found) < told:
                raise ServerFault(
                    f"{self._api.where} lists {len(found)} of the {told} clusters that project {name} has: one of its "
                    "seeds is out of reach"
                )
        return found

    async def _listed(self, project: str) -> list[Json]:
        answer = await self._api.get("v2", "projects", project, "clusters")
        if isinstance(answer, Mapping) and answer.get("errorMessage"):
            said = self._api.quoted(str(answer["errorMessage"]))
            raise ServerFault(f"{self._api.where} has only a part of the clusters of project {project}: {said}")
        found = answer.get("clusters") if isinstance(answer, Mapping) else answer
        if not isinstance(found, list):
            raise ServerFault(f"{self._api.where} answered with something that is no list of clusters")
        return found


async def role_in(api: KkpApi, project: str) -> str:
    """Return the token's role in a project, as `viewers`; empty if that can't be told."""
    try:
        me = await api.get("v1", "me")
    except Permanent:
        return ""  # KKP tells service accounts less than people
    roles = (me.get("projects") or ()) if isinstance(me, Mapping) and not me.get("isAdmin") else ()
    return next((str(role.get("group", "")) for role in roles if role.get("id") == project), "")
