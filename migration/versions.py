"""Which Cilium versions can be asked for, and the Helm values that a new installation starts with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migration.errors import InvalidRequest

# KKP 2.31, pkg/cni/version.go: IsManagedByAppInfra is semver >= 1.13.0; v1.11 and v1.12 validate, yet nothing
# installs them.
FIRST_INSTALLABLE_CILIUM = (1, 13, 0)

# KKP 2.31, pkg/cni/version.go: what it takes where no version is asked for.
DEFAULT_CILIUM = "1.19.4"
DEFAULT_CANAL = "v3.31"

# Canal's flannel uses the kernel's default VXLAN port (no Port in net-conf.json), which is Cilium's default as well.
FLANNEL_VXLAN_PORT = 8472
DEFAULT_TUNNEL_PORT = 8473

_VERSION = re.compile(r"^v?([0-9]+)\.([0-9]+)(?:\.([0-9]+))?\Z")


@dataclass(frozen=True)
class CanalVersions:
    """The versions of Canal that a KKP offers, and those that it accepts all the same."""

    offered: tuple[str, ...]
    deprecated: tuple[str, ...] = ()


# docs/platform.md 2.1. What a KKP between 2.22 and 2.30 knows is a part of it, and its webhook's to say.
_CANAL_TODAY = CanalVersions(
    ("v3.29", "v3.30", "v3.31"), ("v3.21", "v3.22", "v3.23", "v3.24", "v3.25", "v3.26", "v3.27", "v3.28")
)
# docs/platform.md 11.1.
_CANAL_THEN = {
    (2, 19): CanalVersions(("v3.19", "v3.20", "v3.21"), ("v3.8",)),
    (2, 20): CanalVersions(("v3.19", "v3.20", "v3.21", "v3.22"), ("v3.8",)),
    (2, 21): CanalVersions(("v3.20", "v3.21", "v3.22", "v3.23"), ("v3.8", "v3.19")),
}
_ADDON_CILIUM = {(2, 19): ("v1.11",), (2, 20): ("v1.11",), (2, 21): ("v1.11", "v1.12")}
# docs/platform.md 4.1: Cilium became an application.
_FIRST_WITH_APPLICATIONS = (2, 22)
_RELEASE = re.compile(r"v?([0-9]+)\.([0-9]+)")


def kkp_release(kubermatic_version: str) -> tuple[int, int] | None:
    """Return major and minor of a KKP version (`v2.31.0-3-g1a2b3c`); None if it tells none."""
    match = _RELEASE.match(kubermatic_version)
    return (int(match.group(1)), int(match.group(2))) if match else None


def is_before_applications(kubermatic_version: str) -> bool:
    """Tell whether this KKP installs Cilium as an addon. One that is unknown counts as newer."""
    release = kkp_release(kubermatic_version)
    return release is not None and release < _FIRST_WITH_APPLICATIONS


def canal_versions(kubermatic_version: str) -> CanalVersions:
    """Return which versions of Canal this KKP knows."""
    return _CANAL_THEN.get(kkp_release(kubermatic_version) or (0, 0), _CANAL_TODAY)


def addon_cilium_versions(kubermatic_version: str) -> tuple[str, ...]:
    """Return which versions of Cilium this KKP has as an addon."""
    return _ADDON_CILIUM.get(kkp_release(kubermatic_version) or (0, 0), ())


def parse_version(text: str) -> tuple[int, int, int]:
    """Return major, minor and patch; Canal's leading `v` and missing patch are accepted. Raises InvalidRequest."""
    match = _VERSION.match(text)
    if match is None:
        raise InvalidRequest(f"{text!r} is not a CNI version; KKP's look like 1.19.4 (Cilium) or v3.30 (Canal)")
    major, minor, patch = match.groups(default="0")
    return int(major), int(minor), int(patch)


def is_version(text: str) -> bool:
    """Tell whether this is a version as KKP writes them."""
    return _VERSION.match(text) is not None


def is_installable_cilium(version: str) -> bool:
    """Tell whether KKP has an installer for this Cilium version."""
    return parse_version(version) >= FIRST_INSTALLABLE_CILIUM


def newest(versions: tuple[str, ...], *, count: int = 3) -> tuple[str, ...]:
    """Return the newest versions, newest first, for messages."""
    return tuple(sorted(versions, key=parse_version, reverse=True)[:count])


def initial_helm_values(defaults: Mapping[str, Any], tunnel_port: int) -> dict[str, Any]:
    """Return the values for `kubermatic.io/initial-cni-values-request`.

    The annotation replaces the ApplicationDefinition's defaults, so they are repeated (KKP 2.31,
    cni-application-installation-controller).
    """
    return {**defaults, "tunnelPort": tunnel_port}
