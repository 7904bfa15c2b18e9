"""Which Kubernetes and CNI versions KKP knows. Tables only; refuses to decide anything about a cluster.

Source: KKP main, August 2026, pkg/cni/version.go and pkg/defaulting/configuration.go (docs/platform.md 2).
"""

from __future__ import annotations

import re

SUPPORTED_CNI_VERSIONS: dict[str, tuple[str, ...]] = {
    "canal": ("v3.29", "v3.30", "v3.31"),
    "cilium": ("1.17.16", "1.18.10", "1.19.4"),
    "none": ("",),
}
DEPRECATED_CNI_VERSIONS: dict[str, tuple[str, ...]] = {
    "canal": ("v3.21", "v3.22", "v3.23", "v3.24", "v3.25", "v3.26", "v3.27", "v3.28"),
    "cilium": (
        *("v1.11", "v1.12"),
        *("1.13.0", "1.13.3", "1.13.4", "1.13.6", "1.13.7", "1.13.8", "1.13.14"),
        *("1.14.1", "1.14.2", "1.14.3", "1.14.9", "1.14.16"),
        *("1.15.3", "1.15.10", "1.15.16", "1.16.6", "1.16.9"),
        *("1.17.7", "1.17.12", "1.17.14", "1.18.2", "1.18.6", "1.18.8"),
    ),
    "none": (),
}
DEFAULT_CNI_VERSIONS = {"canal": "v3.31", "cilium": "1.19.4", "none": ""}

KUBERNETES_VERSIONS: tuple[str, ...] = (
    *(f"1.33.{patch}" for patch in (0, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13)),
    *(f"1.34.{patch}" for patch in range(1, 12)),
    *(f"1.35.{patch}" for patch in range(9)),
    *(f"1.36.{patch}" for patch in (3, 4)),
)

Version = tuple[int, int, int]


def allowed_cni_versions(cni_type: str) -> tuple[str, ...]:
    """Return the versions that the webhook accepts for a type, in the order its messages list them."""
    return tuple(sorted((*SUPPORTED_CNI_VERSIONS.get(cni_type, ()), *DEPRECATED_CNI_VERSIONS.get(cni_type, ()))))


def parse_version(text: str) -> Version | None:
    """Return major, minor and patch of a version with or without `v` and patch, None if it is no version."""
    found = re.fullmatch(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:[-+].*)?", text)
    return (int(found[1]), int(found[2] or 0), int(found[3] or 0)) if found else None


def is_app_managed(cni_type: str, cni_version: str) -> bool:
    """Tell whether KKP installs this CNI through an ApplicationInstallation (Cilium from 1.13 on)."""
    version = parse_version(cni_version)
    return cni_type == "cilium" and version is not None and version >= (1, 13, 0)


CILIUM_APPLICATION_VERSIONS: tuple[str, ...] = tuple(
    sorted(
        (version for version in allowed_cni_versions("cilium") if is_app_managed("cilium", version)),
        key=lambda version: parse_version(version) or (0, 0, 0),
    )
)
"""What the ApplicationDefinition `cilium` offers; v1.11 and v1.12 have no installer any more (docs/platform.md 2.2)."""
