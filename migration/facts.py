"""What was observed, narrowed from raw JSON to what the rules ask about. Holds no rule itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from migration.journal import Migration
from migration.models import Cni, Pod


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

    def unhealthy(self) -> tuple[str, ...]:
        """Return `component=status` for what is not up; an empty status means that the component isn't used."""
        return tuple(f"{name}={status}" for name, status in self.health if status not in ("HealthStatusUp", ""))


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


@dataclass(frozen=True, kw_only=True)
class ClusterSurvey:
    """Everything that the readiness check looks at."""

    cluster: ClusterFacts
    offered_versions: tuple[str, ...] | None
    """Cilium versions in the seed's ApplicationDefinition; None when there is none."""
    nodes: tuple[NodeFacts, ...] = ()
    machine_deployments: tuple[MachineDeploymentFacts, ...] = ()
    pods: tuple[Pod, ...] = ()
    denied: tuple[str, ...] = ()
    """Permissions that are missing, as `verb resource.group in namespace`."""
    blocked_budgets: tuple[str, ...] = ()
    """PodDisruptionBudgets that allow no disruption, as `namespace/name`."""
    calico_policies: tuple[str, ...] = ()
    open_migration: Migration | None = None
    """The unfinished migration in the cluster's journal."""
    last_migration: Migration | None = None
    """The migration that this project finished last here."""
    unfinished_jobs: frozenset[str] = field(default_factory=frozenset)
    """`namespace/name` of the Jobs that still run."""
    reached_url: str = ""
    """Where the kubeconfig leads by which the user cluster was reached; empty for KKP's own, which knows."""
