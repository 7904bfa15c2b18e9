"""Jobs: pods until enough of them have succeeded. Refuses indexed completion and suspension.

Kubernetes: pkg/controller/job. A pod that is deleted before it succeeded counts as failed, so deleting the pod of a Job
with `backoffLimit: 0` fails the Job. Left out: the tracking finalizer; what a pod came to is noted when it is seen, so
that its later deletion changes nothing.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from lab.objects import Object, is_being_deleted, is_pod_ready, name_of, namespace_of, timestamp, uid_of
from lab.platform.runtime import Change, Mirror, ignoring
from lab.platform.workloads.podhealth import is_active, parse_time
from lab.platform.workloads.podtemplate import new_pod
from lab.platform.workloads.reconciling import PodController, controller_uid
from lab.resources import JOBS, PODS, Resource

if TYPE_CHECKING:
    from lab.clock import Clock
    from lab.platform.client import Client

BACK_OFF_SECONDS = 10.0
BACK_OFF_LIMIT_SECONDS = 600.0
"""Platform seconds before a failed pod is replaced: doubling from the first to the second (kube job controller)."""
OWN_NAME = "kubernetes.io/job-controller"
"""What `spec.managedBy` names for this controller (kubernetes 1.35, staging/src/k8s.io/api/batch/v1/types.go)."""


@dataclass
class _Tally:
    """What the pods of one Job came to, by uid."""

    succeeded: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    last_failure: float = 0.0


class JobController(PodController):
    """Runs every Job to its completions or its backoff limit."""

    name = "job"
    follows = (JOBS, PODS)
    resource: ClassVar[Resource] = JOBS

    def __init__(self, *, client: Client, mirror: Mirror, clock: Clock) -> None:
        super().__init__(client=client, mirror=mirror, clock=clock)
        self._tallies: dict[str, _Tally] = defaultdict(_Tally)

    def wire(self) -> None:
        """Follow Jobs and their pods, and note what each pod came to."""
        self.mirror.subscribe(PODS, self._on_pod)
        self.mirror.subscribe(JOBS, self._on_job)
        super().wire()

    def _on_pod(self, change: Change) -> None:
        pod = change.object
        uid = controller_uid(pod)
        if uid is None or self.owner_key(pod, "Job") is None:
            return
        phase = (pod.get("status") or {}).get("phase")
        tally = self._tallies[uid]
        if phase == "Succeeded":
            tally.succeeded.add(uid_of(pod))
            tally.failed.discard(uid_of(pod))
        elif uid_of(pod) in tally.failed or uid_of(pod) in tally.succeeded:
            return
        elif phase == "Failed" or is_being_deleted(pod) or change.type == "DELETED":
            tally.failed.add(uid_of(pod))
            tally.last_failure = time.monotonic()

    def _on_job(self, change: Change) -> None:
        if change.type == "DELETED":
            self._tallies.pop(uid_of(change.object), None)

    async def reconcile(self, key: str) -> float | None:
        """Start what is missing, or end the Job, and write the status."""
        found = self.find(key)
        if found is None or not self.is_settled(key) or is_being_deleted(found):
            return None
        if found["spec"].get("managedBy", OWN_NAME) != OWN_NAME:
            return None
        if ended := _end_of(found):
            return await self._expire(found, ended)
        pods = await self.claim(found, PODS, self.orphans)
        active = [pod for pod in pods if is_active(pod)]
        tally = self._tallies[uid_of(found)]
        before = found.get("status") or {}
        succeeded = max(before.get("succeeded", 0), len(tally.succeeded))
        failed = max(before.get("failed", 0), len(tally.failed))
        again = None
        if verdict := self._verdict(found, succeeded, failed):
            await self.delete_all(found, PODS, active)
            active = []
        else:
            again = await self._fill(found, tally, active, succeeded)
        counts = {"active": len(active), "succeeded": succeeded, "failed": failed}
        await self.write_status(JOBS, found, _status(found, active, counts, verdict))
        return again

    @staticmethod
    def _verdict(found: Object, succeeded: int, failed: int) -> Literal["Complete", "Failed"] | None:
        if failed > found["spec"].get("backoffLimit", 6):
            return "Failed"
        return "Complete" if succeeded >= found["spec"].get("completions", 1) else None

    async def _fill(self, found: Object, tally: _Tally, active: list[Object], succeeded: int) -> float | None:
        remaining = found["spec"].get("completions", 1) - succeeded
        missing = min(found["spec"].get("parallelism", 1), remaining) - len(active)
        if missing < 0:
            await self.delete_all(found, PODS, active[:-missing])
        if missing <= 0:
            return None
        wait = self._back_off(tally)
        if wait > 0:
            return wait
        await self.create_all(found, PODS, [new_pod(found, found["spec"]["template"]) for _ in range(missing)])
        return None

    def _back_off(self, tally: _Tally) -> float:
        """Return platform seconds that the next pod has to wait."""
        if not tally.failed:
            return 0.0
        pause = min(BACK_OFF_SECONDS * 2 ** (len(tally.failed) - 1), BACK_OFF_LIMIT_SECONDS)
        return float(pause - (time.monotonic() - tally.last_failure) * self.clock.speed)

    async def _expire(self, found: Object, ended: str) -> float | None:
        """Delete a Job that ended longer ago than its `ttlSecondsAfterFinished`."""
        lifetime = found["spec"].get("ttlSecondsAfterFinished")
        if lifetime is None:
            return None
        passed = (datetime.now(UTC) - parse_time(ended)).total_seconds() * self.clock.speed
        if passed < lifetime:
            return float(lifetime - passed)
        with ignoring(404, 409):
            await self.client.delete(JOBS, name_of(found), namespace=namespace_of(found), uid=uid_of(found))
        return None


def _end_of(found: Object) -> str | None:
    """Return when the Job completed or failed, None while it runs."""
    for condition in (found.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["lastTransitionTime"])
    return None


def _status(found: Object, active: list[Object], counts: dict[str, int], verdict: str | None) -> Object:
    before = found.get("status") or {}
    now = timestamp()
    status: Object = {"startTime": before.get("startTime", now), "ready": sum(map(is_pod_ready, active))}
    status.update({name: count for name, count in counts.items() if count})
    if verdict == "Complete":
        status["completionTime"] = now
        reached = "Reached expected number of succeeded pods"
        kinds = [("SuccessCriteriaMet", "CompletionsReached", reached), ("Complete", "CompletionsReached", reached)]
    elif verdict == "Failed":
        limit = "Job has reached the specified backoff limit"
        kinds = [("FailureTarget", "BackoffLimitExceeded", limit), ("Failed", "BackoffLimitExceeded", limit)]
    else:
        return status
    times = {"lastProbeTime": now, "lastTransitionTime": now}
    status["conditions"] = [
        {"type": kind, "status": "True", "reason": reason, "message": message, **times}
        for kind, reason, message in kinds
    ]
    return status
