"""What an operator may choose beside the target: how pods are restarted, what is tried out, how long it waits.

Each field's title and description are what Prefect's form shows: what it is, its unit, and when to change it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from migration.entries import ADDRESS_CHARACTERS, NO_SPACES, host_and_port, without_spaces
from migration.frozen import Frozen


class OnFailure(StrEnum):
    """What a run does when one of its steps fails for good: leave everything as it is, or go back."""

    STOP = "stop"
    REVERT = "revert"


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
            title="Strategy",
            description="delete: as the documented procedure does; pods on the two CNIs are out of each other's reach "
            "for the shortest time. evict: respects PodDisruptionBudgets and takes longer.",
        ),
    ] = RestartStrategy.DELETE
    concurrency: Annotated[
        int,
        Field(
            ge=1,
            le=500,
            title="Pods at a time",
            description="How many pods are being deleted or evicted at the same time. Lower it for nodes that start "
            "pods slowly; the outage gets longer.",
        ),
    ] = 50
    bare_pods: Annotated[
        BarePodChoice,
        Field(
            title="Pods without a controller",
            description="Nothing would bring them back. recreate: from their backup. skip: leave them on the old CNI, "
            "without network in the end. fail: stop in the readiness check, before anything is changed.",
        ),
    ] = BarePodChoice.RECREATE
    jobs: Annotated[
        JobChoice,
        Field(
            title="Running Jobs",
            description="wait: until they have finished, for as long as the next field says, then restart their pods. "
            "restart: their pods at once. skip: leave their pods on the old CNI.",
        ),
    ] = JobChoice.WAIT
    job_wait_minutes: Annotated[
        int,
        Field(
            ge=0,
            le=1440,
            title="Wait for Jobs (minutes)",
            description="How long running Jobs may take to finish, if they are waited for.",
        ),
    ] = 30
    eviction_patience_minutes: Annotated[
        int,
        Field(
            ge=0,
            le=1440,
            title="Patience with PodDisruptionBudgets (minutes)",
            description="How long a budget may hold up an eviction. Only for the strategy evict.",
        ),
    ] = 10
    after_patience: Annotated[
        Literal["delete", "fail"],
        Field(
            title="When patience ends",
            description="fail: the step fails and names the pods that could not be evicted. delete: delete them in "
            "spite of their budget. Only for the strategy evict.",
        ),
    ] = "fail"
    force_delete_stuck: Annotated[
        bool,
        Field(
            title="Force-delete stuck pods",
            description="Remove pods from the API that outlive their grace period by a minute. Their processes may "
            "still run on a dead node: leave it off where that could harm data.",
        ),
    ] = False


class Deadlines(Frozen):
    """Minutes after which a wait fails its step. Nothing is undone; a new run goes on from there."""

    lock: Annotated[
        int,
        Field(
            ge=0,
            le=10080,
            title="Another run (minutes)",
            description="How long to wait for another run that works on this cluster. 1440 is a day.",
        ),
    ] = 1440
    approval: Annotated[
        int,
        Field(
            ge=1,
            le=43200,
            title="Approval (minutes)",
            description="How long to wait for a person's answer, if one is asked. 10080 is a week.",
        ),
    ] = 10080
    # docs/platform.md 9: Ready within 25 minutes of the switch; six Helm attempts of ten minutes end by themselves.
    cni: Annotated[
        int,
        Field(
            ge=1,
            le=1440,
            title="New CNI (minutes)",
            description="How long the new CNI may take until it runs on every node. KKP itself tries for an hour.",
        ),
    ] = 65
    proxy_mode: Annotated[
        int,
        Field(
            ge=1,
            le=1440,
            title="kube-proxy mode (minutes)",
            description="How long a new kube-proxy mode may take until it is in effect on every node.",
        ),
    ] = 30
    restart: Annotated[
        int,
        Field(
            ge=1,
            le=1440,
            title="Pods restarted (minutes)",
            description="How long it may take to restart all pods, waits for Jobs and budgets included. Raise it for "
            "thousands of pods.",
        ),
    ] = 60
    removal: Annotated[
        int,
        Field(
            ge=1,
            le=1440,
            title="Old CNI removed (minutes)",
            description="How long the old CNI's objects may take to go.",
        ),
    ] = 15
    rotation: Annotated[
        int,
        Field(
            ge=1,
            le=2880,
            title="Nodes of each MachineDeployment (minutes)",
            description="How long the replacement of one MachineDeployment's nodes may take. Raise it for many nodes.",
        ),
    ] = 180
    reboot: Annotated[
        int,
        Field(
            ge=0,
            le=2880,
            title="Reboots by hand (minutes)",
            description="How long to watch for the reboot of nodes that no MachineDeployment owns.",
        ),
    ] = 60
    verification: Annotated[
        int,
        Field(
            ge=1,
            le=1440,
            title="Verification (minutes)",
            description="How long workloads may take in the end until they are as before.",
        ),
    ] = 15


EgressAddress = Annotated[
    str,
    AfterValidator(host_and_port),
    Field(
        title="Address",
        description="host:port, as example.com:443.",
        json_schema_extra={"pattern": ADDRESS_CHARACTERS},
    ),
]


class ProbeOptions(Frozen):
    """Short-lived pods that try the network before and after: opt-in, because they need an image and a namespace."""

    enabled: Annotated[
        bool,
        Field(
            title="Probe the network",
            description="Run short-lived pods before and after, in a namespace of their own, that try pods, DNS, "
            "Services, the API server, policies and the outside from every node. What worked before has "
            "to work afterwards.",
        ),
    ] = False
    image: Annotated[
        str,
        Field(
            title="Image",
            min_length=1,
            description="agnhost, or a copy of it in a registry that the nodes reach (air-gapped sites).",
            json_schema_extra={"pattern": NO_SPACES},
        ),
        AfterValidator(without_spaces),
    ] = "registry.k8s.io/e2e-test-images/agnhost:2.53"
    egress: Annotated[
        tuple[EgressAddress, ...],
        Field(
            title="Outside addresses",
            description="Addresses outside of the cluster, as host:port, which are tried from every node: what the "
            "cluster's users can't do without. None: the way out isn't tried.",
        ),
    ] = ()
