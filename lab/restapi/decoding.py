"""What Go would not decode of a patched Cluster, as far as it matters to the lab. Refuses to judge values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_TYPES: tuple[tuple[str, type], ...] = (
    *((path, dict) for path in ("spec", "labels", "annotations")),
    *((f"spec.{name}", dict) for name in ("clusterNetwork", "cniPlugin", "cloud", "updateWindow")),
    *((path, str) for path in ("name", "labels.*", "annotations.*", "spec.version", "spec.cniPlugin.*")),
    ("spec.clusterNetwork.proxyMode", str),
    ("spec.clusterNetwork.konnectivityEnabled", bool),
)
"""Where * stands for every key. Anything may be null."""


def wrong_type(patched: Any) -> str:
    """Return which part of a patched Cluster has another type than in Go, empty if none has."""
    if not isinstance(patched, dict):
        return "Cluster"
    for path, kind in _TYPES:
        for where, value in _found(patched, path.split(".")):
            if value is not None and not isinstance(value, kind):
                return where
    return ""


def _found(held: Any, parts: Sequence[str], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values at a path, each with where it is."""
    if not isinstance(held, dict):
        return
    first, *rest = parts
    for key in list(held) if first == "*" else [first]:
        where = f"{above}.{key}" if above else key
        if rest:
            yield from _found(held.get(key), rest, where)
        else:
            yield where, held.get(key)
