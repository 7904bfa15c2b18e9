"""Binds pending pods to nodes: away from their siblings, then the emptiest first.

Refuses priorities, preemption and resource requests. Spreading the pods of one owner over the nodes is the default
of kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints (cluster-level default constraints).
"""

from __future__ import annotations

from collections import Counter, defaultdict

from lab.clock import Clock
from lab.errors import ApiError
from lab.objects import (
    Object,
    controller_of,
    is_being_deleted,
    is_pod_finished,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    timestamp,
    uid_of,
)
from lab.platform.nodes.host_ports import PORTS_TAKEN, HostPorts
from lab.platform.nodes.placement import condition_taints, why_not
from lab.platform.runtime import Change, Controller, Site
from lab.resources import NODES, PODS
from lab.settings import Delays

SHARE_OF_DAEMONS, MOST_DAEMONS = 20, 10
"""Of a node's room one in so many, and no more than so many, are kept for pods of DaemonSets: they are critical, and a
real scheduler would evict others for them (kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption)."""


class Scheduler(Controller):
    """Every pod that fits somewhere gets a node; one that does not is tried again when nodes or room change."""

    name = "scheduler"
    follows = (NODES, PODS)
    workers = 8

    def __init__(self, site: Site, clock: Clock, delays: Delays) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self._delays = delays
        self._node_of: dict[str, str] = {}
        self._load: defaultdict[str, int] = defaultdict(int)
        self._owner_of: dict[str, str] = {}
        self._siblings: Counter[tuple[str, str]] = Counter()
        """How many pods of an owner (by uid) are on a node."""
        self._room: dict[str, int] = {}
        self._ports = HostPorts()
        self._waiting: set[str] = set()
        self._crowded_out: set[str] = set()
        """Those of the waiting that only lack room: they are tried again when a pod goes."""
        self._fits: dict[str, tuple[list[str], Counter[str]]] = {}
        """Answers of `_fitting` by what pods ask of nodes, until a node changes."""

    def wire(self) -> None:
        """Follow nodes and pods."""
        self.mirror.subscribe(NODES, self._on_node)
        self.mirror.subscribe(PODS, self._on_pod)

    async def reconcile(self, key: str) -> float | None:
        """Bind the pod, or say in its status why no node takes it."""
        namespace, name = split_key(key)
        pod = self.mirror.get(PODS, name, namespace=namespace)
        self._forget(key)
        if pod is None or not _is_pending(pod) or uid_of(pod) in self._node_of:
            return None
        fitting, reasons = self._fitting(pod)
        roomy = [node for node in fitting if self._load[node] < self._room[node] - self._kept_back(pod, node)]
        free = self._ports.free_for(pod, roomy)
        if free:
            await self._bind(pod, self._best(pod, free))
            return None
        self._waiting.add(key)
        if fitting:
            self._crowded_out.add(key)
            crowded = Counter({"Too many pods": len(fitting) - len(roomy), PORTS_TAKEN: len(roomy)})
            reasons = reasons + crowded
        await self._say_unschedulable(pod, reasons)
        return None

    def _kept_back(self, pod: Object, node: str) -> int:
        """Return for how many pods of DaemonSets room has to be left on a node by all others."""
        owner = controller_of(pod)
        is_daemon = owner is not None and owner["kind"] == "DaemonSet"
        return 0 if is_daemon else min(self._room[node] // SHARE_OF_DAEMONS, MOST_DAEMONS)

    def _best(self, pod: Object, nodes: list[str]) -> str:
        owner = _owner_of(pod)
        return min(nodes, key=lambda node: (self._siblings[owner, node] if owner else 0, self._load[node]))

    def _forget(self, key: str) -> None:
        self._waiting.discard(key)
        self._crowded_out.discard(key)

    async def _bind(self, pod: Object, node: str) -> None:
        uid = uid_of(pod)
        self._place(pod, node)
        change = {"metadata": {"uid": uid}, "spec": {"nodeName": node}}
        try:
            await self.client.patch(PODS, name_of(pod), change, namespace=namespace_of(pod), subresource="binding")
        except ApiError as error:
            self._remove(uid)
            if error.code not in (404, 409):  # gone or bound meanwhile: its next event decides
                raise

    def _fitting(self, pod: Object) -> tuple[list[str], Counter[str]]:
        """Return the nodes that may take the pod and how many nodes refuse, and why."""
        spec = pod["spec"]
        affinity = (spec.get("affinity") or {}).get("nodeAffinity")
        kind = repr((spec.get("nodeSelector"), spec.get("tolerations"), affinity))
        if kind not in self._fits:
            verdicts = [(name_of(node), why_not(pod, node)) for node in self.mirror.all(NODES)]
            self._fits[kind] = (
                [name for name, reason in verdicts if reason is None],
                Counter(reason for _, reason in verdicts if reason is not None),
            )
        return self._fits[kind]

    async def _say_unschedulable(self, pod: Object, reasons: Counter[str]) -> None:
        parts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        total = sum(reasons.values())
        message = f"0/{total} nodes are available: {parts}." if total else "no nodes available to schedule pods"
        old = (pod.get("status") or {}).get("conditions") or ()
        if any(c["type"] == "PodScheduled" and c.get("message") == message for c in old):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(),
        }
        kept = [c for c in old if c["type"] != "PodScheduled"]
        change = {"metadata": {"uid": uid_of(pod)}, "status": {"phase": "Pending", "conditions": [*kept, condition]}}
        await self.client.patch(PODS, name_of(pod), change, namespace=namespace_of(pod), subresource="status")

    def _on_node(self, change: Change) -> None:
        if change.type == "MODIFIED" and change.before is not None and not _matters(change.before, change.object):
            return
        self._fits.clear()
        self._room[name_of(change.object)] = _room(change.object)
        for key in self._waiting:
            self.enqueue(key)

    def _on_pod(self, change: Change) -> None:
        pod, uid = change.object, uid_of(change.object)
        if change.type == "DELETED" or is_pod_finished(pod):
            self._remove(uid)
            self._forget(key_of(pod))
        elif node := pod["spec"].get("nodeName"):
            self._place(pod, node)
        elif change.before is None and _is_pending(pod):
            self.enqueue_after(key_of(pod), self._delays.schedule)

    def _place(self, pod: Object, node: str) -> None:
        uid, owner = uid_of(pod), _owner_of(pod)
        if self._node_of.get(uid) == node:
            return
        self._unplace(uid)
        self._node_of[uid] = node
        self._load[node] += 1
        self._ports.take(pod, node)
        if owner:
            self._owner_of[uid] = owner
            self._siblings[owner, node] += 1

    def _unplace(self, uid: str) -> bool:
        """Tell whether the pod had a place, which it has lost now."""
        node, owner = self._node_of.pop(uid, None), self._owner_of.pop(uid, None)
        if node is None:
            return False
        self._load[node] -= 1
        self._ports.give_back(uid, node)
        if owner is not None:
            self._siblings[owner, node] -= 1
            if not self._siblings[owner, node]:
                del self._siblings[owner, node]
        return True

    def _remove(self, uid: str) -> None:
        if not self._unplace(uid):
            return
        for key in self._crowded_out:
            self.enqueue(key)


def _owner_of(pod: Object) -> str:
    owner = controller_of(pod)
    return str(owner["uid"]) if owner is not None else ""


def _is_pending(pod: Object) -> bool:
    """Tell whether the pod still has to be placed, by this scheduler."""
    spec = pod["spec"]
    mine = spec.get("schedulerName", "default-scheduler") == "default-scheduler"
    return mine and not spec.get("nodeName") and not is_being_deleted(pod) and not is_pod_finished(pod)


def _matters(before: Object, after: Object) -> bool:
    """Tell whether a node changed in something that placement looks at."""
    return _traits(before) != _traits(after)


def _traits(node: Object) -> tuple[object, ...]:
    return node["spec"].get("taints"), condition_taints(node), labels_of(node), _room(node)


def _room(node: Object) -> int:
    return int(((node.get("status") or {}).get("allocatable") or {}).get("pods", 0))
