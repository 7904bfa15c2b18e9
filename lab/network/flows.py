"""What policies are asked: may this one talk to that one? Pure data, shared by the rules of every kind of policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from lab.network.reachability import Cni, Place


class Direction(StrEnum):
    """Whose policies are asked: those of the target (ingress) or those of the source (egress)."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class Verdict(StrEnum):
    """What a policy that has something to say says."""

    ALLOW = "Allow"
    DENY = "Deny"
    PASS = "Pass"  # noqa: S105 - no password: what Calico calls it


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod, a node, or something outside of the cluster, as policies see it."""

    namespace: str = ""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    place: Place | None = None
    """None outside of the cluster."""
    is_api_server: bool = False

    @property
    def cni(self) -> Cni | None:
        """The CNI of the pod's network; None for whatever has no pod network."""
        return self.place.cni if self.place is not None else None

    @property
    def is_host(self) -> bool:
        """Whether it is on a node's own network."""
        return self.place is not None and self.place.cni is None


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection that somebody wants to make. Without a port, a rule for some ports counts as one for all."""

    source: Peer
    target: Peer
    port: int | None = None
    protocol: str = "TCP"

    def subject(self, direction: Direction) -> Peer:
        """Return the side whose policies are asked."""
        return self.target if direction is Direction.INGRESS else self.source

    def other(self, direction: Direction) -> Peer:
        """Return the side that those policies judge."""
        return self.source if direction is Direction.INGRESS else self.target


class Policy(Protocol):
    """One policy, read once and asked often."""

    @property
    def name(self) -> str:
        """What tells it apart, among those of the same order."""

    @property
    def namespace(self) -> str:
        """Its namespace, empty when it is for the whole cluster."""

    @property
    def order(self) -> float:
        """Which is asked first: the lowest."""

    @property
    def cnis(self) -> frozenset[Cni]:
        """The CNIs that read it."""

    @property
    def directions(self) -> frozenset[Direction]:
        """The directions that it is about."""

    def selects(self, subject: Peer, direction: Direction) -> bool:
        """Tell whether the pod is under this policy."""

    def verdict(self, flow: Flow, direction: Direction) -> Verdict | None:
        """Return what it says of a flow of a pod that it selects, None when none of its rules fits."""


def is_permitted(policies: tuple[Policy, ...], flow: Flow, direction: Direction) -> bool:
    """Tell whether the policies, ordered, let the flow through in this direction.

    A pod that none selects is open, one that any selects is closed but for what is allowed. Calico takes the first
    rule that fits (https://docs.tigera.io/calico/latest/reference/resources/networkpolicy); Cilium looks at all, and a
    denial beats whatever allows (https://docs.cilium.io/en/stable/security/policy/intro/).
    """
    subject = flow.subject(direction)
    selecting = [policy for policy in policies if policy.selects(subject, direction)]
    if not selecting:
        return True
    verdicts = (policy.verdict(flow, direction) for policy in selecting)
    if subject.cni is Cni.CILIUM:
        given = set(verdicts)
        return Verdict.DENY not in given and Verdict.ALLOW in given
    first = next((verdict for verdict in verdicts if verdict is not None), Verdict.DENY)
    return first is not Verdict.DENY
