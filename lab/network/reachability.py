"""Who can reach whom, as rules over a frozen picture of the nodes. Refuses to know about time, objects or the API.

The picture follows what CNIs leave behind in a kernel: a tunnel and the rules of Services outlive the program that made
them, but learn nothing new once it is gone. Moments are counted, not timed: a larger number is later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Cni(StrEnum):
    """A CNI that can give a pod its network."""

    CANAL = "canal"
    CILIUM = "cilium"


CONFLISTS: Mapping[Cni, str] = {Cni.CANAL: "10-canal.conflist", Cni.CILIUM: "05-cilium.conflist"}
"""Files in /etc/cni/net.d (docs/platform.md 5.2)."""
INTERFACES: Mapping[Cni, str] = {Cni.CANAL: "flannel.1", Cni.CILIUM: "cilium_vxlan"}
"""Tunnel devices (docs/platform.md 5.1)."""
VXLAN_PORT = 8472
"""The kernel's and Cilium's default port for VXLAN (docs/platform.md 5.1)."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A CNI's tunnel device on a node."""

    port: int
    joined: int
    """The moment at which the node became known to the other nodes of this CNI."""
    left: int | None = None
    """The moment at which its agent went, so that it learns of no newer node; None while the agent runs."""


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """What disk, kernel and running programs of one node make of its network."""

    name: str
    conflists: frozenset[str] = frozenset()
    tunnels: Mapping[Cni, Tunnel] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    """Name of a running program (canal, cilium, kube-proxy) to the uid of its pod."""
    service_rules: Mapping[str, int | None] = field(default_factory=dict)
    """Mode of Service rules in the kernel to the moment at which they ceased to be kept; None while they are kept."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pod is on the network: its node, and the CNI of its sandbox (None on the host's network)."""

    node: str
    cni: Cni | None


def cni_in_charge(node: NodeNetwork) -> Cni | None:
    """Return the CNI that new sandboxes get: the one whose configuration file comes first in the alphabet.

    https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/ and docs/platform.md
    5.2.
    """
    present = [(name, cni) for cni, name in CONFLISTS.items() if name in node.conflists]
    return min(present)[1] if present else None


def port_holder(node: NodeNetwork, *, cni: Cni, port: int) -> str | None:
    """Return the tunnel device of another CNI that already listens on the port (docs/platform.md 5.1)."""
    for other, tunnel in node.tunnels.items():
        if other is not cni and tunnel.port == port:
            return INTERFACES[other]
    return None


def are_connected(one: NodeNetwork, other: NodeNetwork, *, cni: Cni) -> bool:
    """Tell whether pods of a CNI on two different nodes reach each other: both tunnels know of each other."""
    here, there = one.tunnels.get(cni), other.tunnels.get(cni)
    if here is None or there is None or here.port != there.port:
        return False
    return _knows(here, there) and _knows(there, here)


def _knows(one: Tunnel, other: Tunnel) -> bool:
    return one.left is None or other.joined <= one.left


def reaches(source: Place, target: Place, nodes: Mapping[str, NodeNetwork]) -> bool:
    """Tell whether packets get from one place to the other.

    Nodes reach nodes; a pod reaches every node through its own; a node reaches the pods of a CNI that works on both;
    pods reach pods of the same CNI. Pods of different CNIs don't reach each other (docs/platform.md 5.3).
    """
    here, there = nodes.get(source.node), nodes.get(target.node)
    if here is None or there is None:
        return False
    if target.cni is None:
        return source.cni is None or source.cni in here.tunnels
    if source.cni is not None and source.cni is not target.cni:
        return False
    if here is there:
        return target.cni in here.tunnels
    return are_connected(here, there, cni=target.cni)


def knows_service_pod(node: NodeNetwork, *, ready_since: int) -> bool:
    """Tell whether the node's Service rules lead to a pod that became ready at that moment.

    Rules whose keeper is gone stay in the kernel (docs/platform.md 5.5) and lead to the pods of that time only.
    """
    return any(kept_until is None or ready_since <= kept_until for kept_until in node.service_rules.values())
