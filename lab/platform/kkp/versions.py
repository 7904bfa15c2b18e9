"""How KKP compares versions, and how it keeps its tables of CNI versions. Refuses to decide anything about a cluster.

Source: KKP main, August 2026, pkg/cni/version.go (docs/platform.md 2). The tables are those of a release: profiles.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Version = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class CniVersions:
    """The CNI versions that one release of KKP knows, by type."""

    supported: Mapping[str, tuple[str, ...]]
    deprecated: Mapping[str, tuple[str, ...]]
    default: Mapping[str, str]

    def allowed(self, cni_type: str) -> tuple[str, ...]:
        """Return the versions that the webhook accepts for a type, in the order its messages list them."""
        return tuple(sorted((*self.supported.get(cni_type, ()), *self.deprecated.get(cni_type, ()))))


def parse_version(text: str) -> Version | None:
    """Return major, minor and patch of a version with or without `v` and patch, None if it is no version."""
    found = re.fullmatch(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:[-+].*)?", text)
    return (int(found[1]), int(found[2] or 0), int(found[3] or 0)) if found else None


def minor_of(text: str) -> int:
    """Return the minor of a version, 0 if it is no version."""
    return (parse_version(text) or (0, 0, 0))[1]


def is_app_managed(cni_type: str, cni_version: str) -> bool:
    """Tell whether KKP installs this CNI through an ApplicationInstallation (Cilium from 1.13 on)."""
    version = parse_version(cni_version)
    return cni_type == "cilium" and version is not None and version >= (1, 13, 0)
