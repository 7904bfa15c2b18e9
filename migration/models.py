"""What the parts of a migration tell each other: identities, choices, facts, outcomes. Frozen throughout."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from migration.frozen import Frozen
from migration.schedules import Schedule
from migration.windows import Maintenance


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


class OnFailure(StrEnum):
    """What a run does when one of its steps fails for good: leave everything as it is, or go back."""

    STOP = "stop"
    REVERT = "revert"


class ClusterRef(Frozen):
    """A user cluster: the name of the seed's connection, and the name of its Cluster object."""

    seed: str
    name: str

    def __str__(self) -> str:
        return f"{self.seed}/{self.name}"


class BarePodChoice(StrEnum):
    """What to do with pods that no controller would bring back."""

    RECREATE = "recreate"
    SKIP = "skip"
    FAIL = "fail"


class JobChoice(StrEnum):
    """What to do with pods of unfinished Jobs."""

    WAIT = "wait"
    RESTART = "restart"
    SKIP = "skip"


class RestartStrategy(StrEnum):
    """How pods are restarted: deleted as the documented procedure does, or evicted with respect for PDBs."""

    DELETE = "delete"
    EVICT = "evict"


class RestartOptions(Frozen):
    """How pods are moved to the new CNI."""

    strategy: Annotated[
        RestartStrategy,
        Field(
            title="Strategy", description="delete: shortest mixed state; evict: respects PodDisruptionBudgets, slower"
        ),
    ] = RestartStrategy.DELETE
    concurrency: Annotated[
        int, Field(ge=1, le=500, title="Concurrent deletions", description="How many pods are being deleted at a time")
    ] = 50
    bare_pods: Annotated[
        BarePodChoice,
        Field(
            title="Pods without a controller",
            description="recreate them from their backup, skip them, or fail beforehand",
        ),
    ] = BarePodChoice.RECREATE
    jobs: Annotated[
        JobChoice, Field(title="Running Jobs", description="wait until they finish, restart their pods, or skip them")
    ] = JobChoice.WAIT
    job_wait_minutes: Annotated[int, Field(ge=0, le=1440, title="Wait for Jobs (minutes)")] = 30
    eviction_patience_minutes: Annotated[
        int, Field(ge=0, le=1440, title="Patience with PodDisruptionBudgets (minutes)", description="Only for evict")
    ] = 10
    after_patience: Annotated[
        Literal["delete", "fail"],
        Field(title="When patience ends", description="delete the pods that could not be evicted, or fail the step"),
    ] = "fail"
    force_delete_stuck: Annotated[
        bool,
        Field(title="Force-delete stuck pods", description="Remove pods that outlive their grace period by a minute"),
    ] = False


class Deadlines(Frozen):
    """Minutes after which a wait fails its step. Nothing is undone; a new run goes on from there."""

    lock: Annotated[int, Field(ge=0, le=10080, title="Another run's lock (minutes)")] = 1440
    approval: Annotated[int, Field(ge=1, le=43200, title="A person's approval (minutes)")] = 10080
    # docs/platform.md 9: Ready within 25 minutes of the switch; six Helm attempts of ten minutes end by themselves.
    cni: Annotated[int, Field(ge=1, le=1440, title="New CNI up on all nodes (minutes)")] = 65
    proxy_mode: Annotated[int, Field(ge=1, le=1440, title="New kube-proxy mode on all nodes (minutes)")] = 30
    restart: Annotated[int, Field(ge=1, le=1440, title="All pods restarted (minutes)")] = 60
    removal: Annotated[int, Field(ge=1, le=1440, title="Old CNI removed (minutes)")] = 15
    rotation: Annotated[int, Field(ge=1, le=2880, title="Each MachineDeployment rotated (minutes)")] = 180
    reboot: Annotated[int, Field(ge=0, le=2880, title="Nodes rebooted by hand (minutes)")] = 60
    verification: Annotated[int, Field(ge=1, le=1440, title="Workloads as before (minutes)")] = 15


class ProbeOptions(Frozen):
    """Short-lived pods that try the network before and after: opt-in, because they need an image and a namespace."""

    enabled: Annotated[bool, Field(title="Probe the network", description="Run short-lived pods that try it out")] = (
        False
    )
    image: Annotated[
        str, Field(title="Image", min_length=1, description="agnhost, or a copy of it in a registry that nodes reach")
    ] = "registry.k8s.io/e2e-test-images/agnhost:2.53"
    egress: Annotated[
        tuple[str, ...],
        Field(title="Outside addresses", description="host:port, each to be reached from every node"),
    ] = ()


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
