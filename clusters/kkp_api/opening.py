"""Opening KKP's REST API by a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clusters.connections import KkpConnection
from clusters.kkp_api.client import open_client
from clusters.kkp_api.seed import KkpSeed


@asynccontextmanager
async def open_kkp(connection: KkpConnection) -> AsyncIterator[KkpSeed]:
    """Open KKP's REST API, and close it in the end; nothing is sent yet."""
    async with open_client(connection) as api:
        yield KkpSeed(api, connection)
