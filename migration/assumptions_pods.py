"""How long it is assumed to take until pods have moved: by a restart, and with their nodes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from migration.asking import moves_pods_with_nodes, planned_restart
from migration.models import MigrationRequest, Stretch
from migration.parts import REBOOTS, ROTATE, AssumedPart, Part
from migration.restart import Wave
from migration.survey import ClusterSurvey

POD_ENDS_SECONDS, POD_STARTS_SECONDS = 10.0, 15.0
"""How long a pod takes to end, if its grace period isn't shorter, and until its successor is ready."""
CORDON_SECONDS, CORDON_LONGEST_SECONDS = 10.0, 60.0
MACHINE_SECONDS, MACHINE_LONGEST_SECONDS = 300.0, 900.0
REBOOT_SECONDS = 600.0


def restarted_pods(survey: ClusterSurvey, request: MigrationRequest, *, gap_before: float) -> Iterator[AssumedPart]:
    """Yield the restart of the pods, if they are restarted. `gap_before`: seconds that they were cut off before."""
    plan = planned_restart(survey, request)
    if plan is None:
        return
    pods, concurrency = [pod for wave in plan.waves for pod in wave.pods], request.pods.concurrency
    grace = median([pod.grace_seconds for pod in pods]) if pods else 0.0
    ends = min(POD_ENDS_SECONDS, grace)
    seconds = sum(_wave_seconds(wave, concurrency, ends) for wave in plan.waves)
    waits = request.pods.job_wait_minutes * 60.0 if plan.awaited else 0.0
    longest = sum(_wave_seconds(wave, concurrency, max(grace, 30.0)) for wave in plan.waves)
    first = [wave for wave in plan.waves if wave.wait_for_ready]

    def seconds_for(count: int) -> float:
        """Return how long as many pods would take, if those that go first are the same."""
        rest = max(0, count - sum(len(wave.pods) for wave in first))
        before = sum(_wave_seconds(wave, concurrency, ends) for wave in first)
        return before + (_seconds_together(rest, concurrency, ends) if rest else 0.0)

    part = Part(
        name=f"restart of {plan.count} pods",
        stretch=Stretch.MOVE,
        steps=("restart pods",),
        seconds=round(seconds, 1),
        longest_seconds=min(request.deadlines.restart * 60.0, 2 * longest + waits),
        outage_seconds=round(seconds + gap_before, 1) if plan.count else 0.0,
        assumption=f"{concurrency} at a time; each ends in {ends:.0f} s and its successor is ready in "
        f"{POD_STARTS_SECONDS:.0f} s; meanwhile pods on the two CNIs can't reach each other",
    )
    yield AssumedPart(part=part, seconds_for=seconds_for, counted="pods", is_repeated=bool(plan.count))


def _wave_seconds(wave: Wave, concurrency: int, ends: float) -> float:
    if wave.one_at_a_time:
        return len(wave.pods) * (ends + POD_STARTS_SECONDS)
    return _seconds_together(len(wave.pods), concurrency, ends)


def _seconds_together(pods: int, concurrency: int, ends: float) -> float:
    return math.ceil(pods / concurrency) * ends + POD_STARTS_SECONDS


def replaced_nodes(survey: ClusterSurvey, request: MigrationRequest) -> Iterator[AssumedPart]:
    """Yield what brings new nodes. Where pods wait for those, no stretch ends before the last is there."""
    pods_wait = moves_pods_with_nodes(survey, request)
    if pods_wait:
        part = Part(
            name="old nodes closed to new pods",
            stretch=Stretch.MOVE,
            steps=("close old nodes",),
            seconds=CORDON_SECONDS,
            longest_seconds=CORDON_LONGEST_SECONDS,
            assumption="the API server answers",
        )
        yield AssumedPart(part=part)
    for found in survey.machine_deployments:
        if found.replicas:
            yield _rotation(f"{found.namespace}/{found.name}", found.replicas, found.surge, pods_wait=pods_wait)
    by_hand = sum(not node.owned_by_machine for node in survey.nodes)
    if by_hand:
        yield _reboots(by_hand, request, pods_wait=pods_wait)


def _rotation(machine_deployment: str, replicas: int, surge: int, *, pods_wait: bool) -> AssumedPart:
    def rounds(count: int) -> int:
        return math.ceil(count / max(surge, 1))

    seconds = rounds(replicas) * MACHINE_SECONDS
    part = Part(
        name=f"replacement of {replicas} nodes of {machine_deployment}",
        stretch=Stretch.MOVE if pods_wait else Stretch.NODES,
        target=machine_deployment,
        steps=(ROTATE + machine_deployment,),
        seconds=seconds,
        longest_seconds=rounds(replicas) * MACHINE_LONGEST_SECONDS,
        outage_seconds=seconds if pods_wait else 0.0,
        assumption=f"a machine joins within {MACHINE_SECONDS / 60:.0f} min, {max(surge, 1)} at a time, and drains are "
        "not held up by budgets; workloads with one pod are away while it moves",
    )
    return AssumedPart(part=part, seconds_for=lambda count: rounds(count) * MACHINE_SECONDS, counted="nodes")


def _reboots(nodes: int, request: MigrationRequest, *, pods_wait: bool) -> AssumedPart:
    part = Part(
        name=f"reboot of {nodes} nodes by hand",
        stretch=Stretch.MOVE if pods_wait else Stretch.REBOOTS,
        steps=(REBOOTS,),
        seconds=nodes * REBOOT_SECONDS,
        longest_seconds=max(nodes * REBOOT_SECONDS, request.deadlines.reboot * 60.0),
        outage_seconds=nodes * REBOOT_SECONDS if pods_wait else 0.0,
        assumption="somebody drains and reboots them one by one, ten minutes each",
    )
    return AssumedPart(part=part, seconds_for=lambda count: count * REBOOT_SECONDS, counted="nodes")
