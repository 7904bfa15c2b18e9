"""Trouble of the platform: for a while, so that a run rides it through, or for longer than a run has patience.

Each line: a scenario, the step with which the trouble begins, the trouble, and what else is to be said of the strike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_TO_CILIUM: Final = "wait for Cilium"
_TO_CANAL: Final = "wait for Canal"
_NODES: Final = "rotate MachineDeployment"


_WHILE: Final[Mapping[str, Any]] = {"times": None, "hold_seconds": 3.0}
_LONG: Final[Mapping[str, Any]] = {
    "times": None,
    "deadlines": {"cni": 0.08, "rotation": 0.08, "restart": 0.08, "proxy_mode": 0.08},
}
PLATFORM: Final[tuple[tuple[str, str, str, Mapping[str, Any]], ...]] = (
    ("canal-to-cilium", "switch CNI", "helm-failure", {"subject": "cilium", "times": 2}),
    ("canal-to-cilium+ebpf", "switch CNI", "helm-failure", {"subject": "cilium", "times": 5}),
    ("canal-to-cilium", "switch CNI", "agent-crash-loop", {"times": 3}),
    ("canal-to-cilium+definitions", _TO_CILIUM, "agent-crash-loop", _WHILE),
    ("canal-to-cilium", _TO_CILIUM, "agent-crash-loop", _LONG),
    ("canal-to-cilium", "switch CNI", "helm-failure", {"subject": "cilium", **_LONG}),
    ("canal-to-cilium", "restart pods", "stuck-pod", {"subject": "shop/cart*", **_WHILE}),
    ("canal-to-cilium", "restart pods", "stuck-pod", {"subject": "shop/cart*", **_LONG}),
    ("canal-to-cilium", "restart pods", "pod-never-ready", {"subject": "data/*", **_WHILE}),
    ("canal-to-cilium+nodes", _NODES, "node-never-joins", _WHILE),
    ("canal-to-cilium+nodes", _NODES, "node-never-joins", _LONG),
    ("cilium-to-canal", "switch CNI", "slow-control-plane", {"subject": "{cluster}", **_WHILE}),
    ("cilium-to-canal", "switch CNI", "slow-control-plane", {"subject": "{cluster}", **_LONG}),
    ("cilium-to-canal", "switch CNI", "agent-crash-loop", {"times": 3}),
    ("cilium-to-canal", _TO_CANAL, "agent-crash-loop", _WHILE),
    ("cilium-to-canal+definitions", _TO_CANAL, "agent-crash-loop", _LONG),
    ("cilium-to-canal", "restart pods", "stuck-pod", {"subject": "payments/*", **_WHILE}),
    ("cilium-to-canal+nodes", _NODES, "node-never-joins", _WHILE),
    ("cilium-to-canal+nodes", _NODES, "node-never-joins", _LONG),
    ("cilium-to-canal+born-on-ebpf", _NODES, "node-never-joins", _WHILE),
    ("cilium-to-canal+born-on-ebpf", _NODES, "node-never-joins", _LONG),
    ("change-proxy-mode", "switch kube-proxy mode", "slow-control-plane", {"subject": "{cluster}", **_WHILE}),
    ("change-proxy-mode+to-ebpf", "switch kube-proxy mode", "agent-crash-loop", _WHILE),
    ("change-proxy-mode+from-ebpf", "switch kube-proxy mode", "agent-crash-loop", _LONG),
    ("change-proxy-mode+to-ebpf", "switch kube-proxy mode", "helm-failure", {"subject": "cilium", "times": 2}),
    ("change-proxy-mode+nodes", _NODES, "node-never-joins", _WHILE),
    ("change-proxy-mode+nodes", _NODES, "stuck-pod", {"subject": "shop/*", **_WHILE}),
    ("revert-migration+to-cilium", "switch CNI", "helm-failure", {"subject": "cilium", "times": 2}),
    ("revert-migration+to-cilium", _TO_CILIUM, "agent-crash-loop", _LONG),
    ("revert-migration+to-canal", "switch CNI", "slow-control-plane", {"subject": "{cluster}", **_WHILE}),
    ("revert-migration+to-canal", _TO_CANAL, "agent-crash-loop", _WHILE),
    ("revert-migration+to-canal-nodes", _NODES, "node-never-joins", _LONG),
    ("revert-migration+mode", "switch kube-proxy mode", "agent-crash-loop", _WHILE),
)
