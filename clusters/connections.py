"""Configured connections: a name stands for a way to KKP, so that parameters never carry credentials.

They are files of the directory that `CNI_MIGRATION_CONNECTIONS` names, and whatever registered sources hold. Refuses
to choose between two of the same name.
"""

from __future__ import annotations

import logging
import re
from typing import Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from clusters import connection_files
from clusters.connection_files import ENVIRONMENT_VARIABLE
from clusters.connection_kinds import (
    Connection,
    KkpConnection,
    SeedConnection,
    parse_kubeconfig,
)
from migration.errors import ClusterError, InvalidRequest

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "Connection",
    "KkpConnection",
    "SeedConnection",
    "Source",
    "connection_places",
    "environment_proxy",
    "find_connection",
    "parse_kubeconfig",
    "refuse_odd_connection",
    "register_source",
]

# What is both a file's name everywhere and no path.
_NAME: Final = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")
_log = logging.getLogger(__name__)


class Source(Protocol):
    """Somewhere else where connections are kept."""

    async def places(self) -> tuple[tuple[str, str], ...]:
        """Return name and place of each connection, as `production` and `Prefect block kkp-seed/production`."""

    async def read(self, place: str) -> Connection:
        """Return the connection at a place. Raises InvalidRequest if it can't be used, or is gone."""


_sources: dict[str, Source] = {}


def register_source(key: str, source: Source) -> None:
    """Have connections looked for in a source as well; one of the same key goes."""
    _sources[key] = source


async def find_connection(name: str) -> Connection:
    """Return a configured connection. Raises InvalidRequest, naming those there are, or the two places of one name."""
    refuse_odd_connection(name)
    files = connection_files.files()
    in_files = [(path, str(path)) for found, path in files if found == name]
    elsewhere = await _elsewhere(is_needed=not in_files)
    in_sources = [(source, place) for source, found, place in elsewhere if found == name]
    places = [place for _, place in (*in_files, *in_sources)]
    if len(places) > 1:
        raise InvalidRequest(
            f"there are {len(places)} connections named {name!r}: {' and '.join(places)}. Remove or rename all but one"
        )
    if in_files:
        return connection_files.read_connection(name, in_files[0][0])
    if in_sources:
        source, place = in_sources[0]
        return await source.read(place)
    raise _unknown(name, {*(found for found, _ in files), *(found for _, found, _ in elsewhere)})


async def connection_places() -> tuple[tuple[str, str], ...]:
    """Return name and place of every configured connection, by name. Raises Transient if a source is out of reach."""
    elsewhere = await _elsewhere(is_needed=True)
    files = ((name, str(path)) for name, path in connection_files.files())
    return tuple(sorted((*files, *((name, place) for _, name, place in elsewhere))))


def refuse_odd_connection(name: str) -> None:
    """Raise InvalidRequest for what can't be the name of a connection, before it becomes part of a path."""
    if not _NAME.match(name):
        raise InvalidRequest(f"{name[:80]!r} is no name of a connection: letters, digits, dots, dashes, underscores")


def environment_proxy(url: str) -> str | None:
    """Return the proxy that HTTPS_PROXY and NO_PROXY name for an address, None if it is reached without."""
    address = urlsplit(url)
    if not address.hostname or proxy_bypass(address.hostname):
        return None
    return getproxies().get(address.scheme)


async def _elsewhere(*, is_needed: bool) -> list[tuple[Source, str, str]]:
    """Return what the sources hold. Where a file has the connection, a source that is away doesn't stand in its way."""
    found: list[tuple[Source, str, str]] = []
    for key, source in _sources.items():
        try:
            found += [(source, name, place) for name, place in await source.places()]
        except ClusterError as error:
            if is_needed:
                raise
            _log.info("connections of %s are not looked at: %s", key, error)
    return found


def _unknown(name: str, known: set[str]) -> InvalidRequest:
    folder = connection_files.directory()
    if folder is None and not known:
        return InvalidRequest(
            f"no connections are configured: set {ENVIRONMENT_VARIABLE} to a directory of "
            f"<name>{connection_files.KUBECONFIG} and <name>{connection_files.KKP} files, or save one with "
            "`python -m deployments.connections save NAME --kubeconfig FILE`"
        )
    put = f"Put the seed's kubeconfig at {folder / name}{connection_files.KUBECONFIG}, or save" if folder else "Save"
    return InvalidRequest(
        f"there is no connection named {name!r} (configured: {', '.join(sorted(known)) or 'none'}). "
        f"{put} it with `python -m deployments.connections save {name} --kubeconfig FILE`"
    )
