"""The way of the platform's controllers to an API server that is not the lab's own: HTTP, with a kubeconfig's token.

Implements `lab.platform.client.Client`. Refuses to try again: controllers do that. Whatever keeps an answer away
becomes a 503, which says no more than that: the request may have been carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import aiohttp
import orjson

from lab.errors import ApiError
from lab.objects import Object, name_of, namespace_of
from lab.platform.client import WatchEvent
from lab.resources import PODS, Resource

TIMEOUT_SECONDS = 30.0
WATCH_SECONDS = 300
"""After which the server ends a watch, and the controllers list anew."""
LONGEST_LINE_BYTES = 16 * 1024 * 1024
"""One line of a watch holds one object, of which etcd takes 1.5 MiB at most."""
_MERGE_PATCH = "application/merge-patch+json"


@dataclass
class HttpClient:
    """The Kubernetes API behind a URL, while the `async with` block runs."""

    url: str
    certificate_authority: bytes = field(repr=False)
    token: str = field(repr=False)
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        """Open the session; connections are made as they are needed."""
        trust = ssl.create_default_context(cadata=self.certificate_authority.decode())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=0),  # every watch has a connection of its own
            headers={"Authorization": f"Bearer {self.token}", "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            read_bufsize=LONGEST_LINE_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> Object:
        """Return one object."""
        return await self._ask("GET", _path(resource, name, namespace=namespace))

    async def list(
        self, resource: Resource, *, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> tuple[list[Object], str]:
        """Return the objects and the resourceVersion of the list; an empty namespace means all of them."""
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        query = {name: value for name, value in selectors.items() if value}
        found = await self._ask("GET", _path(resource, namespace=namespace), query=query)
        # What lists hold says neither kind nor apiVersion; controllers go by them.
        named = {"kind": resource.kind, "apiVersion": resource.api_version}
        return [{**named, **item} for item in found["items"]], str(found["metadata"]["resourceVersion"])

    async def watch(self, resource: Resource, resource_version: str) -> AsyncIterator[WatchEvent]:
        """Yield what changes in all namespaces after the resourceVersion; ends when the server closes it."""
        query = {"watch": "true", "resourceVersion": resource_version, "timeoutSeconds": str(WATCH_SECONDS)}
        patience = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=WATCH_SECONDS * 1.5)
        async with self._answered("GET", _path(resource), query=query, timeout=patience) as answer:
            await _refuse_errors(answer)
            async for line in answer.content:
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise _error_of(event["object"], code=500)
                if event["type"] != "BOOKMARK":
                    yield WatchEvent(event["type"], event["object"])

    async def create(self, resource: Resource, body: Object, *, namespace: str = "") -> Object:
        """Create an object; the namespace is the body's unless given."""
        where = namespace or namespace_of(body)
        return await self._ask("POST", _path(resource, namespace=where), body=body)

    async def update(self, resource: Resource, body: Object, *, subresource: str = "") -> Object:
        """Replace an object, or the part that a subresource stands for; 409 on a stale resourceVersion."""
        path = _path(resource, name_of(body), namespace=namespace_of(body), subresource=subresource)
        return await self._ask("PUT", path, body=body)

    async def patch(
        self, resource: Resource, name: str, patch: dict[str, Any], *, namespace: str = "", subresource: str = ""
    ) -> Object:
        """Apply an RFC 7386 merge patch. Optimistic locking by a `metadata.resourceVersion` in it."""
        path = _path(resource, name, namespace=namespace, subresource=subresource)
        if resource == PODS and subresource == "binding":
            # A binding can only be created; what answers is a Status, as nobody needs the pod.
            return await self._ask("POST", path, body=_binding(name, patch))
        return await self._ask("PATCH", path, body=patch, content_type=_MERGE_PATCH)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str = "",
        grace_period_seconds: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> None:
        """Delete an object; with `uid` only the one that has it (409 otherwise)."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        await self._ask("DELETE", _path(resource, name, namespace=namespace), body=options)

    async def evict(self, name: str, *, namespace: str) -> None:
        """Evict a pod; 429 while a PodDisruptionBudget forbids it."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        await self._ask("POST", _path(PODS, name, namespace=namespace, subresource="eviction"), body=eviction)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        async with self._answered(method, path, query=query, data=data, headers=headers) as answer:
            await _refuse_errors(answer)
            return dict(orjson.loads(await answer.read()))

    @contextlib.asynccontextmanager
    async def _answered(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, **how: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the client is used outside of its block")
        try:
            async with self._session.request(method, self.url + path, params=query, **how) as answer:
                yield answer
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            message = f"{method} {path} had no answer: {type(error).__name__}: {error}"
            raise ApiError(503, message, reason="ServiceUnavailable") from error


def _path(resource: Resource, name: str = "", *, namespace: str = "", subresource: str = "") -> str:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    scope = f"/namespaces/{namespace}" if namespace and resource.namespaced else ""
    parts = (resource.plural, name, subresource)
    return root + scope + "".join(f"/{part}" for part in parts if part)


def _binding(pod: str, patch: Object) -> Object:
    target = {"apiVersion": "v1", "kind": "Node", "name": patch["spec"]["nodeName"]}
    metadata = {"name": pod, **{key: value for key, value in patch.get("metadata", {}).items() if key == "uid"}}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}


async def _refuse_errors(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    content = await answer.read()
    try:
        status = orjson.loads(content)
    except orjson.JSONDecodeError:
        status = {"message": content[:200].decode(errors="replace")}
    raise _error_of(status if isinstance(status, dict) else {}, code=answer.status)


def _error_of(status: Object, *, code: int) -> ApiError:
    details = status.get("details")
    return ApiError(
        int(status.get("code") or code),
        str(status.get("message") or f"the API server answered {code}"),
        reason=status.get("reason"),
        details=details,
        retry_after_seconds=(details or {}).get("retryAfterSeconds"),
    )
