"""Everything that the readiness check looks at, as one set of facts. Holds no rule itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from migration.facts import ClusterFacts, EndpointFacts, MachineDeploymentFacts, NodeFacts, WorkloadFacts
from migration.journal import Journal
from migration.manifest_findings import OldCniFacts
from migration.models import Pod
from migration.policies import PolicyFacts

ADDON, APPLICATION_OF_KKP, SOMEBODY = "addon", "application", "somebody"
"""Who installed something: an addon of KKP's, KKP's Helm release, or somebody else."""


@dataclass(frozen=True, kw_only=True)
class WebhookFacts:
    """An admission webhook that is called for pods and refuses them if it doesn't answer."""

    name: str
    """Kind and name of its configuration, and its own name."""
    service: str
    """`namespace/name` of the Service behind it."""
    ready_endpoints: int
    backends: frozenset[str] = frozenset()
    """Workloads (`Pod.workload`) on the pod network behind it."""
    called_for_pods: bool = True
    """Whether the creation of a pod calls it; others matter only for the order of the restart."""


@dataclass(frozen=True, kw_only=True)
class CredentialFacts:
    """A kubeconfig that the run works with: where it is from, and until when it is good."""

    source: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class OwnedObject:
    """An object of a CNI in the user cluster: what a migration removes, and who else keeps it."""

    kind: str
    place: str
    gitops_owner: str = ""


@dataclass(frozen=True, kw_only=True)
class CniFacts:
    """What runs of a CNI in the user cluster."""

    agents: str = ""
    """Who installed its DaemonSet (ADDON, APPLICATION_OF_KKP or SOMEBODY); empty without one."""
    objects: tuple[OwnedObject, ...] = ()
    """Its objects by label, in the order in which they are removed."""


@dataclass(frozen=True, kw_only=True)
class ApplicationValues:
    """The ApplicationInstallation of Cilium: its Helm values, and by which of the two keys it has them."""

    values: Mapping[str, Any] | None
    """None if they can't be read."""
    in_block: bool = False
    deployed: bool = True
    resource_version: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterSurvey:
    """Everything that the readiness check looks at."""

    cluster: ClusterFacts
    offered_versions: tuple[str, ...] | None
    """Cilium versions in the seed's ApplicationDefinition; None when there is none."""
    seen_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    helm_defaults: Mapping[str, Any] | None = None
    """The ApplicationDefinition's own Helm values; None if they can't be read."""
    journal: Journal = Journal()  # noqa: RUF009 - frozen
    nodes: tuple[NodeFacts, ...] = ()
    machine_deployments: tuple[MachineDeploymentFacts, ...] = ()
    pods: tuple[Pod, ...] = ()
    endpoints: Mapping[str, EndpointFacts] = field(default_factory=dict)
    """Mapping of `namespace/name` to the CiliumEndpoint of that name."""
    workloads: tuple[WorkloadFacts, ...] = ()
    denied: tuple[str, ...] = ()
    """Permissions that are missing, as `verb resource.group in namespace`."""
    unseen: tuple[str, ...] = ()
    """Permissions that are missing and only dim the view."""
    blocked_budgets: tuple[str, ...] = ()
    """PodDisruptionBudgets that allow no disruption, as `namespace/name`."""
    unfinished_jobs: frozenset[str] = frozenset()
    """`namespace/name` of the Jobs that still run."""
    node_bound_claims: frozenset[str] = frozenset()
    """`namespace/name` of the PersistentVolumeClaims whose volume lies on a node."""
    webhooks: tuple[WebhookFacts, ...] = ()
    unavailable_apis: tuple[str, ...] = ()
    """APIServices that don't answer, each with its reason."""
    policies: PolicyFacts | None = None
    """None if they don't matter, or can't be read."""
    canal: CniFacts = CniFacts()
    cilium: CniFacts = CniFacts()
    application: ApplicationValues | None = None
    cilium_nodes: int = 0
    multus: bool = False
    old_cni: OldCniFacts | None = None
    """How the CNI that is to go was installed; None if none is to go."""
    reached_url: str = ""
    """Where the kubeconfig leads by which the user cluster was reached; empty for KKP's own, which knows."""
    credentials: tuple[CredentialFacts, ...] = ()
    """Those that end some day."""

    @property
    def webhook_backends(self) -> frozenset[str]:
        """The workloads (`Pod.workload`) behind admission webhooks that fail closed."""
        return frozenset(backend for webhook in self.webhooks for backend in webhook.backends)
