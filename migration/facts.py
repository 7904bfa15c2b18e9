"""What was observed of single objects, narrowed from raw JSON to what the rules ask about. Holds no rule itself."""

from __future__ import annotations

from dataclasses import dataclass

from migration.models import ClusterRef, Cni, Network
from migration.update_window import UpdateWindow


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    """A KKP Cluster object as found on its seed."""

    name: str
    human_readable_name: str
    resource_version: str
    cni: Cni
    proxy_mode: str
    kubernetes_version: str
    namespace: str
    phase: str
    paused: bool
    deleting: bool
    worker_name: str
    labels: frozenset[str]
    """The keys of its labels: KKP looks at a label's presence only."""
    health: tuple[tuple[str, str], ...]
    """Pairs of component and HealthStatus*, as `status.extendedHealth` has them."""
    update_reason: str = ""
    """Reason of the condition UpdateProgress."""
    api_url: str = ""
    """Where the user cluster's API server is, as `status.address.url` has it."""
    kubermatic_version: str = ""
    """The KKP that last looked at it, as its conditions have it: `v2.31.0`."""
    pod_cidrs: tuple[str, ...] = ()
    service_cidrs: tuple[str, ...] = ()
    node_mask_bits: tuple[tuple[int, int], ...] = ()
    """Pairs of IP version and length of the prefix that each node gets from the pods' range: `(4, 24)`."""
    konnectivity: bool = True
    features: frozenset[str] = frozenset()
    """The names of the features that are switched on."""
    gitops_owner: str = ""
    """The Argo CD application or Flux object that it belongs to; empty if none is known."""
    update_window: UpdateWindow | None = None
    """`spec.updateWindow`, if it says anything."""
    unseen: tuple[str, ...] = ()
    """What this way to KKP doesn't show of it, so that the fields above have no say in that."""

    @property
    def network(self) -> Network:
        """What its spec says of its network."""
        return Network(cni=self.cni, proxy_mode=self.proxy_mode)

    def unhealthy(self) -> tuple[str, ...]:
        """Return `component=status` for what is not up; an empty status means that the component isn't used."""
        return tuple(f"{name}={status}" for name, status in self.health if status not in ("HealthStatusUp", ""))


@dataclass(frozen=True, kw_only=True)
class ListedCluster:
    """A KKP Cluster as a list of them shows it: what clusters are chosen by."""

    ref: ClusterRef
    uid: str = ""
    """Of the Cluster object; empty if the way in doesn't tell."""
    human_readable_name: str
    project: str
    """The project's id, as the label `project-id` has it."""
    datacenter: str
    provider: str
    labels: tuple[tuple[str, str], ...]
    kubernetes_version: str
    cni: Cni
    """Of type `none` if it has none that this project knows."""
    proxy_mode: str
    phase: str
    paused: bool
    deleting: bool


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """A Node."""

    name: str
    uid: str
    ready: bool
    cordoned: bool
    internal_address: str
    kernel: str
    architecture: str
    owned_by_machine: bool
    deleting: bool = False
    pod_cidr: str = ""
    """The range that Canal gives its pods there; controller-manager assigns it while the CNI isn't Cilium."""
    boot_id: str = ""
    """Another one after every reboot."""
    bad_conditions: tuple[str, ...] = ()
    """What else than Ready its conditions complain of, as NetworkUnavailable and DiskPressure."""
    os_image: str = ""
    taints: tuple[str, ...] = ()
    """Keys of the taints that keep pods away."""


@dataclass(frozen=True)
class EndpointFacts:
    """A CiliumEndpoint: the addresses that Cilium gave a pod, and the pod's uid if it is named."""

    addresses: frozenset[str]
    pod_uid: str = ""


@dataclass(frozen=True, kw_only=True)
class MachineDeploymentFacts:
    """A MachineDeployment; missing status keys are zero: machine-controller leaves them out (docs/platform.md 7.2)."""

    name: str
    namespace: str
    replicas: int
    paused: bool
    generation: int
    observed_generation: int
    status_replicas: int
    updated: int
    available: int
    surge: int = 1
    gitops_owner: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether its status says that every machine is new and available."""
        return self.observed_generation >= self.generation and (
            self.updated == self.status_replicas == self.available == self.replicas
        )


@dataclass(frozen=True, kw_only=True)
class WorkloadFacts:
    """A Deployment, StatefulSet or DaemonSet: how many pods it wants and how many are ready."""

    workload: str
    desired: int
    ready: int
