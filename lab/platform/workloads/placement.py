"""Which nodes a DaemonSet's pods belong on. Refuses to consider resources: the lab's nodes have room.

Kubernetes: pkg/controller/daemon/daemon_controller.go NodeShouldRunDaemonPod, util/daemonset_util.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.platform.nodes.placement import NODE_AFFINITY_MISMATCH, tolerates, why_not

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.objects import Object

_TROUBLE = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK_TROUBLE = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def daemon_tolerations(pod_spec: Object) -> list[Object]:
    """Return what every daemon pod tolerates, with the missing network for those in the host's network."""
    taints = (*_TROUBLE, _NETWORK_TROUBLE) if pod_spec.get("hostNetwork") else _TROUBLE
    return [{"key": key, "operator": "Exists", "effect": effect} for key, effect in taints]


def placement(node: Object, pod_spec: Object, tolerations: Sequence[Object]) -> tuple[bool, bool]:
    """Return whether a daemon pod should start on the node, and whether one that is there should stay."""
    refusal = why_not({"spec": {**pod_spec, "tolerations": tolerations}}, node)
    if refusal == NODE_AFFINITY_MISMATCH:
        return False, False
    evicting = [taint for taint in node["spec"].get("taints") or () if taint["effect"] == "NoExecute"]
    return refusal is None, all(tolerates(tolerations, taint) for taint in evicting)
