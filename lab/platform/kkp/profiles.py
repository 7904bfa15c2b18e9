"""The releases of KKP that the lab can play: their tables, and what tells them apart. Refuses to act on any of it.

What is the same in all of them is nowhere here. Manifests know a profile by its traits: they are conditions of
`rendering.render`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lab.platform.kkp.versions import CniVersions, Version, is_app_managed, parse_version
from lab.settings import Delays, KkpRelease

Trait = Literal["applications", "kube-proxy-rolls", "konnectivity-always", "slow-addons"]
"""What a release has or does, with the section of docs/platform.md:

- applications: ApplicationDefinitions and -Installations, by which Cilium comes from 1.13 on (4)
- kube-proxy-rolls: its pods carry a checksum of the network settings, so a new mode replaces them (5.5)
- konnectivity-always: Konnectivity can't be switched off
- slow-addons: it takes minutes until a change of the Cluster reaches the addons (11.3)
"""


@dataclass(frozen=True, kw_only=True)
class FirstCluster:
    """What a user cluster of the lab runs at first."""

    kubernetes: str
    cni_version: str
    """Canal's."""
    proxy_mode: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One release of KKP."""

    release: KkpRelease
    kubermatic_version: str
    """What the conditions of a Cluster carry as kubermaticVersion."""
    kubernetes_versions: tuple[str, ...]
    kubectl_minors: range
    """Control planes for which the addon controller carries a kubectl."""
    cni_versions: CniVersions
    default_cni: str
    """Type of a Cluster that is created without one."""
    default_addons: tuple[str, ...]
    """The default addons as far as they matter to the network; the others are left out of the lab."""
    proxy_modes: tuple[str, ...]
    """The enum of the Cluster's definition, in its order."""
    nftables_since: Version | None
    """The Kubernetes version from which on nftables is the default proxy mode."""
    traits: frozenset[Trait]
    first_cluster: FirstCluster

    @property
    def has_applications(self) -> bool:
        """Tell whether KKP installs applications."""
        return "applications" in self.traits

    @property
    def application_versions(self) -> tuple[str, ...]:
        """What the ApplicationDefinition `cilium` offers: not v1.11 and v1.12 (docs/platform.md 2.2)."""
        found = [version for version in self.cni_versions.allowed("cilium") if is_app_managed("cilium", version)]
        return tuple(sorted(found, key=lambda version: parse_version(version) or (0, 0, 0)))

    def addon_delay(self, delays: Delays) -> float:
        """Return the platform seconds from a change of the Cluster to the addons' turn."""
        return delays.legacy_addon_delay if "slow-addons" in self.traits else 0.0

    def default_proxy_mode(self, kubernetes: str) -> str:
        """Return the proxy mode of a Cluster that is created without one (docs/platform.md 2.1)."""
        version = parse_version(kubernetes)
        is_new = self.nftables_since is not None and version is not None and version >= self.nftables_since
        return "nftables" if is_new else "ipvs"


# KKP main, August 2026: pkg/cni/version.go and pkg/defaulting/configuration.go (docs/platform.md 2).
KKP_2_31 = Profile(
    release="2.31",
    kubermatic_version="v2.31.0",
    kubernetes_versions=(
        *(f"1.33.{patch}" for patch in (0, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13)),
        *(f"1.34.{patch}" for patch in range(1, 12)),
        *(f"1.35.{patch}" for patch in range(9)),
        *(f"1.36.{patch}" for patch in (3, 4)),
    ),
    kubectl_minors=range(32, 37),
    cni_versions=CniVersions(
        supported={
            "canal": ("v3.29", "v3.30", "v3.31"),
            "cilium": ("1.17.16", "1.18.10", "1.19.4"),
            "none": ("",),
        },
        deprecated={
            "canal": ("v3.21", "v3.22", "v3.23", "v3.24", "v3.25", "v3.26", "v3.27", "v3.28"),
            "cilium": (
                *("v1.11", "v1.12"),
                *("1.13.0", "1.13.3", "1.13.4", "1.13.6", "1.13.7", "1.13.8", "1.13.14"),
                *("1.14.1", "1.14.2", "1.14.3", "1.14.9", "1.14.16"),
                *("1.15.3", "1.15.10", "1.15.16", "1.16.6", "1.16.9"),
                *("1.17.7", "1.17.12", "1.17.14", "1.18.2", "1.18.6", "1.18.8"),
            ),
        },
        default={"canal": "v3.31", "cilium": "1.19.4", "none": ""},
    ),
    default_cni="cilium",
    default_addons=("canal", "kube-proxy"),
    proxy_modes=("ipvs", "iptables", "ebpf", "nftables"),
    nftables_since=(1, 35, 0),
    traits=frozenset(("applications", "kube-proxy-rolls", "konnectivity-always")),
    first_cluster=FirstCluster(kubernetes="1.34.11", cni_version="v3.30", proxy_mode="iptables"),
)

# KKP's documentation of v2.21, "CNI & Cluster Network Configuration", and docs/changelogs/CHANGELOG-2.20.md
# (docs/platform.md 11.1). Cilium v1.12 came with 2.21: the profile stands for 2.19 to 2.21. The range of kubectl
# is concluded from the Kubernetes versions, and 1.23.6 from the date of 2.20.3, which brought 1.23.
KKP_2_20 = Profile(
    release="2.20",
    kubermatic_version="v2.20.16",
    kubernetes_versions=(
        *("1.20.13", "1.20.14", "1.21.8", "1.21.12"),
        *("1.22.5", "1.22.9", "1.22.15", "1.22.16", "1.22.17"),
        *("1.23.6", "1.23.12", "1.23.14", "1.23.15"),
    ),
    kubectl_minors=range(20, 24),
    cni_versions=CniVersions(
        supported={
            "canal": ("v3.19", "v3.20", "v3.21", "v3.22"),
            "cilium": ("v1.11", "v1.12"),
            "none": ("",),
        },
        deprecated={"canal": ("v3.8",)},
        default={"canal": "v3.22", "cilium": "v1.11", "none": ""},
    ),
    default_cni="canal",
    default_addons=("canal", "cilium", "kube-proxy"),
    proxy_modes=("ipvs", "iptables", "ebpf"),
    nftables_since=None,
    traits=frozenset(("slow-addons",)),
    # KKP itself raises Canal to v3.22 from Kubernetes 1.23 on, so Canal v3.21 means 1.22.
    first_cluster=FirstCluster(kubernetes="1.22.17", cni_version="v3.21", proxy_mode="ipvs"),
)

TODAY = KKP_2_31
PROFILES: Mapping[KkpRelease, Profile] = {profile.release: profile for profile in (KKP_2_20, KKP_2_31)}
