"""In which project a cluster is, and what a project has. There is no list across projects, so each one is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from clusters.connections import KkpConnection
from clusters.kkp_api.client import Json, KkpApi
from migration.errors import ClusterError, Forbidden, InvalidRequest, NotFound, NotShown, Permanent, ServerFault

_PROJECT_OF: Final[dict[tuple[str, str], str]] = {}
"""The project of each cluster that this process has met, by the API's address and the ID: it never leaves it."""


class Projects:
    """The projects that a token sees, or the one that the connection names."""

    def __init__(self, api: KkpApi, connection: KkpConnection) -> None:
        self._api, self._connection, self._only = api, connection, connection.project

    async def find(self, cluster: str) -> tuple[str, Json]:
        """Return the project of a cluster, and the cluster. Raises InvalidRequest if it is in none that can be seen.

        A cluster whose seed doesn't answer is told like one that doesn't exist (D pkg/handler/middleware), so nothing
        is taken for absent unless every project's list is whole.
        """
        known, may_be_there = self._known(cluster), False
        if known:
            try:
                return known, await self.get(known, cluster)
            except NotFound:
                may_be_there = True
            except Forbidden:
                pass  # another token saw it
        projects = [self._only] if self._only else [item["id"] for item in await self._list()]
        if found := await self._search([project for project in projects if project != known], cluster):
            self._know(cluster, found[0])
            return found
        raise await self._nowhere(cluster, known=known if may_be_there else "")

    async def project_of(self, cluster: str) -> str:
        """Return the project of a cluster, which it never leaves."""
        return self._known(cluster) or (await self.find(cluster))[0]

    async def get(self, project: str, cluster: str) -> Json:
        """Return a cluster of a project. Raises NotFound."""
        return await self._api.get("v2", "projects", project, "clusters", cluster)

    async def clusters(self) -> list[tuple[str, Json]]:
        """Return every cluster with its project. Raises ServerFault if a list isn't whole."""
        projects = [await self._project(self._only)] if self._only else await self._list()
        listed = await asyncio.gather(*(self._clusters_of(item) for item in projects))
        found = [(project["id"], item) for project, items in zip(projects, listed, strict=True) for item in items]
        for project, item in found:
            self._know(str(item.get("id")), project)
        return found

    def _known(self, cluster: str) -> str:
        """Return the project of a cluster that was met before, if this connection leads there."""
        known = _PROJECT_OF.get((self._connection.url, cluster), "")
        return known if self._only in ("", known) else ""

    def _know(self, cluster: str, project: str) -> None:
        _PROJECT_OF[self._connection.url, cluster] = project

    async def _search(self, projects: Iterable[str], cluster: str) -> tuple[str, Json] | None:
        """Return the first answer that has the cluster. Trouble in other projects matters only if there is none."""
        looks = [asyncio.ensure_future(self._look(project, cluster)) for project in projects]
        try:
            for look in asyncio.as_completed(looks):
                with suppress(ClusterError):
                    if found := await look:
                        return found
        finally:
            for each in looks:
                each.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
        for each in looks:
            each.result()
        return None

    async def _look(self, project: str, cluster: str) -> tuple[str, Json] | None:
        try:
            return project, await self.get(project, cluster)
        except (NotFound, Forbidden):
            return None  # if it is found nowhere, the lists tell what could not be seen

    async def _nowhere(self, cluster: str, *, known: str) -> Exception:
        listed = await self.clusters()
        if any(item.get("id") == cluster for _, item in listed):
            return ServerFault(f"{self._api.where} lists Cluster {cluster}, and doesn't find it")
        if known:
            return ServerFault(
                f"{self._api.where} shows Cluster {cluster} no more, which was in project {known} before: KKP may not "
                "reach its seed for the moment, or it was deleted"
            )
        where = f"project {self._only}" if self._only else "any project that the token sees"
        return NotShown(
            f"{self._api.where} has no Cluster named {cluster!r} in {where}. The name is the ID that KKP shows in the "
            "cluster's address, not the human-readable one. KKP also leaves out, without a word, the clusters of a "
            "seed that it can't reach"
        )

    async def _list(self) -> list[Json]:
        # displayAll matters to administrators alone.
        found = await self._api.get("v1", "projects", query={"displayAll": "true"})
        if not isinstance(found, list) or not all(isinstance(item, Mapping) and item.get("id") for item in found):
            raise ServerFault(f"{self._api.where} answered with something that is no list of projects")
        if not found:
            raise InvalidRequest(
                f"{self._api.where} shows no project to the token of connection {self._connection.name}: make it a "
                "member of one, or name the project in the connection if the token may not list any"
            )
        return found

    async def _project(self, project: str) -> Json:
        try:
            found = await self._api.get("v1", "projects", project)
        except (NotFound, Forbidden) as error:
            raise InvalidRequest(
                f"{self._api.where} has no project {project!r} for the token of connection {self._connection.name}: "
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
