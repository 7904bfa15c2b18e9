"""The lab's ASGI application: every API server under its path prefix, and what else is mounted, as the lab's interface.

Refuses websockets. Plain ASGI, because kubectl's 1,000 requests in a row are what the lab's speed is measured by.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from lab.apiserver.exchange import Answer, Exchange
from lab.apiserver.problems import no_such_path
from lab.apiserver.server import ApiServer


def build_app(servers: Mapping[str, ApiServer], *, mounted: Mapping[str, ASGIApp] | None = None) -> ASGIApp:
    """Return the application. What is added to the mappings, path prefix to whom it belongs, later is served too."""
    others = {} if mounted is None else mounted

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        path: str = scope["path"]
        for where, other in others.items():
            if path == where or path.startswith(f"{where}/"):
                await other({**scope, "root_path": f"{scope.get('root_path', '')}{where}"}, receive, send)
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
