"""One HTTPS server for the whole lab, on the loop that runs everything else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from lab.credentials import Credentials

KEEP_ALIVE_SECONDS = 120
"""Longer than clients keep idle connections (Go's http.DefaultTransport: 90 s), so that it is they who close them."""
SHUTDOWN_SECONDS = 1
"""How long requests may finish at the end; watches never do by themselves."""


class AddressInUse(Exception):
    """The address to listen at is taken, or is not one of this machine."""


class ServerEnded(Exception):
    """Nobody asked the server to end, and yet it did."""


class _EmbeddedServer(uvicorn.Server):
    """A server that leaves signals to whoever runs the lab."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpsServer:
    """Serves one ASGI application; the port is known, and bound, once it is constructed."""

    def __init__(self, *, host: str, port: int) -> None:
        self._socket = _bound_socket(host, port)
        self.url = f"https://{_bracketed(host)}:{self._socket.getsockname()[1]}"

    async def serve(self, app: ASGIApp, credentials: Credentials) -> None:
        """Answer requests until cancelled; those that are under way then have a moment to end. Raises ServerEnded."""
        config = uvicorn.Config(
            app,
            ssl_certfile=str(credentials.certificate_file),
            ssl_keyfile=str(credentials.key_file),
            lifespan="off",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            server_header=False,
        )
        server = _EmbeddedServer(config)
        serving = asyncio.create_task(server.serve(sockets=[self._socket]), name="uvicorn")
        try:
            await asyncio.shield(serving)
            raise ServerEnded("the HTTPS server ended by itself")
        finally:
            server.should_exit = True
            await serving

    def close(self) -> None:
        """Free the port."""
        self._socket.close()


def _bound_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(1024)
    except (OSError, OverflowError) as error:
        bound.close()
        raise AddressInUse(f"cannot listen at {host}:{port}: {getattr(error, 'strerror', None) or error}") from error
    bound.setblocking(False)  # noqa: FBT003 - the socket module takes it so
    return bound


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
