"""How many ready pods each workload has at each place. Follows pods one change at a time; refuses to judge.

A workload is `namespace/name` of a Deployment, StatefulSet or DaemonSet; two of different kinds with one name count as
one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.network.reachability import Place
from lab.objects import (
    Object,
    controller_of,
    is_being_deleted,
    is_pod_finished,
    is_pod_ready,
    labels_of,
    namespace_of,
    uid_of,
)
from lab.platform.runtime import Change


@dataclass(frozen=True, slots=True)
class ReadyPod:
    """A pod that is ready, and the moment (a count) from which it was."""

    since: int
    pod: Object


@dataclass(frozen=True, slots=True)
class Recount:
    """A workload whose ready pods have changed."""

    workload: str
    is_turn: bool
    """Whether it was the first ready pod to come, or the last to go."""


PodsByPlace = Mapping[Place, Mapping[str, ReadyPod]]
"""Place to the ready pods there, by uid, the one that was ready first in front."""
_NOWHERE: PodsByPlace = {}


def workload_of(pod: Object) -> str | None:
    """Return the workload a pod belongs to, None for a pod of its own or of a Job.

    A ReplicaSet is taken for its Deployment's by its name, which ends in the hash that the pod is labelled with
    (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label).
    """
    owner = controller_of(pod)
    if owner is None or owner["kind"] not in ("ReplicaSet", "StatefulSet", "DaemonSet"):
        return None
    name = str(owner["name"])
    if owner["kind"] == "ReplicaSet":
        name = name.removesuffix(f"-{labels_of(pod).get('pod-template-hash', '')}")
    return f"{namespace_of(pod)}/{name}"


class Census:
    """The ready pods of a cluster."""

    def __init__(self, *, place_of: Callable[[Object], Place | None], next_moment: Callable[[], int]) -> None:
        self._place_of = place_of
        self._next_moment = next_moment
        self._where: dict[str, tuple[str | None, Place]] = {}
        self._since: dict[str, int] = {}
        self._by_workload: dict[str, dict[Place, dict[str, ReadyPod]]] = defaultdict(dict)

    def pods(self, workload: str) -> PodsByPlace:
        """Return a workload's ready pods by place; places without any are absent."""
        return self._by_workload.get(workload, _NOWHERE)

    def ready_since(self, uid: str) -> int | None:
        """Return the moment from which a pod has been ready, None when it is not."""
        return self._since.get(uid)

    def note(self, change: Change) -> Recount | None:
        """Count a pod in or out; returns the workload whose ready pods changed by that, if any did.

        A pod that is being deleted counts no more: Services lead to it no longer.
        """
        pod, uid = change.object, uid_of(change.object)
        counts = (
            change.type != "DELETED" and is_pod_ready(pod) and not is_being_deleted(pod) and not is_pod_finished(pod)
        )
        if counts == (uid in self._where):
            return None
        return self._add(pod, uid) if counts else self._remove(uid)

    def _add(self, pod: Object, uid: str) -> Recount | None:
        place = self._place_of(pod)
        if place is None:
            return None
        workload = workload_of(pod)
        self._where[uid] = workload, place
        self._since[uid] = self._next_moment()
        if workload is None:
            return None
        places = self._by_workload[workload]
        is_first = not places
        places.setdefault(place, {})[uid] = ReadyPod(self._since[uid], pod)
        return Recount(workload, is_turn=is_first)

    def _remove(self, uid: str) -> Recount | None:
        workload, place = self._where.pop(uid)
        del self._since[uid]
        if workload is None:
            return None
        places = self._by_workload[workload]
        del places[place][uid]
        if not places[place]:
            del places[place]
        if not places:
            del self._by_workload[workload]
        return Recount(workload, is_turn=not places)


def first_of(pods: Mapping[str, ReadyPod]) -> ReadyPod:
    """Return the pod that was ready first among those of a place."""
    return next(iter(pods.values()))
