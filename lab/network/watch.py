"""Watches whether the workloads of a cluster are served, and answers who reaches whom now.

Watched are the Deployments, StatefulSets and DaemonSets (not on the host's network) outside the platform's namespaces,
and whatever they say they call. The annotation `lab.kkp/calls` of a workload names those it calls, as
`namespace/name,...`, each through the Service of the same name. Refuses to look at single pairs of pods: a workload's
pods at one place are alike.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from lab.clock import Clock
from lab.network.census import Census, PodsByPlace, ReadyPod, first_of
from lab.network.nodes import NodeNetworks
from lab.network.outage import OutageLedger, OutageReport, Seen
from lab.network.policies import Peer, allows_ingress, are_labels_selected
from lab.network.reachability import Place, knows_service_pod, reaches
from lab.network.sandboxes import Sandboxes, node_address
from lab.objects import Object, annotations_of, key_of, labels_of, namespace_of, split_key, uid_of
from lab.platform.runtime import Change, Controller, Site
from lab.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)

CALLS = "lab.kkp/calls"
PLATFORM_NAMESPACES = frozenset(
    {"kube-system", "kube-public", "kube-node-lease", "kubernetes-dashboard", "cilium-secrets", "cloud-init-settings"}
)
API_SERVICE = "default/kubernetes"
RESOLUTION_SECONDS = 0.05
"""Real seconds in which changes are looked at together. What becomes unreachable and reachable again within them is not
seen; a workload's last ready pod to go and its first to come are seen at once."""

_WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)
_LOOK = "/look"


@dataclass(frozen=True, slots=True)
class _Workload:
    calls: frozenset[str]
    is_expected: bool
    """Whether it should have pods at all."""


class OutageWatch(Controller):
    """Looks again at what a change may have touched, all changes of one instant together."""

    name: ClassVar[str] = "outage-watch"
    follows: ClassVar[tuple[Resource, ...]] = (*_WORKLOADS, PODS, NODES, SERVICES, NETWORK_POLICIES, NAMESPACES)

    def __init__(
        self,
        *,
        site: Site,
        clock: Clock,
        nodes: NodeNetworks,
        sandboxes: Sandboxes,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(client=site.client, mirror=site.mirror, clock=clock)
        self._nodes = nodes
        self._sandboxes = sandboxes
        self._now = now
        self._census = Census(place_of=self._place, next_moment=nodes.next_moment)
        self._ledger = OutageLedger(now=now())
        self._workloads: dict[str, _Workload] = {}
        self._callers: dict[str, set[str]] = defaultdict(set)
        self._policies: dict[str, dict[str, Object]] = defaultdict(dict)
        self._touched: dict[str, float] = {}
        self._all_touched: float | None = None
        nodes.on_change(self._touch_all)

    def wire(self) -> None:
        """Follow workloads, pods and policies."""
        for resource in _WORKLOADS:
            self.mirror.subscribe(resource, self._on_workload)
        self.mirror.subscribe(NETWORK_POLICIES, self._on_policy)
        self.mirror.subscribe(PODS, self._on_pod)

    async def reconcile(self, _key: str) -> float | None:
        """Look at everything that was touched."""
        self.look()
        return None

    def report(self) -> OutageReport:
        """Return the outage so far."""
        self.look()
        return self._ledger.report(now=self._now())

    def reset(self) -> None:
        """Measure from now on."""
        self.look()
        self._ledger.reset(now=self._now())

    def reaches(self, source: str, target: str) -> bool:
        """Tell whether the pod `namespace/name` reaches another one directly."""
        from_pod, to_pod = self._pod(source), self._pod(target)
        if from_pod is None or to_pod is None:
            return False
        from_place, to_place = self._place(from_pod), self._place(to_pod)
        if from_place is None or to_place is None or not reaches(from_place, to_place, self._nodes.pictures):
            return False
        return self._allows(from_pod, from_place, to_pod, to_place)

    def serves(self, client: str, service: str) -> bool:
        """Tell whether the pod `namespace/name` gets an answer from a Service `namespace/name`.

        The API server's Service leads out of the cluster, so it needs nothing but rules on the client's node.
        """
        pod = self._pod(client)
        place = self._place(pod) if pod is not None else None
        node = self._nodes.pictures.get(place.node) if place is not None else None
        if node is None:
            return False
        if service == API_SERVICE:
            return bool(node.service_rules)
        return any(
            knows_service_pod(node, ready_since=since) and self.reaches(client, key_of(backend))
            for backend, since in self._backends(service)
        )

    def look(self) -> None:
        """Note how every touched workload is."""
        for workload, moment in sorted(self._due().items(), key=lambda item: item[1]):
            self._look_at(workload, moment)

    def _look_at(self, workload: str, moment: float) -> None:
        known = self._workloads.get(workload)
        if known is None or not known.is_expected:
            self._ledger.dismiss(workload, at=moment)
        elif self._is_watched(workload):
            self._ledger.observe(workload, self._see(workload), at=moment)

    def _due(self) -> dict[str, float]:
        moments = self._touched
        if self._all_touched is not None:
            moments = {**dict.fromkeys(self._workloads, self._all_touched), **moments}
        for workload, moment in list(moments.items()):
            for called in self._calls(workload):
                moments.setdefault(called, moment)
        self._touched, self._all_touched = {}, None
        return moments

    def _see(self, workload: str) -> Seen:
        pods = self._census.pods(workload)
        callers = (self._census.pods(caller) for caller in self._callers.get(workload, ()))
        return Seen(
            is_ready=bool(pods),
            is_reachable=all(self._is_served_to(caller, pods) for caller in callers if caller),
        )

    def _is_served_to(self, callers: PodsByPlace, pods: PodsByPlace) -> bool:
        pictures = self._nodes.pictures
        for source, sources in callers.items():
            node = pictures.get(source.node)
            if node is None or not node.service_rules:
                continue
            for target, targets in pods.items():
                first = first_of(targets)
                if (
                    reaches(source, target, pictures)
                    and knows_service_pod(node, ready_since=first.since)
                    and self._lets_in(first_of(sources), source, first, target)
                ):
                    return True
        return False

    def _lets_in(self, source: ReadyPod, source_place: Place, target: ReadyPod, target_place: Place) -> bool:
        return self._allows(source.pod, source_place, target.pod, target_place)

    def _allows(self, source: Object, source_place: Place, target: Object, target_place: Place) -> bool:
        policies = self._policies.get(namespace_of(target))
        if not policies:
            return True
        peers = {"source": self._peer(source, source_place), "target": self._peer(target, target_place)}
        return allows_ingress(policies.values(), **peers)

    def _peer(self, pod: Object, place: Place) -> Peer:
        namespace = self.mirror.get(NAMESPACES, namespace_of(pod))
        sandbox = self._sandboxes.of(uid_of(pod))
        address = sandbox.address if sandbox else node_address(self.mirror.get(NODES, place.node))
        return Peer(
            namespace=namespace_of(pod),
            namespace_labels=labels_of(namespace) if namespace else {},
            labels=labels_of(pod),
            address=address,
            place=place,
        )

    def _backends(self, service: str) -> Iterable[tuple[Object, int]]:
        namespace, name = split_key(service)
        found = self.mirror.get(SERVICES, name, namespace=namespace)
        selector = (found["spec"].get("selector") if found else None) or {}
        for pod in self.mirror.all(PODS, namespace=namespace) if selector else ():
            since = self._census.ready_since(uid_of(pod))
            if since is not None and are_labels_selected({"matchLabels": selector}, labels_of(pod)):
                yield pod, since

    def _pod(self, key: str) -> Object | None:
        namespace, name = split_key(key)
        return self.mirror.get(PODS, name, namespace=namespace)

    def _place(self, pod: Object) -> Place | None:
        if pod["spec"].get("hostNetwork"):
            node = pod["spec"].get("nodeName")
            return Place(str(node), None) if node else None
        sandbox = self._sandboxes.of(uid_of(pod))
        return sandbox.place if sandbox is not None else None

    def _is_watched(self, workload: str) -> bool:
        return split_key(workload)[0] not in PLATFORM_NAMESPACES or bool(self._callers.get(workload))

    def _calls(self, workload: str) -> frozenset[str]:
        known = self._workloads.get(workload)
        return known.calls if known is not None else frozenset()

    def _on_pod(self, change: Change) -> None:
        recount = self._census.note(change)
        if recount is None:
            return
        if not recount.is_turn:
            self._touch(recount.workload)
            return
        moment = self._now()
        for concerned in (recount.workload, *self._calls(recount.workload)):
            self._touched.pop(concerned, None)
            self._look_at(concerned, moment)

    def _on_policy(self, change: Change) -> None:
        policies = self._policies[namespace_of(change.object)]
        policies.pop(key_of(change.object), None)
        if change.type != "DELETED":
            policies[key_of(change.object)] = change.object
        self._touch_all()

    def _on_workload(self, change: Change) -> None:
        key = key_of(change.object)
        before = self._workloads.get(key)
        after = None if change.type == "DELETED" else _described(change.object)
        if after == before:
            return
        for called in before.calls if before else ():
            self._callers[called].discard(key)
        for called in after.calls if after else ():
            self._callers[called].add(key)
        if after is None:
            del self._workloads[key]
        else:
            self._workloads[key] = after
        for touched in {key, *(before.calls if before else ())}:
            self._touch(touched)

    def _touch(self, workload: str) -> None:
        self._touched.setdefault(workload, self._now())
        self._look_soon()

    def _touch_all(self) -> None:
        if self._all_touched is None:
            self._all_touched = self._now()
        self._look_soon()

    def _look_soon(self) -> None:
        self.enqueue_after(_LOOK, RESOLUTION_SECONDS * self.clock.speed)


def _described(workload: Object) -> _Workload | None:
    """Return what is watched of a workload, None for one on the host's network."""
    spec = workload["spec"]
    if spec["template"]["spec"].get("hostNetwork"):
        return None
    called = annotations_of(workload).get(CALLS, "").split(",")
    if workload["kind"] == DAEMON_SETS.kind:
        is_expected = (workload.get("status") or {}).get("desiredNumberScheduled", 0) > 0
    else:
        is_expected = spec.get("replicas", 1) > 0
    return _Workload(calls=frozenset(name.strip() for name in called if name.strip()), is_expected=is_expected)
