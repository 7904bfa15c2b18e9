"""Watches whether the workloads of a cluster are served.

Watched are the Deployments, StatefulSets and DaemonSets (not on the host's network) outside the platform's namespaces,
and whatever they say they call. The annotation `lab.kkp/calls` of a workload names those it calls, as
`namespace/name,...`, each through the Service of the same name. Refuses to look at single pairs of pods: a workload's
pods at one place are alike.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from lab.clock import Clock
from lab.network.census import Census, PodsByPlace, first_of
from lab.network.connections import Connections, place_of
from lab.network.nodes import NodeNetworks
from lab.network.outage import OutageLedger, OutageReport, Seen
from lab.network.policy_book import CUSTOM_POLICIES, PolicyBook
from lab.network.reachability import knows_service_pod, reaches
from lab.network.sandboxes import Sandboxes
from lab.objects import Object, annotations_of, key_of, name_of, split_key
from lab.platform.runtime import Change, Controller, Site
from lab.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
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
RESOLUTION_SECONDS = 0.05
"""Real seconds in which changes are looked at together. What becomes unreachable and reachable again within them is not
seen; a workload's last ready pod to go and its first to come are seen at once."""

_WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)
_LOOK = "look"
_DEFINED_POLICIES = {resource.group_resource: resource for resource in CUSTOM_POLICIES}


@dataclass(frozen=True, slots=True)
class _Workload:
    calls: frozenset[str]
    is_expected: bool
    """Whether it should have pods at all."""


class OutageWatch(Controller):
    """Looks again at what a change may have touched, all changes of one instant together."""

    name: ClassVar[str] = "outage-watch"
    follows: ClassVar[tuple[Resource, ...]] = (
        *_WORKLOADS,
        PODS,
        NODES,
        SERVICES,
        NETWORK_POLICIES,
        NAMESPACES,
        CUSTOM_RESOURCE_DEFINITIONS,
    )

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
        self._now = now
        self._census = Census(place_of=lambda pod: place_of(pod, sandboxes), next_moment=nodes.next_moment)
        self._policies = PolicyBook()
        self.connections = Connections(self.mirror, nodes, sandboxes, self._census, self._policies)
        self._ledger = OutageLedger(now=now())
        self._workloads: dict[str, _Workload] = {}
        self._callers: dict[str, set[str]] = defaultdict(set)
        self._touched: dict[str, float] = {}
        self._all_touched: float | None = None
        nodes.on_change(self._touch_all)

    def wire(self) -> None:
        """Follow workloads, pods and policies."""
        for resource in _WORKLOADS:
            self.mirror.subscribe(resource, self._on_workload)
        for resource in (NETWORK_POLICIES, *CUSTOM_POLICIES):
            self.mirror.subscribe(resource, partial(self._on_policy, resource))
        self.mirror.subscribe(CUSTOM_RESOURCE_DEFINITIONS, self._on_definition)
        self.mirror.subscribe(PODS, self._on_pod)

    async def reconcile(self, key: str) -> float | None:
        """Look at everything that was touched, or follow the policies that were defined."""
        if key == _LOOK:
            self.look()
        else:
            await self.mirror.follow(_DEFINED_POLICIES[split_key(key)[1]])
        return None

    def report(self) -> OutageReport:
        """Return the outage so far."""
        self.look()
        return self._ledger.report(now=self._now())

    def reset(self) -> None:
        """Measure from now on."""
        self.look()
        self._ledger.reset(now=self._now())

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
                    and self.connections.is_open(first_of(sources), source, first, target)
                ):
                    return True
        return False

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

    def _on_policy(self, resource: Resource, change: Change) -> None:
        self._policies.note(resource, change)
        self._touch_all()

    def _on_definition(self, change: Change) -> None:
        """Follow a kind of policies from when it is defined: before that, nobody could be asked for them."""
        if change.type != "DELETED" and name_of(change.object) in _DEFINED_POLICIES:
            self.enqueue(key_of(change.object))

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
