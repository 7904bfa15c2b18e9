"""The lab's ASGI application: every API server under its path prefix, and the lab's own interface at /lab.

Refuses websockets. Plain ASGI, because kubectl's 1,000 requests in a row are what the lab's speed is measured by.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from lab.apiserver.exchange import Answer, Exchange
from lab.apiserver.problems import no_such_path
from lab.apiserver.server import ApiServer

CONTROL_PREFIX = "/lab"


def build_app(servers: Mapping[str, ApiServer], *, control: ASGIApp | None = None) -> ASGIApp:
    """Return the application. Servers that are added to the mapping later are served too."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        path: str = scope["path"]
        if control is not None and (path == CONTROL_PREFIX or path.startswith(f"{CONTROL_PREFIX}/")):
            await control({**scope, "root_path": f"{scope.get('root_path', '')}{CONTROL_PREFIX}"}, receive, send)
            return
        prefix = _prefix_of(path, servers)
        if prefix is None:
            await Exchange(scope, receive, send, path).answer(Answer.refusal(no_such_path()))
            return
        await servers[prefix].handle(Exchange(scope, receive, send, path[len(prefix) :] or "/"))

    return app


def _prefix_of(path: str, servers: Mapping[str, ApiServer]) -> str | None:
    """Return the prefix of the server that a path belongs to; prefixes with two parts are found without a search."""
    parts = path.split("/", 3)
    likely = "/".join(parts[:3])
    if likely in servers:
        return likely
    return next((prefix for prefix in servers if not prefix or path == prefix or path.startswith(f"{prefix}/")), None)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
