"""Restarting pods so that they join the new CNI: by uid, in waves, each pod at most once.

Source: docs/platform.md 5.3 and 6.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from clusters import narrowing
from clusters.journal import read_migration
from clusters.kinds import CILIUM_ENDPOINTS, PODS
from clusters.seed import OpenedCluster
from clusters.steps.bare_pods import remember_bare_pods, restore_bare_pods
from clusters.steps.marks import record_marks
from clusters.steps.measuring import measuring_outage, ready_by_workload
from clusters.steps.observing import wanted_pods
from clusters.steps.result import StepResult
from clusters.steps.survey import list_cilium_endpoints, webhook_backends
from clusters.watching import Live, View, watching, with_faults
from migration.errors import (
    Conflict,
    DeadlineExceeded,
    MigrationError,
    NotFound,
    OperatorActionNeeded,
    Throttled,
    Transient,
)
from migration.facts import EndpointFacts
from migration.models import CniType, Finding, Pod, RestartOptions, RestartStrategy, Severity, StepStatus
from migration.restart import Endpoints, RestartPlan, Wave, is_bare, plan_restart

PASSES: Final = 3
"""Pods may be born onto the old CNI while others are restarted; after this many rounds the verification decides."""
STUCK_AFTER_GRACE_SECONDS: Final = 60.0
STUCK_LOOK_SECONDS: Final = 5.0
WANTED_LOOK_SECONDS: Final = 30.0
RECOVERY: Final = timedelta(minutes=10)
"""How long a step waits for workloads to be ready again before it leaves the judgement to the verification."""
STEADY: Final = timedelta(minutes=2)
"""How long pods that are restarted one at a time wait for their siblings, which may have been broken before."""
QUIET_SECONDS: Final = (0.5, 5.0)
"""For how long the pods without a CiliumEndpoint must stay the same, before and after the first restart, until they
count as not on Cilium: an agent writes an endpoint at its own pace, after the pod has its address."""
RESTARTING: Final = "restarting-pods"
"""Mark of a migration that has begun to restart pods: whoever goes on with it may find some that are just born."""
RESTORE_PATIENCE: Final = timedelta(minutes=1)
EVICTION_PAUSE_SECONDS: Final = 5.0
EVICTIONS_ASKED_PER_SECOND: Final = 20.0
CONFLICT_TRIES: Final = 4
OLD: Final = {CniType.CILIUM: CniType.CANAL, CniType.CANAL: CniType.CILIUM}


async def restart_pods(
    opened: OpenedCluster, migration_id: str, options: RestartOptions, *, target: CniType, deadline: timedelta
) -> StepResult:
    """Leave every pod of the pod network restarted onto the target CNI, apart from those the options spare."""
    pods = Live(opened.api, PODS, narrowing.pod)
    endpoints = Live(opened.api, CILIUM_ENDPOINTS, narrowing.endpoint)
    async with watching(pods, endpoints) as view:
        await view.listed()
        ends = time.monotonic() + deadline.total_seconds()
        restart = _Restart(
            opened, migration_id, options, target=target, view=view, pods=pods, endpoints=endpoints, ends=ends
        )
        async with measuring_outage(view, pods) as meter:
            await restart.run()
    return StepResult(
        StepStatus.CHANGED if restart.restarted else StepStatus.ALREADY,
        restart.summary(),
        count=len(restart.restarted),
        outage=meter.outages(),
        outage_seconds=meter.seconds(),
        mixed_seconds=restart.mixed_seconds,
        findings=tuple(restart.findings),
    )


class _Restart:
    """One execution of the step: what it has restarted so far, and what it found on the way."""

    def __init__(
        self,
        opened: OpenedCluster,
        migration_id: str,
        options: RestartOptions,
        *,
        target: CniType,
        view: View,
        pods: Live[Pod],
        endpoints: Live[EndpointFacts],
        ends: float,
    ) -> None:
        self._opened, self._migration_id, self._options = opened, migration_id, options
        self._target = target
        self._view, self._pods, self._endpoints, self._ends = view, pods, endpoints, ends
        self._slots = asyncio.Semaphore(options.concurrency)
        self._expected = ready_by_workload(pods.values())
        self.restarted: set[str] = set()
        self._planned = 0
        self._given_up: set[str] = set()
        self._blocked = 0
        self._evicted_at: dict[str, float] = {}
        self.findings: list[Finding] = []
        self.mixed_seconds = 0.0

    async def run(self) -> None:
        await self._await_jobs()
        backends = await webhook_backends(self._opened.api, self._pods.values())
        is_begun = RESTARTING in (await read_migration(self._opened.api, self._migration_id)).marks
        for _ in range(PASSES):
            settled = await self._settle(QUIET_SECONDS[is_begun])
            # Read anew, lest a watch that has died unnoticed has pods restarted that are on Cilium.
            plan = self._plan(settled, await list_cilium_endpoints(self._opened.api), backends)
            if not plan.count:
                break
            if not is_begun:
                await record_marks(self._opened, self._migration_id, {RESTARTING: "true"})
                is_begun = True
            await self._secure_bare_pods(plan)
            await self._restart_waves(plan)
        await restore_bare_pods(self._opened, self._migration_id, deadline=self._left())
        await self._recover(self._expected, bound=min(RECOVERY, self._left()))

    async def _restart_waves(self, plan: RestartPlan) -> None:
        started = time.monotonic()
        self._planned = len(self.restarted) + plan.count
        try:
            for wave in plan.waves:
                await self._restart_wave(wave)
        except MigrationError:
            # What was taken down would be away until somebody starts the flow again.
            with contextlib.suppress(MigrationError):
                await restore_bare_pods(self._opened, self._migration_id, deadline=RESTORE_PATIENCE)
            raise
        finally:
            self.mixed_seconds += time.monotonic() - started

    def summary(self) -> str:
        if not self.restarted:
            return "every pod was on the new CNI"
        return f"{len(self.restarted)} pods restarted onto the new CNI"

    async def _settle(self, quiet_seconds: float) -> list[Pod]:
        """Return, once it is known which are to be restarted, the pods there are: no later ones are to be judged."""
        chosen: frozenset[str] | None = None
        since = 0.0
        judged: list[Pod] = []

        def settling() -> str | None:
            nonlocal chosen, since, judged
            judged = self._fresh()
            plan = plan_restart(judged, self._endpoints.objects, self._options, target=self._target)
            found = frozenset(pod.uid for wave in plan.waves for pod in wave.pods)
            if found != chosen:
                chosen, since = found, time.monotonic()
            is_stale = any(isinstance(live.fault, Transient) for live in (self._pods, self._endpoints))
            if not is_stale and (not found or time.monotonic() - since >= quiet_seconds):
                return None
            return with_faults(f"news of the CiliumEndpoints of {len(found)} pods", self._pods, self._endpoints)

        await self._view.until(
            settling,
            what="an up-to-date view of pods and CiliumEndpoints",
            deadline=self._left(),
            tell=lambda _: None,
            rejudge_seconds=quiet_seconds / 4,
        )
        return judged

    def _plan(self, pods: Iterable[Pod], endpoints: Endpoints, backends: frozenset[str]) -> RestartPlan:
        plan = plan_restart(pods, endpoints, self._options, target=self._target, webhook_backends=backends)
        for skipped in plan.skipped:
            self._find(
                "pod-skipped",
                skipped.pod,
                f"left on the old CNI: {skipped.reason}",
                f"Restart it: on {OLD[self._target]} it loses its network.",
            )
        return plan

    def _fresh(self) -> list[Pod]:
        return [pod for pod in self._pods.values() if pod.uid not in self.restarted]

    async def _await_jobs(self) -> None:
        awaited = {pod.uid: pod for pod in self._plan(self._fresh(), self._endpoints.objects, frozenset()).awaited}
        if not awaited:
            return

        def running() -> str | None:
            left = [pod for pod in self._pods.values() if pod.uid in awaited and not pod.finished and not pod.deleting]
            return f"{len(left)} pods of Jobs to finish ({left[0].key})" if left else None

        bound = timedelta(minutes=self._options.job_wait_minutes)
        try:
            await self._view.until(
                running, what="running Jobs", deadline=min(bound, self._left()), tell=self._opened.tell
            )
        except DeadlineExceeded as error:
            raise OperatorActionNeeded(
                f"Jobs still run after {self._options.job_wait_minutes} minutes ({error.last_seen}). "
                "No pod was restarted. Wait for them and start the flow again, or have Jobs restarted or skipped."
            ) from error

    async def _secure_bare_pods(self, plan: RestartPlan) -> None:
        bare = [pod for wave in plan.waves for pod in wave.pods if is_bare(pod)]
        if bare:
            await remember_bare_pods(self._opened, self._migration_id, bare)

    async def _restart_wave(self, wave: Wave) -> None:
        self._opened.tell(f"restarting {len(wave.pods)} pods: {wave.name}")
        groups = [(pod,) for pod in wave.pods] if wave.one_at_a_time else [wave.pods]
        for group in groups:
            affected = {pod.workload for pod in group}
            expected = {workload: count for workload, count in self._expected.items() if workload in affected}
            if wave.one_at_a_time:
                await self._until_steady(affected, group)
            await _together(self._take_down(pod) for pod in group)
            await self._until_gone(group)
            if wave.wait_for_ready:
                await self._until_ready(expected, self._left())

    async def _take_down(self, pod: Pod) -> None:
        if self._options.strategy is RestartStrategy.EVICT and not is_bare(pod):
            await self._evict(pod)
        else:
            await self._delete(pod)
        self.restarted.add(pod.uid)
        self._opened.progress(len(self.restarted), self._planned, "pods restarted")

    async def _delete(self, pod: Pod, *, grace_seconds: int | None = None) -> None:
        for attempt in range(CONFLICT_TRIES):
            try:
                async with self._slots:
                    await self._opened.api.delete(
                        PODS, pod.name, namespace=pod.namespace, uid=pod.uid, grace_seconds=grace_seconds
                    )
            except Conflict:
                if not await self._exists(pod):
                    return  # another pod has the name by now: this one is gone
                if attempt == CONFLICT_TRIES - 1:
                    raise
            else:
                return

    async def _evict(self, pod: Pod) -> None:
        """Ask for the eviction until it is granted. Patience starts anew whenever a pod of the same workload goes."""
        began = time.monotonic()
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        while self._is_there(pod):
            try:
                async with self._slots:
                    await self._opened.api.post(PODS, pod.name, "eviction", body, namespace=pod.namespace)
            except NotFound:
                return
            except Transient as error:
                if isinstance(error, Conflict) and not await self._exists(pod):
                    return
                waited = time.monotonic() - max(began, self._evicted_at.get(pod.workload, began))
                if waited < self._options.eviction_patience_minutes * 60:
                    await self._pause_eviction(error)
                    continue
                await self._end_patience(pod, error)
            self._evicted_at[pod.workload] = time.monotonic()
            return

    async def _pause_eviction(self, error: Transient) -> None:
        """Wait before asking again, the longer the more pods do."""
        self._blocked += 1
        try:
            pause = max(EVICTION_PAUSE_SECONDS, self._blocked / EVICTIONS_ASKED_PER_SECOND)
            await asyncio.sleep(error.retry_after_seconds or pause)
        finally:
            self._blocked -= 1

    async def _end_patience(self, pod: Pod, error: Transient) -> None:
        if self._options.after_patience == "delete" and isinstance(error, Throttled):
            self._find(
                "budget-overruled", pod, "a PodDisruptionBudget forbade its eviction", "It was deleted, as asked for."
            )
            await self._delete(pod)
            return
        raise OperatorActionNeeded(
            f"pod {pod.key} could not be evicted within {self._options.eviction_patience_minutes} minutes: {error}. "
            "Relax its PodDisruptionBudget and start the flow again, or choose to delete when patience ends."
        ) from error

    async def _until_gone(self, group: Iterable[Pod]) -> None:
        asked_at = time.monotonic()
        group = tuple(group)

        def remaining() -> str | None:
            left = [pod for pod in group if pod.uid not in self._given_up and self._is_there(pod)]
            stuck = [pod for pod in left if time.monotonic() - asked_at > pod.grace_seconds + STUCK_AFTER_GRACE_SECONDS]
            for pod in stuck:
                self._given_up.add(pod.uid)
            return f"{len(left)} of {len(group)} pods to end ({left[0].key})" if len(left) > len(stuck) else None

        before = set(self._given_up)
        await self._view.until(
            remaining,
            what="restarted pods to end",
            deadline=self._left(),
            tell=self._opened.tell,
            rejudge_seconds=STUCK_LOOK_SECONDS,
        )
        await self._handle_stuck([pod for pod in group if pod.uid in self._given_up - before])

    async def _handle_stuck(self, stuck: list[Pod]) -> None:
        for pod in stuck:
            if self._options.force_delete_stuck:
                await self._delete(pod, grace_seconds=0)
                self._find(
                    "pod-stuck",
                    pod,
                    "it outlived its grace period",
                    "It was force-deleted: check its node for leftovers.",
                )
            else:
                self._find(
                    "pod-stuck",
                    pod,
                    "it outlives its grace period",
                    "Look at its node; force-delete it if that is safe.",
                )

    async def _recover(self, expected: dict[str, int], *, bound: timedelta) -> None:
        try:
            await self._until_ready(expected, bound)
        except DeadlineExceeded as error:
            self._opened.tell(f"going on without: {error.last_seen}; the verification decides")

    async def _until_steady(self, workloads: set[str], group: Iterable[Pod]) -> None:
        """Return when the siblings are ready, so that a repeat doesn't take down the last one that is."""
        taken = {pod.uid for pod in group}

        def unsteady() -> str | None:
            siblings = (pod for pod in self._pods.values() if pod.workload in workloads and pod.uid not in taken)
            behind = [pod.key for pod in siblings if not pod.finished and (pod.deleting or not pod.ready)]
            return f"{len(behind)} pods to be ready before the next goes ({behind[0]})" if behind else None

        try:
            await self._view.until(
                unsteady, what="steady siblings", deadline=min(STEADY, self._left()), tell=self._opened.tell
            )
        except DeadlineExceeded as error:
            self._opened.tell(f"going on without: {error.last_seen}")

    async def _until_ready(self, expected: dict[str, int], deadline: timedelta) -> None:
        needed = dict(expected)

        def unready() -> str | None:
            ready = ready_by_workload(self._pods.values())
            behind = sorted(workload for workload, count in needed.items() if ready.get(workload, 0) < count)
            return (
                with_faults(f"{len(behind)} workloads to be ready again ({', '.join(behind[:3])})", self._pods)
                if behind
                else None
            )

        lowering = asyncio.create_task(self._lower(expected, needed), name="look what workloads want")
        try:
            await self._view.until(
                unready,
                what="restarted workloads to be ready",
                deadline=deadline,
                tell=self._opened.tell,
                advice="Look at the events of their pods; start the flow again to go on.",
                rejudge_seconds=WANTED_LOOK_SECONDS,
            )
        finally:
            lowering.cancel()
            await asyncio.gather(lowering, return_exceptions=True)

    async def _lower(self, expected: Mapping[str, int], needed: dict[str, int]) -> None:
        """Keep `needed` at what is expected, but no higher than what the workloads themselves want by now.

        A node may have left with its DaemonSets' pods, in a rotation that an earlier run began or by an autoscaler;
        a workload may have been scaled down or removed.
        """
        while True:
            await asyncio.sleep(WANTED_LOOK_SECONDS)
            with contextlib.suppress(Transient):
                wanted = await wanted_pods(self._opened.api, expected)
                needed.update({workload: min(expected[workload], count) for workload, count in wanted.items()})

    def _is_there(self, pod: Pod) -> bool:
        found = self._pods.get(pod.name, namespace=pod.namespace)
        return found is not None and found.uid == pod.uid

    async def _exists(self, pod: Pod) -> bool:
        found = await self._opened.api.find(PODS, pod.name, namespace=pod.namespace)
        return found is not None and found["metadata"]["uid"] == pod.uid

    def _left(self) -> timedelta:
        return timedelta(seconds=max(0.0, self._ends - time.monotonic()))

    def _find(self, code: str, pod: Pod, seen: str, advice: str) -> None:
        found = Finding(code=code, severity=Severity.WARNING, subject=f"Pod {pod.key}", seen=seen, advice=advice)
        if found not in self.findings:
            self.findings.append(found)


async def _together(actions: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of these; when one fails, none goes on behind the back of whoever handles that."""
    tasks = [asyncio.create_task(action) for action in actions]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
