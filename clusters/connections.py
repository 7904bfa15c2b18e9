"""Configured connections: a name stands for a kubeconfig file, so that parameters never carry credentials.

The directory named by `CNI_MIGRATION_CONNECTIONS` holds one kubeconfig per seed; `production.kubeconfig` is the
connection `production`. That is the shape in which a Kubernetes Secret is mounted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import yaml

from migration.errors import InvalidRequest

ENVIRONMENT_VARIABLE = "CNI_MIGRATION_CONNECTIONS"
SUFFIX = ".kubeconfig"
_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")


def seed_kubeconfig(connection: str) -> dict[str, Any]:
    """Return the kubeconfig of a configured connection. Raises InvalidRequest, naming the connections there are."""
    directory = connections_directory()
    if not _NAME.fullmatch(connection):
        raise InvalidRequest(
            f"{connection!r} is no name of a connection: letters, digits, dots, dashes; see {directory}"
        )
    path = directory / f"{connection}{SUFFIX}"
    if not path.is_file():
        known = ", ".join(connection_names()) or "none"
        raise InvalidRequest(
            f"there is no connection named {connection!r} (configured: {known}). Put the seed's kubeconfig at {path}."
        )
    return parse_kubeconfig(_read(path), source=str(path))


def connections_directory() -> Path:
    """Return the directory of connections. Raises InvalidRequest if it isn't configured or isn't there."""
    configured = os.environ.get(ENVIRONMENT_VARIABLE)
    if not configured:
        raise InvalidRequest(
            f"no connections are configured: set {ENVIRONMENT_VARIABLE} to a directory of <name>{SUFFIX} files, "
            "one per seed"
        )
    directory = Path(configured)
    if not directory.is_dir():
        raise InvalidRequest(f"{ENVIRONMENT_VARIABLE} names {configured}, which is not a directory here")
    return directory


def connection_names() -> tuple[str, ...]:
    """Return the names of the configured connections."""
    return tuple(sorted(path.name.removesuffix(SUFFIX) for path in connections_directory().glob(f"*{SUFFIX}")))


def parse_kubeconfig(text: str, *, source: str) -> dict[str, Any]:
    """Return a kubeconfig as a mapping. Raises InvalidRequest that names the source and never its content."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        # The parser's message quotes the text, which holds credentials.
        raise InvalidRequest(f"{source} is not valid YAML: export the kubeconfig again") from None
    if not isinstance(found, Mapping) or not found.get("clusters") or not found.get("contexts"):
        raise InvalidRequest(f"{source} is not a kubeconfig: it needs clusters, contexts and users")
    return dict(found)


def environment_proxy(url: str) -> str | None:
    """Return the proxy that HTTPS_PROXY and NO_PROXY name for an address, None if it is reached without."""
    address = urlsplit(url)
    if not address.hostname or proxy_bypass(address.hostname):
        return None
    return getproxies().get(address.scheme)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} can't be read: {type(error).__name__}") from error
