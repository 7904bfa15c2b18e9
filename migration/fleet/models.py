"""What an operator says of a roll-out: which clusters, in which waves, and what is done to each. Frozen throughout."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from migration.fleet.label_selectors import parse_selector
from migration.frozen import Frozen
from migration.models import CniType, Runbook
from migration.options import Deadlines, OnFailure, ProbeOptions, RestartOptions
from migration.parameters import (
    AUTOMATIC_PORT,
    AcceptedBlockers,
    AllDeadlines,
    CniVersion,
    FailureChoice,
    IgnoreWindow,
    MaintenanceWindows,
    Manifest,
    OptionalProxyMode,
    Pods,
    Probes,
    ProxyModeChoice,
    RemoveDefinitions,
    RotateNodes,
    SeedName,
    TunnelPort,
    shown,
)
from migration.targets import START
from migration.windows import Maintenance


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is named more than once")
    return names


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1),
    Field(title="Name", description="One of them, as KKP writes it."),
]
Names = Annotated[tuple[Name, ...], AfterValidator(_distinct)]
Seeds = Annotated[
    tuple[SeedName, ...],
    shown(
        "Connections", "Names of the configured connections whose user clusters are looked at, each once.", min_length=1
    ),
    AfterValidator(_distinct),
]


class Selection(Frozen):
    """Which user clusters of the seeds take part. Whatever is given has to hold; nothing given: all that can."""

    labels: Annotated[
        str,
        Field(
            title="Labels",
            description="Label selector as kubectl has it: env=test,tier in (a, b),!frozen. Empty: all clusters.",
        ),
    ] = ""
    projects: Annotated[Names, Field(title="Projects", description="IDs of KKP projects. Empty: all.")] = ()
    datacenters: Annotated[Names, Field(title="Datacenters", description="As spec.cloud.dc has them. Empty: all.")] = ()
    providers: Annotated[
        Names, Field(title="Providers", description="Cloud providers, as openstack or aws. Empty: all.")
    ] = ()
    cni_versions: Annotated[
        Names,
        Field(
            title="Current CNI versions",
            description="Versions that the clusters have now, as v3.30 or 1.18.6. A cluster in the middle of this "
            "migration counts with the one that it had before. Empty: all.",
        ),
    ] = ()
    kubernetes_versions: Annotated[
        Names,
        Field(
            title="Kubernetes versions",
            description="As 1.34.3, or 1.34 for every version that begins so. Empty: all.",
        ),
    ] = ()
    names: Annotated[
        Names,
        Field(
            title="Names",
            description="IDs of user clusters, or seed/ID. One that no seed has is an error. Empty: all clusters.",
        ),
    ] = ()
    excluded: Annotated[
        Names,
        Field(
            title="Excluded names",
            description="IDs of user clusters, or seed/ID, that stay out. One that no seed has is an error.",
        ),
    ] = ()

    @model_validator(mode="after")
    def _can_be_read(self) -> Selection:
        parse_selector(self.labels)
        return self


class Waves(Frozen):
    """In which portions the clusters are migrated: some canaries first, then batches."""

    canaries: Annotated[
        int | None,
        Field(
            ge=0,
            le=50,
            title="Canaries",
            description="How many clusters are migrated first, chosen so that they resemble the others. Empty: 2 of "
            "up to 10 clusters, else 3. 0: none.",
        ),
    ] = None
    batch_size: Annotated[
        int, Field(ge=1, le=1000, title="Clusters in the first batch", description="The one after the canaries.")
    ] = 10
    growth: Annotated[
        float,
        Field(
            ge=1,
            le=10,
            title="Growth",
            description="Each further batch has so many times the clusters of the one before. 1: all alike.",
        ),
    ] = 1.0
    soak_minutes: Annotated[
        int,
        Field(
            ge=0,
            le=20160,
            title="Soak (minutes)",
            description="How long nothing is begun after the canaries, and after each batch. Longer ones hold no "
            "worker.",
        ),
    ] = 60
    concurrent: Annotated[
        int,
        Field(
            ge=1,
            le=200,
            title="Clusters at a time",
            description="Never more than so many are being migrated, those included that wait for their window.",
        ),
    ] = 5


class FleetApproval(StrEnum):
    """When a person is asked, with the table of the fleet in the form."""

    NONE = "none"
    BEFORE = "before the first wave"
    AFTER_CANARIES = "before the first wave and after the canaries"


class MigrationOptions(Frozen):
    """What every cluster's own run is told. What its runbook doesn't know is refused."""

    version: CniVersion = ""
    proxy_mode: OptionalProxyMode = ProxyModeChoice.KEEP
    rotate_nodes: RotateNodes = True
    approval: Annotated[
        bool,
        Field(
            title="Ask for each cluster",
            description="Each cluster's own run asks a person before it disrupts anything, on its own page.",
        ),
    ] = False
    maintenance: MaintenanceWindows = Maintenance()
    ignore_window: IgnoreWindow = False
    on_failure: FailureChoice = OnFailure.STOP
    pods: Pods = RestartOptions()
    probes: Probes = ProbeOptions()
    remove_crds: RemoveDefinitions = False
    manifest: Manifest = ""
    tunnel_port: TunnelPort = AUTOMATIC_PORT
    accept: AcceptedBlockers = ()
    deadlines: AllDeadlines = Deadlines()


FleetRunbook = Annotated[
    Runbook,
    shown("What to do", "To each cluster: a migration to the other CNI, or only a change of the kube-proxy mode."),
]
Selecting = Annotated[
    Selection,
    shown(
        "Clusters",
        "Which of the connections' clusters take part. Whatever is given has to hold of a cluster; nothing given: "
        "every one that has the CNI, or another kube-proxy mode than the one, with which the runbook begins.",
    ),
]
Portions = Annotated[
    Waves,
    shown("Portions", "In which portions: canaries that resemble the others first, then batches, with time between."),
]
FailureBudget = Annotated[
    int,
    shown(
        "Failed clusters tolerated",
        "How many may fail after the canaries. With one more nothing is begun any more, and the run ends in "
        "BudgetExhausted once those under way have ended.",
        ge=0,
        le=1000,
    ),
]
CanaryFailureBudget = Annotated[
    int, shown("Failed canaries tolerated", "As above, for the canaries. They are there to fail first.", ge=0, le=50)
]
Options = Annotated[
    MigrationOptions,
    shown("Migration", "What each cluster's own run is told; its deployment's own defaults don't count."),
]
Approving = Annotated[
    FleetApproval,
    shown("Ask for approval", "When the run suspends until a person has read the fleet's table and presses Resume."),
]
DryRun = Annotated[
    bool,
    shown("Dry run", "Only look: the readiness of every cluster in one table, with estimates. Nothing is changed."),
]


class FleetOrder(Frozen):
    """A roll-out as the operator ordered it."""

    seeds: Seeds
    runbook: Runbook
    selection: Selection = Selection()
    waves: Waves = Waves()
    failure_budget: int = 0
    canary_failure_budget: int = 0
    migration: MigrationOptions = MigrationOptions()
    approval: FleetApproval = FleetApproval.NONE
    run_id: str = ""

    @model_validator(mode="after")
    def _goes_together(self) -> FleetOrder:
        """Refuse an option that this runbook would pass over in silence."""
        if self.runbook is Runbook.CHANGE_PROXY_MODE and self.migration.proxy_mode.wanted is None:
            raise ValueError("change-proxy-mode needs to know which mode: set migration.proxy_mode")
        if foreign := sorted(_given(self.migration, _FOREIGN[self.runbook])):
            raise ValueError(f"{self.runbook} knows no {', '.join(foreign)}: leave it as it is in migration")
        return self

    @property
    def start(self) -> CniType | None:
        """The CNI from which the runbook sets out; None if from any."""
        return START.get(self.runbook)


_FOREIGN = {
    Runbook.CANAL_TO_CILIUM: (),
    Runbook.CILIUM_TO_CANAL: ("tunnel_port",),
    Runbook.CHANGE_PROXY_MODE: ("tunnel_port", "version", "remove_crds", "manifest", "pods"),
}


def _given(options: MigrationOptions, names: Iterable[str]) -> list[str]:
    unset = MigrationOptions()
    return [name for name in names if getattr(options, name) != getattr(unset, name)]
