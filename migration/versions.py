"""Which Cilium versions can be asked for, and the Helm values that a new installation starts with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from migration.errors import InvalidRequest

# KKP 2.31, pkg/cni/version.go: IsManagedByAppInfra is semver >= 1.13.0; v1.11 and v1.12 validate, yet nothing
# installs them.
FIRST_INSTALLABLE_CILIUM = (1, 13, 0)

# Canal's flannel uses the kernel's default VXLAN port (no Port in net-conf.json), which is Cilium's default as well.
FLANNEL_VXLAN_PORT = 8472
DEFAULT_TUNNEL_PORT = 8473

_VERSION = re.compile(r"^v?([0-9]+)\.([0-9]+)(?:\.([0-9]+))?\Z")


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
