"""Connections as files of a directory, which is the shape in which a Kubernetes Secret is mounted.

`production.kubeconfig` is the seed `production`; `production.kkp.yaml` is a KKP API of that name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from clusters.connection_kinds import (
    Connection,
    decoded_authority,
    kkp_connection,
    parse_kubeconfig,
    parse_yaml,
    seed_connection,
)
from migration.errors import InvalidRequest

ENVIRONMENT_VARIABLE: Final = "CNI_MIGRATION_CONNECTIONS"
KUBECONFIG: Final = ".kubeconfig"
KKP: Final = ".kkp.yaml"
_KEYS: Final = ("url", "token", "certificateAuthorityData", "project")


def directory() -> Path | None:
    """Return the directory of connections, None if none is configured. Raises InvalidRequest if it isn't there."""
    configured = os.environ.get(ENVIRONMENT_VARIABLE)
    if not configured:
        return None
    found = Path(configured)
    if not found.is_dir():
        raise InvalidRequest(f"{ENVIRONMENT_VARIABLE} names {configured}, which is not a directory here")
    return found


def files() -> tuple[tuple[str, Path], ...]:
    """Return names and files of the configured connections."""
    folder = directory()
    if folder is None:
        return ()
    found = (
        (path.name.removesuffix(suffix), path)
        for suffix in (KUBECONFIG, KKP)
        for path in folder.glob(f"*{suffix}")
        if path.is_file()
    )
    return tuple(sorted(found))


def read_connection(name: str, path: Path) -> Connection:
    """Return the connection of a file. Raises InvalidRequest that names the file and never quotes it."""
    if path.name.endswith(KUBECONFIG):
        return seed_connection(name, parse_kubeconfig(_text(path), source=str(path)), source=str(path))
    return parse_kkp(name, _text(path), source=str(path))


def parse_kkp(name: str, text: str, *, source: str) -> Connection:
    """Return the connection that YAML describes. Raises InvalidRequest that says what is missing or not known."""
    found = parse_yaml(text, source=source, advice=f"it has the keys {', '.join(_KEYS)}")
    if not isinstance(found, Mapping):
        raise InvalidRequest(f"{source} holds no keys: it needs {_KEYS[0]} and {_KEYS[1]}")
    if unknown := sorted(str(key) for key in found if key not in _KEYS):
        raise InvalidRequest(f"{source} has unknown keys ({', '.join(unknown)[:100]}): there are {', '.join(_KEYS)}")
    return kkp_connection(
        name,
        url=_string(found, "url", source),
        token=_string(found, "token", source),
        certificate_authority=decoded_authority(found.get("certificateAuthorityData"), source=source),
        project=_string(found, "project", source),
        source=source,
    )


def _string(found: Mapping[str, Any], key: str, source: str) -> str:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{source}: its {key} is no text: put it in quotes")
    return value or ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} can't be read: {type(error).__name__}") from error
