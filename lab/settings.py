"""How long everything takes in the lab, in platform seconds (real seconds times the speed)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_SEED_NAME = "lab"
Part = Literal["kkp", "workloads", "nodes", "machines", "network"]
"""A part of the platform that can be left out, as when something else plays it."""
KkpRelease = Literal["2.20", "2.31"]
"""A release of KKP that the lab can play: the one that the documented procedure knew, or today's."""
ProxyMode = Literal["ipvs", "iptables", "nftables"]
"""A proxy mode that goes with Canal."""


@dataclass(frozen=True, kw_only=True)
class Delays:
    """Delays of the platform, near what a small KKP installation shows; sources in the comments."""

    # KKP main, Aug 2026: pkg/controller/seed-controller-manager and pkg/applications.
    addon_reconcile: float = 1.0
    legacy_addon_delay: float = 120.0
    """Until addons follow the Cluster in KKP 2.19 to 2.21: "up to 5 minutes" in its guide on CNI migration."""
    controller_manager_rollout: float = 20.0
    cni_controller_requeue: float = 10.0
    chart_download: float = 5.0
    helm_poll: float = 2.0
    helm_timeout: float = 600.0
    helm_backoff: float = 5.0
    # Kubernetes.
    schedule: float = 0.1
    container_start: float = 2.0
    readiness: float = 1.0
    crash_back_off: float = 10.0
    crash_back_off_limit: float = 300.0
    sandbox_retry: float = 5.0
    termination: float = 2.0
    """How long a container takes to end after SIGTERM, if its grace period allows."""
    node_not_ready_taint: float = 1.0
    # Cilium.
    agent_start: float = 10.0
    cilium_operator_start: float = 5.0
    canal_agent_start: float = 5.0
    # machine-controller.
    machine_create: float = 40.0
    node_join: float = 20.0
    machine_delete: float = 10.0
    eviction_retry: float = 10.0


@dataclass(frozen=True, kw_only=True)
class UserClusterSize:
    """What a user cluster of the lab holds."""

    nodes: int = 3
    pods: int = 60
    """About how many pods of user workloads, besides the platform's own."""
    machine_deployments: int = 1
    max_pods_per_node: int = 110
    """The kubelets' maxPods; a node's /24 has addresses for about 250."""
    grace_seconds: int = 5
    """terminationGracePeriodSeconds of the user workloads' pods."""
    proxy_mode: ProxyMode | None = None
    """None for what clusters of the lab have with the release of KKP."""

    def room_for_pods(self) -> int:
        """Return about how many user pods fit beside the platform's own.

        A node that is drained needs no room on the others: its MachineDeployment brings one more first (maxSurge 1).
        """
        platform_pods_per_node, platform_pods = 8, 12
        return max(self.nodes * (self.max_pods_per_node - platform_pods_per_node) - platform_pods, 0)


@dataclass(frozen=True, kw_only=True)
class LabSettings:
    """The whole lab: how many user clusters of which size, and how fast time passes."""

    clusters: int = 1
    size: UserClusterSize = UserClusterSize()
    speed: float = 1.0
    delays: Delays = Delays()
    host: str = "127.0.0.1"
    port: int = 0
    seed_name: str = DEFAULT_SEED_NAME
    """Another one for each lab that stands for a seed of the same fleet."""
    directory: str = ".lab"
    """Where kubeconfigs, the CA and connection files are written."""
    kkp: KkpRelease = "2.31"
    without: frozenset[Part] = frozenset()
    """Parts of the platform that do not run."""
    seed_kubeconfig: str = ""
    """A file. With it the lab runs no API servers, but its platform on this seed and on these user clusters."""
    cluster_kubeconfigs: tuple[str, ...] = ()

    @property
    def is_attached(self) -> bool:
        """Tell whether the API servers are somebody else's."""
        return bool(self.seed_kubeconfig)

    @property
    def is_whole(self) -> bool:
        """Tell whether every part of the platform is there, so that the user clusters come to rest.

        Where API servers are somebody else's, so may be the workloads: kube-controller-manager has them.
        """
        return not self.without or (self.is_attached and self.without == {"workloads"})
