"""Where the API servers of a lab are: in its own memory, or somebody else's that its platform is attached to.

The platform can't tell the two apart: it has a client, and its webhooks are asked.
"""

from __future__ import annotations

import base64
import logging
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import yaml

from lab.admission_reviews import configuration, review_app
from lab.apiserver.server import ApiServer, User
from lab.credentials import Credentials, kubeconfig, new_token
from lab.errors import ApiError
from lab.platform.http import HttpClient
from lab.resources import CLUSTERS, MUTATING_WEBHOOKS, NODES
from lab.viewers import VIEWERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp

    from lab.faults import Faults
    from lab.objects import Object
    from lab.platform.client import Client
    from lab.platform.webhook import Webhook
    from lab.resources import Resource

ADMIN = User("kubernetes-admin", ("system:masters",))
VIEWER = User("viewer", (VIEWERS,))
NOT_FOUND = 404
WEBHOOKS = "kkp"
"""Name of the configuration by which an API server asks the platform's webhooks."""

log = logging.getLogger(__name__)


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
    viewer_kubeconfig: str = field(default="", repr=False)
    """That of somebody who may only look, if the server is the lab's own."""
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
        token, viewer = new_token(), new_token()
        server = ApiServer(name, tokens={token: ADMIN, viewer: VIEWER}, faults=self._faults, version=self._version)
        for webhook in webhooks:
            server.register_admission(webhook.resource, webhook.hook)
        self.servers[path] = server
        url = f"{self._origin}{path}"
        authority = self._credentials.certificate_authority
        content, of_viewer = (
            kubeconfig(name=name, url=url, certificate_authority=authority, token=item) for item in (token, viewer)
        )
        return ClusterApi(name, url, server.client, content, of_viewer, server)

    async def close(self) -> None:
        """Nothing to free: the servers are memory."""


class OtherServers:
    """API servers that run already, one kubeconfig each: the seed's first, then one per user cluster."""

    def __init__(self, origin: str, credentials: Credentials, kubeconfigs: Iterable[str]) -> None:
        self.servers: dict[str, ApiServer] = {}
        self.webhooks: dict[str, ASGIApp] = {}
        self._origin, self._credentials = origin, credentials
        self._kubeconfigs = iter(kubeconfigs)
        self._urls: set[str] = set()
        self._opened = AsyncExitStack()

    async def open(self, name: str, *, path: str, webhooks: Iterable[Webhook]) -> ClusterApi:
        """Return the API behind the next kubeconfig."""
        file = next(self._kubeconfigs)
        url, authority, token, content = _read(Path(file))
        if url in self._urls:
            raise BadKubeconfig(
                f"{file} leads to {url}, as another one does: each cluster has an API server of its own"
            )
        self._urls.add(url)
        client = await self._opened.enter_async_context(HttpClient(url, authority, token))
        await _refuse_used(client, file)
        hooks = tuple(webhooks)
        below = f"/webhooks{path}"
        self.webhooks[below] = review_app(hooks)
        trusted = self._credentials.certificate_authority
        asked = configuration(WEBHOOKS, hooks, url=f"{self._origin}{below}", certificate_authority=trusted)
        self._opened.push_async_callback(_remove_webhooks, client, file)
        return ClusterApi(name, url, client, content, configurations=(asked,))

    async def close(self) -> None:
        """Leave no webhook that nobody answers, and close the connections."""
        await self._opened.aclose()


async def _refuse_used(client: Client, file: str) -> None:
    """Raise BadKubeconfig unless the API server can be asked, and holds neither nodes nor anybody's clusters."""
    try:
        nodes, _ = await client.list(NODES)
        clusters = await _listed_if_defined(client, CLUSTERS)
        hooks, _ = await client.list(MUTATING_WEBHOOKS, field_selector=f"metadata.name={WEBHOOKS}")
    except ApiError as error:
        raise BadKubeconfig(f"the API server of {file} can't be used: {error.message}") from error
    if nodes or clusters or hooks:
        found = [what for what, some in (("nodes", nodes), ("Clusters", clusters), ("KKP's webhooks", hooks)) if some]
        raise BadKubeconfig(f"the API server of {file} is not fresh, it has {', '.join(found)}: the lab would harm it")


async def _listed_if_defined(client: Client, resource: Resource) -> list[Object]:
    try:
        return (await client.list(resource))[0]
    except ApiError as error:
        if error.code != NOT_FOUND:
            raise
        return []


async def _remove_webhooks(client: Client, file: str) -> None:
    try:
        await client.delete(MUTATING_WEBHOOKS, WEBHOOKS)
    except ApiError as error:
        if error.code != NOT_FOUND:
            log.warning("webhook %s stays at the API server of %s: %s", WEBHOOKS, file, error.message)


async def install(client: Client, configurations: Iterable[tuple[Resource, Object]]) -> None:
    """Leave these webhook configurations."""
    for resource, body in configurations:
        await client.create(resource, body)


def _read(file: Path) -> tuple[str, bytes, str, str]:
    """Return URL, certificate authority, token and the whole of a kubeconfig's current context."""
    try:
        content = file.read_text()
        config: Any = yaml.safe_load(content)
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        token = _named(config["users"], context["user"])["user"]["token"]
        authority = base64.b64decode(cluster["certificate-authority-data"])
        ssl.create_default_context(cadata=authority.decode())
        url = str(cluster["server"]).rstrip("/")
        if urlsplit(url).scheme != "https" or not urlsplit(url).hostname or not str(token).isprintable():
            raise ValueError("no HTTPS address, or no token")
    except ssl.SSLError as error:
        raise BadKubeconfig(f"the certificate authority in {file} is none") from error
    except OSError as error:
        raise BadKubeconfig(f"cannot read kubeconfig {file}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, StopIteration) as error:
        raise BadKubeconfig(
            f"{file} is no kubeconfig with a current context, an embedded certificate authority and a token"
        ) from error
    return url, authority, str(token), content


def _named(entries: Any, name: Any) -> Any:
    return next(entry for entry in entries if entry["name"] == name)
