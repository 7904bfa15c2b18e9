"""How long each part of a run is assumed to take, in the order of the run.

For a KKP as docs/platform.md 9 has it. What the cluster's own journal tells is in migration/experience.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from migration.asking import changes_mode, new_cni, taken_up, target
from migration.assumptions_pods import replaced_nodes, restarted_pods
from migration.models import CniType, MigrationRequest, ProxyMode, Runbook, Stretch
from migration.parts import AssumedPart, Part
from migration.patches import tunnel_port
from migration.survey import ClusterSurvey
from migration.versions import FLANNEL_VXLAN_PORT

# docs/platform.md 9: an ApplicationInstallation within 6 minutes, Ready within 25.
CILIUM_SECONDS, CILIUM_LONGEST_SECONDS = 360.0, 1500.0
CANAL_SECONDS, CANAL_LONGEST_SECONDS = 180.0, 900.0
AGENTS_SECONDS, AGENTS_GAP_SECONDS = 120.0, 15.0
REMOVAL_SECONDS = 60.0
MODE_SECONDS, MODE_GAP_SECONDS, EBPF_GAP_SECONDS = 120.0, 5.0, 30.0
CHECK_SECONDS = 60.0
SWITCH: Final = ("allow CNI migration", "switch CNI")


def assumed_parts(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[AssumedPart]:
    """Yield the parts of the whole run that a request leads to, in the order of flows/runbooks.py."""
    yield _preparation(request)
    cni = new_cni(request)
    if cni is CniType.CILIUM:
        opening = ("open closed nodes",) if request.reverts else ()
        yield _arrival("Cilium beside Canal", ("remove stale Cilium", *SWITCH, *opening, "wait for Cilium"))
        yield from _restored_policies(request)
        yield from restarted_pods(survey, request, gap_before=0.0)
        yield _check_of_endpoints(request)
        yield _removal("Canal", "remove Canal", stretch=Stretch.REMOVE)
        yield from _mode(survey, request)
    elif cni is CniType.CANAL:
        yield from _prepared_removal(survey)
        yield _arrival("Canal beside Cilium", (*SWITCH, "wait for Canal"))
        yield from _mode(survey, request)
        yield from _restored_policies(request)
        yield _removal("Cilium", "remove Cilium", stretch=Stretch.MOVE)
        yield from restarted_pods(survey, request, gap_before=REMOVAL_SECONDS)
        if request.remove_crds:
            yield _removal("Cilium's definitions", "remove Cilium's definitions", stretch=Stretch.MOVE)
    else:
        yield from _mode(survey, request)
    if request.rotate_nodes:
        yield from replaced_nodes(survey, request)
    yield _verification(request)


def _preparation(request: MigrationRequest) -> AssumedPart:
    backs_up = request.runbook is not Runbook.CHANGE_PROXY_MODE
    part = Part(
        name="baseline and backups" if backs_up else "baseline",
        stretch=Stretch.PREPARE,
        steps=("record baseline", "back up") if backs_up else ("record baseline",),
        seconds=CHECK_SECONDS,
        longest_seconds=5 * CHECK_SECONDS,
        assumption="the API servers answer",
    )
    return AssumedPart(part=part)


def _arrival(name: str, steps: tuple[str, ...]) -> AssumedPart:
    is_cilium = "wait for Cilium" in steps
    part = Part(
        name=name,
        stretch=Stretch.MOVE,
        steps=steps,
        seconds=CILIUM_SECONDS if is_cilium else CANAL_SECONDS,
        longest_seconds=CILIUM_LONGEST_SECONDS if is_cilium else CANAL_LONGEST_SECONDS,
        assumption="the control plane rolls once, images are pulled anew on every node, and Helm's first try succeeds",
    )
    return AssumedPart(part=part)


def _restored_policies(request: MigrationRequest) -> Iterator[AssumedPart]:
    if request.reverts:
        part = Part(
            name="policies restored",
            stretch=Stretch.MOVE,
            steps=("restore policies",),
            seconds=CHECK_SECONDS,
            longest_seconds=5 * CHECK_SECONDS,
            assumption="the API servers answer",
        )
        yield AssumedPart(part=part)


def _removal(what: str, step: str, *, stretch: Stretch) -> AssumedPart:
    part = Part(
        name=f"removal of {what}",
        stretch=stretch,
        steps=(step,),
        seconds=REMOVAL_SECONDS,
        longest_seconds=10 * REMOVAL_SECONDS,
        assumption="nothing keeps its objects by a finalizer",
    )
    return AssumedPart(part=part)


def _prepared_removal(survey: ClusterSurvey) -> Iterator[AssumedPart]:
    if survey.application is None:
        return
    moves = tunnel_port(survey.application.values or {}) == FLANNEL_VXLAN_PORT
    part = Part(
        name="Cilium prepared for its removal",
        stretch=Stretch.MOVE,
        steps=("prepare Cilium's removal",),
        seconds=AGENTS_SECONDS,
        longest_seconds=CILIUM_LONGEST_SECONDS,
        outage_seconds=AGENTS_GAP_SECONDS if moves else 0.0,
        assumption="two agents at a time restart; traffic between nodes stops where the tunnel's port differs"
        if moves
        else "two agents at a time restart, traffic goes on",
    )
    yield AssumedPart(part=part)


def _check_of_endpoints(request: MigrationRequest) -> AssumedPart:
    part = Part(
        name="comparison of pods with their CiliumEndpoints",
        stretch=Stretch.MOVE,
        steps=("verify pods on Cilium",),
        seconds=CHECK_SECONDS,
        longest_seconds=request.deadlines.verification * 60.0,
        assumption="agents write an endpoint soon after its pod has started",
    )
    return AssumedPart(part=part)


def _mode(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[AssumedPart]:
    found = _change_of_mode(survey, request)
    if found is None:
        return
    before, after = found
    with_ebpf, with_cni = ProxyMode.EBPF in found, new_cni(request) is CniType.CANAL
    own_steps = ("switch kube-proxy mode", "wait for kube-proxy mode")
    labelled = ("allow CNI migration",) if new_cni(request) is None else ()
    part = Part(
        name=f"kube-proxy mode {before} to {after}",
        stretch=Stretch.MOVE if with_cni else Stretch.MODE,
        steps=own_steps[1:] if with_cni else (*labelled, *own_steps),
        seconds=MODE_SECONDS,
        longest_seconds=request.deadlines.proxy_mode * 60.0,
        outage_seconds=EBPF_GAP_SECONDS if with_ebpf else MODE_GAP_SECONDS,
        assumption="Services are without rules between kube-proxy and Cilium for as long as agents restart"
        if with_ebpf
        else "each kube-proxy is back within seconds and keeps the connections there are",
    )
    yield AssumedPart(part=part)


def _change_of_mode(survey: ClusterSurvey, request: MigrationRequest) -> tuple[str, str] | None:
    """Return the modes before and after; None if it stays. The Cluster may say the new one long before it is there."""
    running = taken_up(survey, request)
    if running is not None:
        modes = (running.previous_proxy_mode, running.desired.proxy_mode)
        return modes if running.changes_proxy_mode else None
    if not changes_mode(survey, request):
        return None
    return survey.cluster.proxy_mode, target(survey, request).proxy_mode


def _verification(request: MigrationRequest) -> AssumedPart:
    part = Part(
        name="verification",
        stretch=Stretch.VERIFY,
        steps=("verify", "finish migration"),
        seconds=CHECK_SECONDS,
        longest_seconds=request.deadlines.verification * 60.0,
        assumption="everything comes back by itself",
    )
    return AssumedPart(part=part, is_repeated=True)
