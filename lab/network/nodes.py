"""The network state of every node: files, kernel and running programs. Refuses to decide anything by it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

from lab.network.reachability import CONFLISTS, Cni, NodeNetwork, Tunnel

KUBE_PROXY = "kube-proxy"
CILIUM_SERVICE_RULES = "ebpf"
"""The mode under which Cilium's replacement of kube-proxy is kept."""


class NodeNetworks:
    """The current picture of each node, changed by programs and told to whoever listens."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeNetwork] = {}
        self._moments = itertools.count(1)
        self._on_conflists: list[Callable[[str], None]] = []
        self._on_change: list[Callable[[], None]] = []

    @property
    def pictures(self) -> Mapping[str, NodeNetwork]:
        """Node name to its picture. Pictures are frozen, the mapping is live."""
        return self._nodes

    def of(self, node: str) -> NodeNetwork:
        """Return the picture of a node, an empty one when nothing happened there yet."""
        return self._nodes.get(node) or NodeNetwork(node)

    def next_moment(self) -> int:
        """Return the next number of the count by which earlier and later are told apart."""
        return next(self._moments)

    def on_conflist_change(self, callback: Callable[[str], None]) -> None:
        """Have the callback called with a node's name when its CNI configuration files change."""
        self._on_conflists.append(callback)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have the callback called when any node's tunnels or Service rules change."""
        self._on_change.append(callback)

    def write_conflist(self, node: str, cni: Cni) -> None:
        """Leave the CNI's configuration file on the node's disk."""
        self._keep(replace(self.of(node), conflists=self.of(node).conflists | {CONFLISTS[cni]}))

    def remove_conflist(self, node: str, cni: Cni) -> None:
        """Leave the node's disk without the CNI's configuration file."""
        self._keep(replace(self.of(node), conflists=self.of(node).conflists - {CONFLISTS[cni]}))

    def agent_up(self, node: str, cni: Cni, *, pod_uid: str, port: int) -> None:
        """Have the CNI's agent run and its tunnel learn again; the device is made anew if its port is another."""
        before = self.of(node)
        tunnel = before.tunnels.get(cni)
        joined = tunnel.joined if tunnel and tunnel.port == port else self.next_moment()
        tunnels = {**before.tunnels, cni: Tunnel(port=port, joined=joined)}
        self._keep(replace(before, tunnels=tunnels, programs={**before.programs, cni: pod_uid}))

    def agent_down(self, node: str, cni: Cni, *, pod_uid: str) -> bool:
        """Have the agent gone, its tunnel left behind as it is; False if this pod was not the one that ran."""
        before = self.of(node)
        if before.programs.get(cni) != pod_uid:
            return False
        tunnels = {**before.tunnels, cni: replace(before.tunnels[cni], left=self.next_moment())}
        self._keep(replace(before, tunnels=tunnels, programs=_without(before.programs, cni)))
        return True

    def proxy_up(self, node: str, mode: str, *, pod_uid: str) -> None:
        """Have kube-proxy keep the rules of a mode; rules of other modes stay as they are."""
        before = self.of(node)
        rules = {**self._frozen_kube_proxy_rules(before), mode: None}
        self._keep(replace(before, service_rules=rules, programs={**before.programs, KUBE_PROXY: pod_uid}))

    def proxy_down(self, node: str, *, pod_uid: str) -> None:
        """Have kube-proxy gone and its rules kept by nobody; nothing if this pod was not the one that ran."""
        before = self.of(node)
        if before.programs.get(KUBE_PROXY) == pod_uid:
            rules = self._frozen_kube_proxy_rules(before)
            self._keep(replace(before, service_rules=rules, programs=_without(before.programs, KUBE_PROXY)))

    def replace_kube_proxy(self, node: str, *, kept: bool | None) -> None:
        """Have Cilium keep Service rules (True), leave them behind (False), or have none (None)."""
        before = self.of(node)
        rules = dict(before.service_rules)
        if kept is None:
            rules.pop(CILIUM_SERVICE_RULES, None)
        elif kept:
            rules[CILIUM_SERVICE_RULES] = None
        elif CILIUM_SERVICE_RULES in rules:
            rules[CILIUM_SERVICE_RULES] = self.next_moment()
        self._keep(replace(before, service_rules=rules))

    def remove_file(self, node: str, name: str) -> bool:
        """Leave the directory of CNI configurations on the node's disk without a file; False if it was not there."""
        before = self.of(node)
        if name not in before.conflists:
            return False
        self._keep(replace(before, conflists=before.conflists - {name}))
        return True

    def reboot(self, node: str) -> None:
        """Have nothing left of a node's kernel and of what ran there; the files on its disk stay."""
        self._keep(NodeNetwork(node, conflists=self.of(node).conflists))

    def forget(self, node: str) -> None:
        """Have nothing left of a node's disk and kernel."""
        if node in self._nodes:
            self._keep(NodeNetwork(node))
            del self._nodes[node]

    def _frozen_kube_proxy_rules(self, before: NodeNetwork) -> dict[str, int | None]:
        moment = self.next_moment()
        return {
            mode: moment if kept_until is None and mode != CILIUM_SERVICE_RULES else kept_until
            for mode, kept_until in before.service_rules.items()
        }

    def _keep(self, after: NodeNetwork) -> None:
        before = self.of(after.name)
        self._nodes[after.name] = after
        if (after.tunnels, after.service_rules) != (before.tunnels, before.service_rules):
            for on_change in self._on_change:
                on_change()
        if after.conflists != before.conflists:
            for on_conflists in self._on_conflists:
                on_conflists(after.name)


def _without(programs: Mapping[str, str], name: str) -> dict[str, str]:
    return {program: uid for program, uid in programs.items() if program != name}
