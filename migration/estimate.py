"""How long a migration is going to take, and for how long something is interrupted: per stretch, with what was assumed.

Assumptions are for a KKP as docs/platform.md 9 has it; none of this is measured on the cluster itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from migration.asking import changes_mode, may_keep_cni_file, new_cni, planned_restart, target
from migration.frozen import Frozen
from migration.models import CniType, MigrationRequest, ProxyMode
from migration.patches import tunnel_port
from migration.restart import Wave
from migration.survey import ClusterSurvey
from migration.versions import FLANNEL_VXLAN_PORT

# docs/platform.md 9: an ApplicationInstallation within 6 minutes, Ready within 25.
CILIUM_SECONDS, CILIUM_LONGEST_SECONDS = 360.0, 1500.0
CANAL_SECONDS, CANAL_LONGEST_SECONDS = 180.0, 900.0
AGENTS_SECONDS = 120.0
REMOVAL_SECONDS = 60.0
POD_ENDS_SECONDS, POD_STARTS_SECONDS = 10.0, 15.0
"""How long a pod takes to end, if its grace period isn't shorter, and until its successor is ready."""
MODE_SECONDS, MODE_GAP_SECONDS, EBPF_GAP_SECONDS = 120.0, 5.0, 30.0
MACHINE_SECONDS, MACHINE_LONGEST_SECONDS = 300.0, 900.0
REBOOT_SECONDS = 600.0
CHECK_SECONDS = 60.0


class Stretch(Frozen):
    """A part of a run: how long it takes, how long at worst, and how long traffic is interrupted in it."""

    name: str
    seconds: float
    longest_seconds: float
    outage_seconds: float = 0.0
    assumption: str


class Estimate(Frozen):
    """The stretches of a run in their order."""

    stretches: tuple[Stretch, ...]

    @property
    def seconds(self) -> float:
        """How long the run takes."""
        return sum(stretch.seconds for stretch in self.stretches)

    @property
    def longest_seconds(self) -> float:
        """How long it takes at worst, if nothing goes wrong."""
        return sum(stretch.longest_seconds for stretch in self.stretches)

    @property
    def outage_seconds(self) -> float:
        """For how long some pods can't reach some others."""
        return sum(stretch.outage_seconds for stretch in self.stretches)


def estimate(survey: ClusterSurvey, request: MigrationRequest) -> Estimate:
    """Return the stretches that lie before a request."""
    return Estimate(stretches=tuple(_stretches(survey, request)))


def _stretches(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[Stretch]:
    yield Stretch(
        name="baseline and backups",
        seconds=CHECK_SECONDS,
        longest_seconds=5 * CHECK_SECONDS,
        assumption="the API servers answer",
    )
    cni = new_cni(request)
    if cni is CniType.CILIUM:
        yield _arrival("Cilium beside Canal", CILIUM_SECONDS, CILIUM_LONGEST_SECONDS)
        yield from _restart(survey, request, gap_before=0.0)
        yield _removal("Canal")
        yield from _mode(survey, request)
    elif cni is CniType.CANAL:
        yield from _preparation(survey)
        yield _arrival("Canal beside Cilium", CANAL_SECONDS, CANAL_LONGEST_SECONDS)
        yield from _mode(survey, request)
        yield _removal("Cilium")
        yield from _restart(survey, request, gap_before=REMOVAL_SECONDS)
    else:
        yield from _mode(survey, request)
    yield from _nodes(survey, request)
    yield Stretch(
        name="verification",
        seconds=CHECK_SECONDS,
        longest_seconds=request.deadlines.verification * 60.0,
        assumption="everything comes back by itself",
    )


def _arrival(name: str, seconds: float, longest_seconds: float) -> Stretch:
    return Stretch(
        name=name,
        seconds=seconds,
        longest_seconds=longest_seconds,
        assumption="the control plane rolls once, images are pulled anew on every node, and Helm's first try succeeds",
    )


def _removal(name: str) -> Stretch:
    return Stretch(
        name=f"removal of {name}",
        seconds=REMOVAL_SECONDS,
        longest_seconds=10 * REMOVAL_SECONDS,
        assumption="nothing keeps its objects by a finalizer",
    )


def _preparation(survey: ClusterSurvey) -> Iterator[Stretch]:
    if survey.application is None:
        return
    moves = tunnel_port(survey.application.values or {}) == FLANNEL_VXLAN_PORT
    yield Stretch(
        name="Cilium prepared for its removal",
        seconds=AGENTS_SECONDS,
        longest_seconds=CILIUM_LONGEST_SECONDS,
        outage_seconds=POD_STARTS_SECONDS if moves else 0.0,
        assumption="two agents at a time restart; traffic between nodes stops where the tunnel's port differs"
        if moves
        else "two agents at a time restart, traffic goes on",
    )


def _restart(survey: ClusterSurvey, request: MigrationRequest, *, gap_before: float) -> Iterator[Stretch]:
    plan = planned_restart(survey, request)
    if plan is None:
        return
    pods = [pod for wave in plan.waves for pod in wave.pods]
    grace = median([pod.grace_seconds for pod in pods]) if pods else 0.0
    ends = min(POD_ENDS_SECONDS, grace)
    seconds = sum(_wave_seconds(wave, request.pods.concurrency, ends) for wave in plan.waves)
    waits = request.pods.job_wait_minutes * 60.0 if plan.awaited else 0.0
    longest = sum(_wave_seconds(wave, request.pods.concurrency, max(grace, 30.0)) for wave in plan.waves)
    yield Stretch(
        name=f"restart of {plan.count} pods",
        seconds=round(seconds, 1),
        longest_seconds=min(request.deadlines.restart * 60.0, 2 * longest + waits),
        outage_seconds=round(seconds + gap_before, 1) if plan.count else 0.0,
        assumption=f"{request.pods.concurrency} at a time; each ends in {ends:.0f} s and its successor is ready in "
        f"{POD_STARTS_SECONDS:.0f} s; meanwhile pods on the two CNIs can't reach each other",
    )


def _wave_seconds(wave: Wave, concurrency: int, ends: float) -> float:
    if wave.one_at_a_time:
        return len(wave.pods) * (ends + POD_STARTS_SECONDS)
    return math.ceil(len(wave.pods) / concurrency) * ends + POD_STARTS_SECONDS


def _mode(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[Stretch]:
    if not changes_mode(survey, request):
        return
    before, after = survey.cluster.proxy_mode, target(survey, request).proxy_mode
    with_ebpf = ProxyMode.EBPF in (before, after)
    yield Stretch(
        name=f"kube-proxy mode {before} to {after}",
        seconds=MODE_SECONDS,
        longest_seconds=request.deadlines.proxy_mode * 60.0,
        outage_seconds=EBPF_GAP_SECONDS if with_ebpf else MODE_GAP_SECONDS,
        assumption="Services are without rules between kube-proxy and Cilium for as long as agents restart"
        if with_ebpf
        else "each kube-proxy is back within seconds and keeps the connections there are",
    )


def _nodes(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[Stretch]:
    if not request.rotate_nodes:
        return
    rounds = sum(math.ceil(found.replicas / max(found.surge, 1)) for found in survey.machine_deployments)
    pods_wait = new_cni(request) is CniType.CANAL and may_keep_cni_file(survey)
    if rounds:
        yield Stretch(
            name=f"replacement of {sum(found.replicas for found in survey.machine_deployments)} nodes",
            seconds=rounds * MACHINE_SECONDS,
            longest_seconds=rounds * MACHINE_LONGEST_SECONDS,
            outage_seconds=rounds * MACHINE_SECONDS if pods_wait else 0.0,
            assumption=f"a machine joins within {MACHINE_SECONDS / 60:.0f} min, MachineDeployments one after the "
            "other, and drains are not held up by budgets; workloads with one pod are away while it moves",
        )
    by_hand = sum(not node.owned_by_machine for node in survey.nodes)
    if by_hand:
        yield Stretch(
            name=f"reboot of {by_hand} nodes by hand",
            seconds=by_hand * REBOOT_SECONDS,
            longest_seconds=max(by_hand * REBOOT_SECONDS, request.deadlines.reboot * 60.0),
            outage_seconds=by_hand * REBOOT_SECONDS if pods_wait else 0.0,
            assumption="somebody drains and reboots them one by one, ten minutes each",
        )
