"""The ports that pods take on their nodes: no two of one node may have the same.

Rule: pkg/scheduler/framework/plugins/nodeports of Kubernetes. Refuses to judge pods that were bound past the scheduler,
as those of DaemonSets are in the lab: they only count as taking theirs.
"""

from __future__ import annotations

from collections import defaultdict

from lab.objects import Object, uid_of

HostPort = tuple[str, str, int]
"""Address on the node (0.0.0.0 for any), protocol and number."""
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared, never listened on
PORTS_TAKEN = "node(s) didn't have free ports for the requested pod ports"


def host_ports(pod: Object) -> frozenset[HostPort]:
    """Return what a pod takes on its node; on the host's network that is every port of its containers."""
    on_host = bool(pod["spec"].get("hostNetwork"))
    found = set()
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port["containerPort"] if on_host else 0)
            if number:
                found.add((port.get("hostIP") or ANY_ADDRESS, port.get("protocol", "TCP"), int(number)))
    return frozenset(found)


class HostPorts:
    """Who has which ports on which node."""

    def __init__(self) -> None:
        self._taken: defaultdict[str, dict[str, frozenset[HostPort]]] = defaultdict(dict)

    def take(self, pod: Object, node: str) -> None:
        """Have the ports of a pod taken on its node."""
        if ports := host_ports(pod):
            self._taken[node][uid_of(pod)] = ports

    def give_back(self, uid: str, node: str) -> None:
        """Have the ports of a pod free. Idempotent."""
        self._taken[node].pop(uid, None)

    def free_for(self, pod: Object, nodes: list[str]) -> list[str]:
        """Return those of the nodes on which all ports that the pod wants are free."""
        wanted = host_ports(pod)
        return [node for node in nodes if not self._clashes(wanted, node)] if wanted else nodes

    def _clashes(self, wanted: frozenset[HostPort], node: str) -> bool:
        return any(_is_clash(one, other) for ports in self._taken[node].values() for other in ports for one in wanted)


def _is_clash(one: HostPort, other: HostPort) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or ANY_ADDRESS in (one[0], other[0]))
