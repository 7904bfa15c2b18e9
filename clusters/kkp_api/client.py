"""Requests to KKP's REST API, with timeouts, bounded retries of reads, and one translation of errors.

Refuses to know any object, and to repeat a change: whoever asked for it must look first whether it was made.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from clusters.api import Fence
from clusters.connections import KkpConnection, environment_proxy
from clusters.kkp_api.wire import no_api, quoted, translate_answer, translate_transport
from migration.errors import Conflict, Transient

Json = Any
REQUEST_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 10.0
ATTEMPTS: Final = 4
LONGEST_RETRY_AFTER_SECONDS: Final = 30.0
AT_A_TIME: Final = 8
# RFC 7386. KKP 2.31 reads the body without looking at its type.
MERGE_PATCH: Final = "application/merge-patch+json"

_backoff = wait_random_exponential(multiplier=0.5, max=8)


class KkpApi:
    """KKP's REST API. `where` names it in messages."""

    def __init__(self, client: httpx.AsyncClient, connection: KkpConnection) -> None:
        self._client = client
        self._token = connection.token
        self.where = f"KKP API {connection.name}"
        self._slots = asyncio.Semaphore(AT_A_TIME)

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        """Return the JSON at a path, which is given in parts. Raises NotFound."""
        asked = f"GET {_path(path)}"
        response = await self._retrying("GET", _path(path), query)
        try:
            return response.json()
        except ValueError:
            raise no_api(response, where=self.where, asked=asked) from None

    async def text(self, *path: str) -> tuple[str, str]:
        """Return the text at a path, and the name of the file as which it is offered."""
        response = await self._retrying("GET", _path(path), None)
        return response.text, response.headers.get("Content-Disposition", "")

    async def patch(
        self, *path: str, body: Mapping[str, Any], query: Mapping[str, str], fence: Fence | None = None
    ) -> Json:
        """Apply a merge patch, once. After Unreachable or ServerFault it may have been applied all the same."""
        response = await self._request("PATCH", _path(path), query, body, fence)
        try:
            return response.json()
        except ValueError:
            raise no_api(response, where=self.where, asked=f"PATCH {_path(path)}") from None

    def quoted(self, said: str) -> str:
        """Return what KKP said as it may be shown."""
        return quoted(said, token=self._token)

    async def _retrying(self, method: str, path: str, query: Mapping[str, str] | None) -> httpx.Response:
        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_repeat), stop=stop_after_attempt(ATTEMPTS), wait=pause, reraise=True
        )
        return await retrying(self._request, method, path, query)

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None = None,
        fence: Fence | None = None,
    ) -> httpx.Response:
        asked = f"{method} {path}"
        headers = {"Content-Type": MERGE_PATCH} if body is not None else {}
        try:
            async with self._slots:
                # Asked once it is our turn, which may take longer than its answer is good for.
                if fence is not None:
                    await fence()
                # httpx bounds each read, and not all of them together.
                async with asyncio.timeout(REQUEST_SECONDS):
                    response = await self._client.request(method, path, params=query, json=body, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            raise translate_transport(error, where=self.where, asked=asked) from error
        if not response.is_success:
            raise translate_answer(response, where=self.where, asked=asked, token=self._token)
        return response


@asynccontextmanager
async def open_client(connection: KkpConnection) -> AsyncIterator[KkpApi]:
    """Open the API of a connection, and close it in the end; nothing is sent yet."""
    async with httpx.AsyncClient(
        base_url=connection.url,
        headers={"Authorization": f"Bearer {connection.token}", "Accept": "application/json"},
        verify=ssl.create_default_context(cadata=connection.certificate_authority or None),
        timeout=httpx.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS),
        # A .netrc that knows the host would take the token's place.
        trust_env=False,
        proxy=environment_proxy(connection.url),
    ) as client:
        yield KkpApi(client, connection)


def pause(state: RetryCallState) -> float:
    """Return for how long to wait before the next try: as long as KKP asks for, or a little."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Transient) and error.retry_after_seconds is not None:
        return min(error.retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS)
    return _backoff(state)


def _path(parts: tuple[str, ...]) -> str:
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


def _may_repeat(error: BaseException) -> bool:
    return isinstance(error, Transient) and not isinstance(error, Conflict)
