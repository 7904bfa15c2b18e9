"""The connections that are saved as blocks on the Prefect server: finding, saving and removing them.

Refuses to take part where no Prefect server is configured. One that is away is a passing trouble, as for any task.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from pydantic import ValidationError

from clusters.connection_kinds import Connection
from clusters.connections import register_source
from migration.errors import Forbidden, InvalidRequest, ServerFault, Unreachable
from tasks.blocks import PLACE, TYPES, ConnectionBlock, place_of

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import BlockDocument

CACHE_SECONDS: Final = 20.0
"""A run opens its connection several times a minute; a renewed token is used soon enough."""
PAGE: Final = 200
# Prefect 3.8, prefect._internal.schemas.validators: what it takes as the name of a block.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


class PrefectBlocks:
    """The connections on the Prefect server, remembered for a moment."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[float, tuple[tuple[str, str], ...]]] = {}
        self._read: dict[tuple[str, str], tuple[float, Connection]] = {}

    async def places(self) -> tuple[tuple[str, str], ...]:
        """Return name and place of each. Raises Transient while the Prefect server is away."""
        server = _server()
        if server is None:
            return ()
        known = self._places.get(server)
        if known is None or time.monotonic() - known[0] > CACHE_SECONDS:
            known = self._places[server] = (time.monotonic(), await _places())
        return known[1]

    async def read(self, place: str) -> Connection:
        """Return the connection at a place. Raises InvalidRequest if it can't be used, or is gone."""
        key = (str(_server()), place)
        known = self._read.get(key)
        if known is None or time.monotonic() - known[0] > CACHE_SECONDS:
            known = self._read[key] = (time.monotonic(), await _connection(place))
        return known[1]

    def forget(self) -> None:
        """Have the server asked again: something was saved or removed."""
        self._places.clear()
        self._read.clear()


BLOCKS: Final = PrefectBlocks()


def register() -> None:
    """Have connections looked for among the blocks of the Prefect server as well."""
    register_source("Prefect blocks", BLOCKS)


async def save_block(name: str, block: ConnectionBlock) -> bool:
    """Leave a block of this name on the Prefect server; tells whether that was a change."""
    slug = block.get_block_type_slug()
    if not _NAME.match(name):
        raise InvalidRequest(
            f"{name[:80]!r} can't be the name of a Prefect block: lower-case letters, digits and dashes only"
        )
    _refuse_without_server()
    with _answering():
        found = await _document(slug, name)
        if found is not None and _same(block, found):
            return False
        await block.asave(name, overwrite=True)
    BLOCKS.forget()
    return True


async def remove_block(name: str) -> bool:
    """Leave no block of this name on the Prefect server; tells whether that was a change."""
    removed = False
    _refuse_without_server()
    with _answering():
        async with get_client() as client:
            for slug in TYPES:
                found = await _document(slug, name)
                if found is not None:
                    await client.delete_block_document(found.id)
                    removed = True
    BLOCKS.forget()
    return removed


async def _places() -> tuple[tuple[str, str], ...]:
    with _answering():
        async with get_client() as client:
            found = [(slug, name) for slug in TYPES for name in await _names(client, slug)]
    return tuple((name, place_of(slug, name)) for slug, name in found)


async def _names(client: PrefectClient, slug: str) -> list[str]:
    """Return the names of all blocks of a type; none if nobody has registered it yet."""
    found: list[BlockDocument] = []
    while len(found) % PAGE == 0:
        try:
            page = await client.read_block_documents_by_type(slug, offset=len(found), limit=PAGE, include_secrets=False)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            break
        except ObjectNotFound:
            break
        found += page
        if not page:
            break
    return [str(each.name) for each in found if not each.is_anonymous]


async def _connection(place: str) -> Connection:
    slug, _, name = place.removeprefix(PLACE).partition("/")
    with _answering():
        found = await _document(slug, name)
    if found is None:
        raise InvalidRequest(f"{place} is gone: somebody removed it just now")
    try:
        return _block(slug, found).connection(name, source=place)
    except ValidationError as error:
        said = "; ".join(str(each["msg"]).removeprefix("Value error, ") for each in error.errors(include_input=False))
        raise InvalidRequest(f"{place} can't be used: {said.replace('this block', 'it')}") from None


async def _document(slug: str, name: str) -> BlockDocument | None:
    async with get_client() as client:
        try:
            return await client.read_block_document_by_name(name, slug)
        except ObjectNotFound:
            return None


def _block(slug: str, found: BlockDocument) -> ConnectionBlock:
    kind = TYPES[slug]
    return kind(**{key: value for key, value in found.data.items() if key in kind.model_fields})


def _same(block: ConnectionBlock, found: BlockDocument) -> bool:
    """Tell whether a saved block says the same; one that can't be used any more doesn't."""
    try:
        saved = _block(block.get_block_type_slug(), found)
    except ValidationError:
        return False
    return all(getattr(block, field) == getattr(saved, field) for field in type(block).model_fields)


def _server() -> str | None:
    """Return the address of the Prefect server; without one, Prefect would start its own to be asked for blocks."""
    return get_current_settings().api.url or None


def _refuse_without_server() -> None:
    if _server() is None:
        raise InvalidRequest("no Prefect server is configured: set PREFECT_API_URL to the one that keeps the blocks")


@contextmanager
def _answering() -> Iterator[None]:
    """Turn the errors of Prefect's client into ours: it speaks of the Prefect server, and quotes no answer."""
    where = f"the Prefect server {_server() or ''}".rstrip()
    try:
        yield
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        if code in (401, 403):
            raise Forbidden(
                f"{where} doesn't let this process see its blocks (HTTP {code}): check its API key"
            ) from None
        raise ServerFault(f"{where} can't tell its blocks (HTTP {code})") from error
    except httpx.TransportError as error:
        raise Unreachable(f"{where} is not reachable, which has the connections: {type(error).__name__}") from error
