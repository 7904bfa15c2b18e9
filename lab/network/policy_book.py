"""The policies of a cluster, read once when they change and looked up by whom they may concern. Asks nobody."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from lab.network.calico_policies import calico_policies
from lab.network.cilium_policies import cilium_policies
from lab.network.flows import Direction, Flow, Policy, is_permitted
from lab.network.policies import kubernetes_policies
from lab.network.reachability import Cni
from lab.objects import Object, key_of
from lab.platform.runtime import Change
from lab.resources import (
    CALICO_GLOBAL_NETWORK_POLICIES,
    CALICO_NETWORK_POLICIES,
    CILIUM_CLUSTERWIDE_NETWORK_POLICIES,
    CILIUM_NETWORK_POLICIES,
    NETWORK_POLICIES,
    Resource,
)

log = logging.getLogger(__name__)

_READERS: dict[Resource, Callable[[Object], Sequence[Policy]]] = {
    NETWORK_POLICIES: kubernetes_policies,
    CALICO_NETWORK_POLICIES: calico_policies,
    CALICO_GLOBAL_NETWORK_POLICIES: calico_policies,
    CILIUM_NETWORK_POLICIES: cilium_policies,
    CILIUM_CLUSTERWIDE_NETWORK_POLICIES: cilium_policies,
}
CUSTOM_POLICIES = tuple(resource for resource in _READERS if resource.custom)
"""The kinds of policies that are there only when their definitions are."""


class PolicyBook:
    """Every policy, and whether they let a flow through."""

    def __init__(self) -> None:
        self._policies: dict[tuple[Resource, str], Sequence[Policy]] = {}
        self._concerning: dict[tuple[str, Cni, Direction], tuple[Policy, ...]] = {}

    def note(self, resource: Resource, change: Change) -> None:
        """Have a policy in, changed or out. One that makes no sense counts as none."""
        place = resource, key_of(change.object)
        self._policies.pop(place, None)
        self._concerning.clear()
        if change.type == "DELETED":
            return
        try:
            self._policies[place] = _READERS[resource](change.object)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s %s is not enforced: %s", resource.group_resource, place[1], error)

    def allows(self, flow: Flow) -> bool:
        """Tell whether the policies of both sides let the flow through.

        Nothing outside of the pod network is under policies, and a node always reaches its own pods.
        """
        if flow.source.cni is not None and not self._permits(flow, Direction.EGRESS, flow.source.cni):
            return False
        if flow.target.cni is None or self._is_from_own_node(flow):
            return True
        return self._permits(flow, Direction.INGRESS, flow.target.cni)

    def _is_from_own_node(self, flow: Flow) -> bool:
        here, there = flow.source.place, flow.target.place
        return flow.source.is_host and here is not None and there is not None and here.node == there.node

    def _permits(self, flow: Flow, direction: Direction, cni: Cni) -> bool:
        namespace = flow.subject(direction).namespace
        policies = self._concerning.get((namespace, cni, direction))
        if policies is None:
            policies = self._concerning[namespace, cni, direction] = self._find(namespace, cni, direction)
        return not policies or is_permitted(policies, flow, direction)

    def _find(self, namespace: str, cni: Cni, direction: Direction) -> tuple[Policy, ...]:
        found = [
            policy
            for policies in self._policies.values()
            for policy in policies
            if policy.namespace in ("", namespace) and cni in policy.cnis and direction in policy.directions
        ]
        return tuple(sorted(found, key=lambda policy: (policy.order, policy.name)))
