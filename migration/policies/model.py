"""What the rules about policies are given, and what they answer. Specs stay raw JSON until a rule reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Family = Literal["kubernetes", "calico", "cilium", "admin"]
"""Whose kind of object a policy is; `admin` for AdminNetworkPolicy and BaselineAdminNetworkPolicy."""

Direction = Literal["ingress", "egress"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("ingress", "egress")

Effect = Literal[
    "not-enforced",
    "starts",
    "changed",
    "feature-lost",
    "host-unprotected",
    "unclear",
    "matches-nothing",
    "needs-setting",
    "host-networked",
    "staged",
]
"""What becomes of a policy on the other CNI.

- not-enforced: the other CNI doesn't read it
- starts: nobody reads it today, the other CNI does
- changed: both read it, to different ends
- feature-lost: no filter, but something that the other CNI has nothing for
- host-unprotected: it guards nodes themselves, and nothing will
- unclear: it can't be judged
- matches-nothing: a part of it that has no meaning on either CNI
- needs-setting: the same on both, if a setting is there
- host-networked: it selects pods on the host network, to which neither CNI applies it
- staged: it enforces nothing today, and nothing afterwards
"""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """An object that decides about traffic, or that such objects refer to."""

    kind: str
    name: str
    namespace: str = ""
    spec: Any = None
    specs: Any = None
    """Cilium's policies may carry a list of rules beside, or instead of, the one in `spec`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Its own labels: selectors of Calico match those of network sets and of host endpoints."""

    @property
    def place(self) -> str:
        """`namespace/name`, or the name alone of what has no namespace."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, kw_only=True)
class PolicyFacts:
    """The policies of a user cluster, with what they refer to; mapping of namespace name to its labels."""

    kubernetes: tuple[Policy, ...] = ()
    calico: tuple[Policy, ...] = ()
    """Also Tiers, network sets and HostEndpoints."""
    cilium: tuple[Policy, ...] = ()
    """Also what isn't a filter: egress gateways, local redirects, Envoy configurations, load balancer addresses."""
    admin: tuple[Policy, ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NetworkRanges:
    """The addresses of a cluster: CIDRs of pods and Services, addresses (or CIDRs) of nodes. Empty strings are none."""

    pods: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PolicyChange:
    """One thing that will be otherwise on the other CNI: for which policy, in what way and why, for whom."""

    policy: str
    """As `NetworkPolicy shop/frontend`; Calico's kind of that name is `Calico NetworkPolicy shop/frontend`."""
    family: Family
    effect: Effect
    reason: str
    workloads: tuple[str, ...] = ()
    """`namespace/Kind/name`, sorted."""
