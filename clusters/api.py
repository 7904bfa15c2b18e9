"""Raw JSON requests to one API server, with timeouts, bounded retries and one translation of errors.

Refuses to know any kind of object: that is for `seed` and `user_cluster`. A request is repeated here only where a
repetition is harmless: reads, merge patches, and deletions that name a uid.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.kube_config import load_kube_config_from_dict
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from clusters.connections import environment_proxy
from clusters.kinds import Kind
from clusters.recording import Answered, Asked, Recorder
from clusters.wire import translate_response, translate_transport
from migration.changes import Verb
from migration.errors import Conflict, Expired, InvalidRequest, NotFound, Transient

Json = Any
Fence = Callable[[], Awaitable[None]]
"""Is asked before every change, and raises what speaks against it."""

PAGE: Final = 500
REQUEST_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 10.0
WATCH_SECONDS: Final = 290
"""How long one watch request lasts; below the API server's default minimum of 30 minutes, above a proxy's patience."""
ATTEMPTS: Final = 4
LONGEST_RETRY_AFTER_SECONDS: Final = 30.0
MERGE_PATCH: Final = "application/merge-patch+json"

_SERVER: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]+)?(/.*)?\Z", re.IGNORECASE)

_backoff = wait_random_exponential(multiplier=0.25, max=4)


class KubeApi:
    """One API server. `where` names it in messages, as `seed lab` or `user cluster abc`."""

    def __init__(
        self, client: ApiClient, *, where: str, fence: Fence | None = None, recorder: Recorder | None = None
    ) -> None:
        self._client = client
        self._fence = fence
        self._recorder = recorder
        self.where = where
        self.url = str(client.configuration.host)

    def fenced(self, fence: Fence) -> KubeApi:
        """Return the same API server, on which nothing is changed without asking the fence just before."""
        return KubeApi(self._client, where=self.where, fence=fence, recorder=self._recorder)

    def recorded(self, recorder: Recorder) -> KubeApi:
        """Return the same API server, of which the recorder is told what is read and changed."""
        return KubeApi(self._client, where=self.where, fence=self._fence, recorder=recorder)

    async def get(self, kind: Kind, name: str, *, namespace: str = "") -> Json:
        """Return one object. Raises NotFound."""
        found = await self._read(kind.path(namespace=namespace, name=name), {})
        self._saw(kind, found)
        return found

    async def find(self, kind: Kind, name: str, *, namespace: str = "") -> Json | None:
        """Return one object, or None if it (or its kind) doesn't exist."""
        try:
            return await self.get(kind, name, namespace=namespace)
        except NotFound:
            return None

    async def find_listed(self, kind: Kind, name: str, *, namespace: str = "") -> Json | None:
        """Return one object, or None if it (or its kind) doesn't exist, with no other right than to list the kind."""
        found = await self.list(kind, namespace=namespace, fields=f"metadata.name={name}")
        return found[0] if found else None

    async def pages(
        self, kind: Kind, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[list[Json], str]]:
        """Yield pages of objects, with the list's resourceVersion. Raises Expired if a continue token grew too old."""
        query = {"limit": str(PAGE), **_selectors(labels, fields)}
        while True:
            page = await self._read(kind.path(namespace=namespace), query)
            metadata = page.get("metadata") or {}
            self._saw(kind, *(page.get("items") or ()))
            yield page.get("items") or [], str(metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def list(self, kind: Kind, *, namespace: str = "", labels: str = "", fields: str = "") -> list[Json]:
        """Return all objects of a kind, read in pages; none if a custom kind doesn't exist. Starts over on 410."""
        for attempt in range(ATTEMPTS):
            try:
                pages = self.pages(kind, namespace=namespace, labels=labels, fields=fields)
                return [item async for items, _ in pages for item in items]
            except Expired:
                if attempt == ATTEMPTS - 1:
                    raise
            except NotFound:
                if kind.custom:
                    return []
                raise
        raise AssertionError("unreachable")

    async def is_empty(self, kind: Kind) -> bool:
        """Tell whether there is no object of a kind, in any namespace. Raises NotFound if the kind isn't served."""
        return not (await self._read(kind.path(), {"limit": "1"})).get("items")

    async def describe(self, path: str) -> Json:
        """Return what the server says of a group (`/apis/apps`) or of a version of it. Raises NotFound."""
        return await self._read(path, {})

    async def create(self, kind: Kind, body: Mapping[str, Any], *, namespace: str = "") -> Json:
        """Create an object, once. Raises AlreadyExists; after Unreachable the caller must look whether it is there."""
        name = str((body.get("metadata") or {}).get("name", ""))
        async with self._changing("create", kind, name, namespace) as answered:
            answered.after = found = await self._request("POST", kind.path(namespace=namespace), body=body)
        return found

    async def replace(self, kind: Kind, body: Mapping[str, Any], *, namespace: str = "") -> Json:
        """Replace an object, once. Raises Conflict unless its resourceVersion is the body's."""
        name = body["metadata"]["name"]
        async with self._changing("replace", kind, name, namespace) as answered:
            answered.after = found = await self._request("PUT", kind.path(namespace=namespace, name=name), body=body)
        return found

    async def patch(self, kind: Kind, name: str, patch: Mapping[str, Any], *, namespace: str = "") -> Json:
        """Apply a merge patch. Raises Conflict if the patch names a resourceVersion that is no longer current."""
        path = kind.path(namespace=namespace, name=name)
        async with self._changing("patch", kind, name, namespace, patch=patch) as answered:
            answered.after = found = await self._retrying("PATCH", path, body=patch, content_type=MERGE_PATCH)
        return found

    async def delete(
        self, kind: Kind, name: str, *, namespace: str = "", uid: str, grace_seconds: int | None = None
    ) -> bool:
        """Delete exactly the object with this uid; False if it is gone. Raises Conflict if another took its name."""
        body: dict[str, Any] = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        path = kind.path(namespace=namespace, name=name)
        async with self._changing("delete", kind, name, namespace, uid) as answered:
            try:
                await self._retrying("DELETE", path, may_repeat=_may_repeat_deletion, body=body)
            except NotFound:
                answered.after = None
        return answered.after is not None

    async def post(self, kind: Kind, name: str, subresource: str, body: Mapping[str, Any], *, namespace: str) -> Json:
        """Post to a subresource, once."""
        path = kind.path(namespace=namespace, name=name, subresource=subresource)
        verb: Verb = "evict" if subresource == "eviction" else "create"
        uid = str(((body.get("deleteOptions") or {}).get("preconditions") or {}).get("uid", ""))
        async with self._changing(verb, kind, name, namespace, uid):
            return await self._request("POST", path, body=body)

    async def watch(
        self, kind: Kind, *, resource_version: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Json]]:
        """Yield type and object of each event, bookmarks included, until the server ends the watch.

        Raises Expired when the resourceVersion is too old, and Unreachable when the connection is cut.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_SECONDS),
            **_selectors(labels, fields),
        }
        patience = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=WATCH_SECONDS + 30)
        async with self._respond("GET", kind.path(namespace=namespace), query=query, patience=patience) as response:
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise translate_response(
                        event["object"], None, where=self.where, asked=f"watch {kind.group_resource}"
                    )
                yield event["type"], event["object"]

    def _saw(self, kind: Kind, *found: Json) -> None:
        if self._recorder is not None:
            for item in found:
                self._recorder.saw(self.where, kind, item)

    def _changing(
        self,
        verb: Verb,
        kind: Kind,
        name: str,
        namespace: str,
        uid: str = "",
        *,
        patch: Mapping[str, Any] | None = None,
    ) -> AbstractAsyncContextManager[Answered]:
        if self._recorder is None:
            return nullcontext(Answered())
        asked = Asked(where=self.where, verb=verb, kind=kind, namespace=namespace, name=name, uid=uid, patch=patch)
        return self._recorder.changing(asked)

    async def _read(self, path: str, query: Mapping[str, str]) -> Json:
        return await self._retrying("GET", path, query=query)

    async def _retrying(
        self,
        method: str,
        path: str,
        *,
        may_repeat: Callable[[BaseException], bool] | None = None,
        **arguments: Any,
    ) -> Json:
        retrying = AsyncRetrying(
            retry=retry_if_exception(may_repeat or _may_repeat),
            stop=stop_after_attempt(ATTEMPTS),
            wait=_pause,
            reraise=True,
        )
        return await retrying(self._request, method, path, **arguments)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        if self._fence is not None and method != "GET":
            await self._fence()
        patience = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        async with self._respond(
            method, path, query=query, body=body, patience=patience, content_type=content_type
        ) as response:
            found = await response.json(content_type=None)
            if not isinstance(found, Mapping):
                raise ValueError("a JSON value that is no object")  # noqa: TRY004 - as for other answers that make no sense
            return found

    @asynccontextmanager
    async def _respond(
        self,
        method: str,
        path: str,
        *,
        patience: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        asked = f"{method} {path}"
        try:
            _, url, headers, _, _ = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(method, url, headers, body, _request_timeout=patience)
            async with answer.response as response:
                try:
                    if response.status >= 400:
                        raise translate_response(await _status(response), response, where=self.where, asked=asked)
                    yield response
                finally:
                    _hang_up(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise translate_transport(error, where=self.where, asked=asked) from error


@asynccontextmanager
async def open_api(kubeconfig: Mapping[str, Any], *, where: str) -> AsyncIterator[KubeApi]:
    """Open an API server by its kubeconfig, and close it in the end. Raises InvalidRequest for an unusable one."""
    configuration = type.__call__(Configuration)  # a fresh one: the class hands out copies of a process-wide default
    configuration.connection_pool_maxsize = 256
    configuration.host = ""  # else a kubeconfig without a server would mean the one on this machine
    try:
        await load_kube_config_from_dict(  # type: ignore[no-untyped-call]
            dict(kubeconfig), client_configuration=configuration
        )
    except (ConfigException, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        # The original error may quote what it could not read, which holds credentials.
        raise InvalidRequest(
            f"the kubeconfig of {where} can't be used ({type(error).__name__}): export it again"
        ) from None
    if any(not value.isprintable() for value in configuration.api_key.values()):
        raise InvalidRequest(f"the token in the kubeconfig of {where} has characters that none has: export it again")
    if not _SERVER.match(configuration.host):
        raise InvalidRequest(f"the kubeconfig of {where} names no server as https://host:port: export it again")
    # aiohttp would look up proxy and .netrc anew, in a thread, at every request: a third of the client's time when a
    # thousand pods are deleted. And a .netrc that knows the host would clash with the kubeconfig's token.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = configuration.proxy or environment_proxy(configuration.host)
    try:
        client = ApiClient(configuration)
    except (OSError, ValueError) as error:
        raise InvalidRequest(
            f"the certificates in the kubeconfig of {where} can't be used: {type(error).__name__}"
        ) from error
    async with client:
        yield KubeApi(client, where=where)


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Cut the connection of an answer that is not at its end: TLS would wait for the server to take its leave."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


async def _status(response: aiohttp.ClientResponse) -> Json:
    try:
        return await response.json(content_type=None)
    except (ValueError, aiohttp.ClientError):
        return None


def _may_repeat(error: BaseException) -> bool:
    """Conflicts and expired versions would meet the same answer again: the caller must read anew first."""
    return isinstance(error, Transient) and not isinstance(error, (Conflict, Expired))


def _may_repeat_deletion(error: BaseException) -> bool:
    """One that names a uid takes no other object, so a conflict means little: that somebody writes it just now."""
    return _may_repeat(error) or isinstance(error, Conflict)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Transient) and error.retry_after_seconds is not None:
        return min(error.retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS)
    return _backoff(state)
