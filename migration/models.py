"""What the parts of a migration tell each other: identities, choices, facts, outcomes. Frozen throughout."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from migration.frozen import Frozen
from migration.options import (
    BarePodChoice,
    Deadlines,
    JobChoice,
    OnFailure,
    ProbeOptions,
    RestartOptions,
    RestartStrategy,
)
from migration.schedules import Schedule
from migration.windows import Maintenance

__all__ = [
    "BarePodChoice",
    "ClusterRef",
    "Cni",
    "CniType",
    "Deadlines",
    "Finding",
    "JobChoice",
    "MigrationReport",
    "MigrationRequest",
    "Network",
    "OnFailure",
    "Owner",
    "Pod",
    "ProbeOptions",
    "ProxyMode",
    "RestartOptions",
    "RestartStrategy",
    "Runbook",
    "RunningMigration",
    "Severity",
    "StepOutcome",
    "StepStatus",
    "Stretch",
    "WorkloadOutage",
]


class CniType(StrEnum):
    """`spec.cniPlugin.type` of a KKP Cluster."""

    CANAL = "canal"
    CILIUM = "cilium"
    NONE = "none"


class Cni(Frozen):
    """A CNI as KKP names it; Canal versions carry a `v` (`v3.30`), Cilium's don't (`1.19.4`)."""

    type: CniType
    version: str

    def __str__(self) -> str:
        return f"{self.type} {self.version}"


class ProxyMode(StrEnum):
    """`spec.clusterNetwork.proxyMode` of a KKP Cluster; with ebpf Cilium takes kube-proxy's place."""

    IPVS = "ipvs"
    IPTABLES = "iptables"
    NFTABLES = "nftables"
    EBPF = "ebpf"


class Network(Frozen):
    """What a Cluster's spec says of its network, as far as a migration changes it."""

    cni: Cni
    proxy_mode: str

    def __str__(self) -> str:
        return f"{self.cni}, kube-proxy mode {self.proxy_mode}"


class Runbook(StrEnum):
    """What a migration does, and so which steps it has."""

    CANAL_TO_CILIUM = "canal-to-cilium"
    CILIUM_TO_CANAL = "cilium-to-canal"
    CHANGE_PROXY_MODE = "change-proxy-mode"


class Stretch(StrEnum):
    """What lies between two safe points of a run, where the cluster is fine for as long as it takes."""

    PREPARE = "preparation"
    MOVE = "move to the new CNI"
    REMOVE = "removal of the old CNI"
    MODE = "change of the kube-proxy mode"
    NODES = "replacement of nodes"
    REBOOTS = "reboots by hand"
    VERIFY = "verification"


class ClusterRef(Frozen):
    """A user cluster: the name of the seed's connection, and the name of its Cluster object."""

    seed: str
    name: str

    def __str__(self) -> str:
        return f"{self.seed}/{self.name}"


class MigrationRequest(Frozen):
    """One migration as the operator ordered it."""

    cluster: ClusterRef
    runbook: Runbook = Runbook.CANAL_TO_CILIUM
    desired_cni: Cni | None = None
    """The CNI that the cluster shall run; None if it stays on the one it has."""
    desired_proxy_mode: ProxyMode | None = None
    """The kube-proxy mode that the cluster shall have; None if it keeps its own."""
    tunnel_port: int | None = None
    rotate_nodes: bool = True
    remove_crds: bool = False
    manifest: str = ""
    """File or URL that lists what to remove of the old CNI, where its objects carry no label of KKP."""
    pods: RestartOptions = RestartOptions()
    probes: ProbeOptions = ProbeOptions()
    deadlines: Deadlines = Deadlines()
    accept: tuple[str, ...] = ()
    on_failure: OnFailure = OnFailure.STOP
    maintenance: Maintenance = Maintenance()
    ignore_window: bool = False
    approval: bool = False
    """Whether a person has to agree before the first disruptive step."""
    stop_at_safe_point: bool = False
    """Whether the run is to end at the next safe point, and not at the runbook's end."""
    schedules: tuple[Schedule, ...] = ()
    """The schedules of its deployment that start such a run: what the readiness check compares with the windows."""
    requested_by: str = ""
    run_id: str = ""
    """Id of the flow run; empty outside of one."""
    is_errand: bool = False
    """Whether it only brings a cancelled run's cluster to its next safe point: it begins nothing."""
    reverts: str = ""
    """Id of the migration that this one takes back; empty if it takes none back."""


class RunningMigration(Frozen):
    """A migration in progress, as the flow hands it to its steps."""

    request: MigrationRequest
    id: str
    holder: str
    """Who holds the cluster's lock: the id of the flow run, and a word that tells its attempts apart."""
    seconds: Mapping[str, float] = Field(default_factory=dict)
    """Mapping of the stretches that lie before it to the seconds that each is expected to take."""
    preparation: int = 1
    """How often baseline and backups were taken: once more after every long wait before the first disruptive step."""

    @property
    def cluster(self) -> ClusterRef:
        """The cluster that is migrated."""
        return self.request.cluster


class Severity(StrEnum):
    """How much a finding matters: a blocker stops a run unless it is accepted by its code."""

    BLOCKER = "blocker"
    WARNING = "warning"
    INFO = "info"


class Finding(Frozen):
    """One thing that a check found: what, where, what was seen and what to do."""

    code: str
    severity: Severity
    subject: str
    seen: str
    advice: str
    accepted: bool = False
    """Whether this is a blocker that the operator accepted for this run."""

    def __str__(self) -> str:
        return f"[{self.code}] {self.subject}: {self.seen}. {self.advice}"


class Owner(Frozen):
    """The controller of a pod; a ReplicaSet stands for its Deployment."""

    kind: str
    name: str


class Pod(Frozen):
    """What a migration needs to know of a pod."""

    namespace: str
    name: str
    uid: str
    node: str
    owner: Owner | None
    host_network: bool
    mirror: bool
    phase: str
    ready: bool
    deleting: bool
    addresses: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    """Sorted key and value pairs, so that the model stays hashable."""
    grace_seconds: int = 30
    deletion_due: datetime | None = None
    """When its grace period ends, or has ended, if it is being deleted."""
    host_ports: tuple[int, ...] = ()
    local_volumes: tuple[str, ...] = ()
    """Which kinds of volume it has that are lost with it or with its node: `emptyDir`, `hostPath`."""
    claims: tuple[str, ...] = ()
    """Its PersistentVolumeClaims."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def finished(self) -> bool:
        """Whether it has Succeeded or Failed."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def workload(self) -> str:
        """`namespace/Kind/name` of what it belongs to; a bare pod stands for itself."""
        owner = self.owner or Owner(kind="Pod", name=self.name)
        return f"{self.namespace}/{owner.kind}/{owner.name}"

    def has_label(self, key: str, value: str) -> bool:
        """Tell whether the pod carries this label with this value."""
        return (key, value) in self.labels


class StepStatus(StrEnum):
    """How a step ended."""

    CHANGED = "changed"
    ALREADY = "already done"
    RECORDED = "recorded"
    CONFIRMED = "confirmed"
    SKIPPED = "skipped"


class StepOutcome(Frozen):
    """What one step of a runbook did."""

    step: str
    status: StepStatus
    summary: str
    started_at: datetime
    finished_at: datetime
    count: int = 0
    """How many pods were restarted, nodes replaced or rebooted; 0 where none are counted."""
    outage: tuple[WorkloadOutage, ...] = ()
    outage_seconds: float = 0.0
    """Seconds in which at least one workload had no ready pod."""
    mixed_seconds: float = 0.0
    """Seconds in which pods were on both CNIs, and so could not all reach each other."""
    findings: tuple[Finding, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()


class WorkloadOutage(Frozen):
    """For how long a workload had no ready pod, and for how long fewer than before."""

    workload: str
    down_seconds: float
    degraded_seconds: float


class MigrationReport(Frozen):
    """The end of a run, for people and for machines."""

    cluster: ClusterRef
    migration_id: str | None
    outcome: Literal["migrated", "taken back", "nothing to do", "stopped"]
    message: str
    previous_cni: Cni | None
    current_cni: Cni
    proxy_mode: str
    started_at: datetime
    finished_at: datetime
    steps: tuple[StepOutcome, ...]
    outage: tuple[WorkloadOutage, ...]
    outage_seconds: float
    """Seconds in which at least one workload had no ready pod."""
    mixed_seconds: float
    """Seconds in which pods were on both CNIs, and so could not all reach each other."""
    findings: tuple[Finding, ...]


StepOutcome.model_rebuild()
