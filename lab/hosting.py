"""Where the API servers of a lab are: in its own memory, or somebody else's that its platform is attached to.

The platform can't tell the two apart: it has a client, and its webhooks are asked.
"""

from __future__ import annotations

import base64
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from lab.admission_reviews import configuration, review_app
from lab.apiserver.server import ApiServer, User
from lab.credentials import Credentials, kubeconfig, new_token
from lab.errors import ApiError
from lab.objects import name_of
from lab.platform.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp

    from lab.faults import Faults
    from lab.objects import Object
    from lab.platform.client import Client
    from lab.platform.webhook import Webhook
    from lab.resources import Resource

ADMIN = User("kubernetes-admin", ("system:masters",))
CONFLICT = 409


class BadKubeconfig(Exception):
    """A kubeconfig can't be used to attach the lab; the message says why."""


@dataclass(frozen=True)
class ClusterApi:
    """The API of a seed or a user cluster."""

    name: str
    url: str
    client: Client
    kubeconfig: str = field(repr=False)
    """An administrator's, as YAML."""
    server: ApiServer | None = None
    """The lab's own, if it is."""
    configurations: tuple[tuple[Resource, Object], ...] = ()
    """What makes the API server ask the platform's webhooks; to be created once their resources are defined."""


class Hosting(Protocol):
    """Gives the seed and every user cluster its API."""

    servers: dict[str, ApiServer]
    """API servers that the lab has to serve, by path prefix."""
    webhooks: dict[str, ASGIApp]
    """What API servers elsewhere ask the lab, by path prefix."""

    async def open(self, name: str, *, path: str, webhooks: Iterable[Webhook]) -> ClusterApi:
        """Return the next API; the seed's is asked for first. Raises BadKubeconfig."""

    async def close(self) -> None:
        """Free what was opened."""


class OwnServers:
    """API servers in the lab's memory, served below its URL."""

    def __init__(self, origin: str, credentials: Credentials, faults: Faults, *, version: str) -> None:
        self.servers: dict[str, ApiServer] = {}
        self.webhooks: dict[str, ASGIApp] = {}
        self._origin, self._credentials, self._faults, self._version = origin, credentials, faults, version

    async def open(self, name: str, *, path: str, webhooks: Iterable[Webhook]) -> ClusterApi:
        """Return the API of a new server."""
        token = new_token()
        server = ApiServer(name, tokens={token: ADMIN}, faults=self._faults, version=self._version)
        for webhook in webhooks:
            server.register_admission(webhook.resource, webhook.hook)
        self.servers[path] = server
        url = f"{self._origin}{path}"
        authority = self._credentials.certificate_authority
        content = kubeconfig(name=name, url=url, certificate_authority=authority, token=token)
        return ClusterApi(name, url, server.client, content, server)

    async def close(self) -> None:
        """Nothing to free: the servers are memory."""


class OtherServers:
    """API servers that run already, one kubeconfig each: the seed's first, then one per user cluster."""

    def __init__(self, origin: str, credentials: Credentials, kubeconfigs: Iterable[str]) -> None:
        self.servers: dict[str, ApiServer] = {}
        self.webhooks: dict[str, ASGIApp] = {}
        self._origin, self._credentials = origin, credentials
        self._kubeconfigs = iter(kubeconfigs)
        self._opened = AsyncExitStack()

    async def open(self, name: str, *, path: str, webhooks: Iterable[Webhook]) -> ClusterApi:
        """Return the API behind the next kubeconfig."""
        file = next(self._kubeconfigs)
        url, authority, token, content = _read(Path(file))
        client = await self._opened.enter_async_context(HttpClient(url, authority, token))
        hooks = tuple(webhooks)
        below = f"/webhooks{path}"
        self.webhooks[below] = review_app(hooks)
        trusted = self._credentials.certificate_authority
        asked = configuration("kkp", hooks, url=f"{self._origin}{below}", certificate_authority=trusted)
        return ClusterApi(name, url, client, content, configurations=(asked,))

    async def close(self) -> None:
        """Close the connections."""
        await self._opened.aclose()


async def install(client: Client, configurations: Iterable[tuple[Resource, Object]]) -> None:
    """Leave these webhook configurations as they are given, whatever an earlier lab has left of that name."""
    for resource, body in configurations:
        try:
            await client.create(resource, body)
        except ApiError as error:
            if error.code != CONFLICT:
                raise
            await client.patch(resource, name_of(body), {"webhooks": body["webhooks"]})


def _read(file: Path) -> tuple[str, bytes, str, str]:
    """Return URL, certificate authority, token and the whole of a kubeconfig's current context."""
    try:
        content = file.read_text()
        config: Any = yaml.safe_load(content)
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        token = _named(config["users"], context["user"])["user"]["token"]
        authority = base64.b64decode(cluster["certificate-authority-data"])
        return str(cluster["server"]).rstrip("/"), authority, str(token), content
    except OSError as error:
        raise BadKubeconfig(f"cannot read kubeconfig {file}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, StopIteration) as error:
        raise BadKubeconfig(
            f"{file} is no kubeconfig with a current context, an embedded certificate authority and a token"
        ) from error


def _named(entries: Any, name: Any) -> Any:
    return next(entry for entry in entries if entry["name"] == name)
