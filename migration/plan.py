"""What a run would do, without doing it: its steps, the patches that it sends, the pods and objects that it touches.

Computed by the functions that the steps themselves use, from one look at the cluster: what changes until then is left
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from migration.asking import changes_mode, may_keep_cni_file, new_cni, planned_restart, target
from migration.estimate import Estimate, estimate
from migration.frozen import Frozen
from migration.models import CniType, MigrationRequest, Network
from migration.patches import (
    UNSAFE_CNI_MIGRATION,
    label_patch,
    network_patch,
    removal_values,
    restart_patch,
    values_spec,
)
from migration.plan_steps import PlannedStep, planned_steps
from migration.survey import ClusterSurvey
from migration.versions import DEFAULT_TUNNEL_PORT, initial_helm_values

NAMED_PODS: Final = 50
NAMED_OBJECTS: Final = 200


class PlannedPatch(Frozen):
    """A merge patch: what it is sent to, and what must be known of it besides."""

    object: str
    body: Mapping[str, Any]
    note: str = ""


class PlannedWave(Frozen):
    """Pods that are restarted together; those not named are `count` less the names."""

    name: str
    count: int
    one_at_a_time: bool
    pods: tuple[str, ...]


class PlannedRemoval(Frozen):
    """An object that is removed."""

    kind: str
    place: str


class PlannedNode(Frozen):
    """A node, and what becomes of it."""

    name: str
    fate: str


class Plan(Frozen):
    """What a run would do."""

    steps: tuple[PlannedStep, ...]
    patches: tuple[PlannedPatch, ...]
    waves: tuple[PlannedWave, ...]
    awaited: tuple[str, ...]
    """Pods of Jobs whose end is awaited."""
    skipped: tuple[str, ...]
    """Pods that stay as they are, each with the reason."""
    removals: tuple[PlannedRemoval, ...]
    more_removals: int
    """How many objects are removed beyond those named."""
    nodes: tuple[PlannedNode, ...]
    estimate: Estimate

    @property
    def restarts(self) -> int:
        """How many pods are restarted."""
        return sum(wave.count for wave in self.waves)


def plan(survey: ClusterSurvey, request: MigrationRequest) -> Plan:
    """Return what a request would lead to on a cluster as it was seen."""
    restart = planned_restart(survey, request)
    removals = tuple(_removals(survey, request))
    return Plan(
        steps=planned_steps(survey, request),
        patches=tuple(_patches(survey, request)),
        waves=tuple(
            PlannedWave(
                name=wave.name,
                count=len(wave.pods),
                one_at_a_time=wave.one_at_a_time,
                pods=tuple(pod.key for pod in wave.pods[:NAMED_PODS]),
            )
            for wave in (restart.waves if restart else ())
        ),
        awaited=tuple(pod.key for pod in restart.awaited[:NAMED_PODS]) if restart else (),
        skipped=tuple(f"{found.pod.key}: {found.reason}" for found in restart.skipped[:NAMED_PODS]) if restart else (),
        removals=removals[:NAMED_OBJECTS],
        more_removals=max(0, len(removals) - NAMED_OBJECTS),
        nodes=tuple(_nodes(survey, request)),
        estimate=estimate(survey, request),
    )


def _patches(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[PlannedPatch]:
    where = f"Cluster {survey.cluster.name} on seed {request.cluster.seed}"
    was_labelled = UNSAFE_CNI_MIGRATION in survey.cluster.labels
    if new_cni(request) is CniType.CANAL:
        yield from _preparation(survey)
    if not was_labelled:
        yield PlannedPatch(object=where, body=label_patch(present=True))
    yield from _network(survey, request, where)
    if request.rotate_nodes:
        for found in survey.machine_deployments:
            if found.replicas:
                yield PlannedPatch(
                    object=f"MachineDeployment {found.namespace}/{found.name}",
                    body=restart_patch("<nanoseconds since 1970>"),
                )
    if not was_labelled:
        yield PlannedPatch(object=where, body=label_patch(present=False), note="at the end")


def _network(survey: ClusterSurvey, request: MigrationRequest, where: str) -> Iterator[PlannedPatch]:
    """Yield the patches of the Cluster's spec: to Cilium the proxy mode follows later (docs/platform.md 1.2)."""
    wanted, cluster = target(survey, request), survey.cluster
    if new_cni(request) is not CniType.CILIUM:
        if wanted != cluster.network:
            yield PlannedPatch(object=where, body=network_patch(cluster, wanted, None))
        return
    first = Network(cni=wanted.cni, proxy_mode=cluster.proxy_mode)
    values, note = None, ""
    if survey.helm_defaults is not None:
        values = initial_helm_values(survey.helm_defaults, request.tunnel_port or DEFAULT_TUNNEL_PORT)
        note = "with the Helm values that Cilium had before, if this takes its removal back" if request.reverts else ""
    if first != cluster.network:
        yield PlannedPatch(object=where, body=network_patch(cluster, first, values), note=note)
    if changes_mode(survey, request):
        body = {"spec": {"clusterNetwork": {"proxyMode": str(wanted.proxy_mode)}}}
        yield PlannedPatch(object=where, body=body, note="once Canal is gone, against the version of then")


def _preparation(survey: ClusterSurvey) -> Iterator[PlannedPatch]:
    application = survey.application
    if application is None or application.values is None or not application.deployed:
        return
    if survey.cluster.cni.type is not CniType.CILIUM:
        return
    values = removal_values(application.values, uninstall=not may_keep_cni_file(survey))
    if values != dict(application.values):
        yield PlannedPatch(
            object="ApplicationInstallation kube-system/cilium",
            body={
                "metadata": {"resourceVersion": application.resource_version},
                "spec": values_spec(values, in_block=application.in_block),
            },
            note="cni.uninstall is left out if KKP's webhook refuses it",
        )


def _removals(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[PlannedRemoval]:
    cni = new_cni(request)
    if cni is None:
        return
    if survey.application is not None:
        yield PlannedRemoval(kind="ApplicationInstallation", place="kube-system/cilium")
    for found in (survey.canal if cni is CniType.CILIUM else survey.cilium).objects:
        yield PlannedRemoval(kind=found.kind, place=found.place)
    manifest = survey.old_cni.manifest if survey.old_cni else None
    for text in manifest.objects if manifest else ():
        kind, _, place = text.partition(" ")
        yield PlannedRemoval(kind=kind, place=place)


def _nodes(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[PlannedNode]:
    for node in sorted(survey.nodes, key=lambda node: node.name):
        fate = "stays"
        if request.rotate_nodes:
            fate = "replaced" if node.owned_by_machine else "to be rebooted by hand"
        yield PlannedNode(name=node.name, fate=fate)
