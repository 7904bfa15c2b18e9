"""One try to open a connection from a pod, to an address or a name, and what comes of it.

Of several pods behind a Service one that answers is enough, where a real try meets a random one. Refuses to wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network

from lab.network.connections import API_SERVICE, Connections
from lab.network.dns import NoSuchHost, ServiceName, resolved
from lab.network.flows import Peer
from lab.network.ports import is_listening, published_on, target_port
from lab.objects import Object, key_of
from lab.resources import NODES, PODS, SERVICES

CLUSTER_NETWORKS = tuple(ip_network(cidr) for cidr in ("172.25.0.0/16", "10.240.16.0/20", "192.168.0.0/16"))
"""The lab's pod, Service and node addresses: those of them that nobody has lead nowhere, others lead outside."""
API_ADDRESS = "10.240.16.1"
"""The first of the Service range, which is the API server's."""
OUTSIDE_ADDRESS = "203.0.113.80"
"""What names outside of the cluster stand for."""
KUBELET_PORT = 10250


class Answer(StrEnum):
    """What a try meets."""

    OPEN = "open"
    REFUSED = "refused"
    SILENCE = "silence"


@dataclass(frozen=True)
class Destination:
    """Where a try goes."""

    host: str
    port: int
    protocol: str = "TCP"

    @property
    def is_name(self) -> bool:
        """Whether DNS has to be asked."""
        try:
            ip_address(self.host)
        except ValueError:
            return True
        return False


class Attempts:
    """Tries, each answered by how the network is at that moment."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._mirror = connections.mirror

    def answer(self, pod: Object, destination: Destination) -> Answer:
        """Return what the pod meets; raises NoSuchHost for a name that DNS doesn't know, or that it can't ask for."""
        place = self._connections.place(pod)
        if place is None:
            return Answer.SILENCE
        source = self._connections.peer(pod, place)
        if not destination.is_name:
            return self._to_address(source, destination)
        found = resolved(self._connections, pod, source, destination.host)
        if isinstance(found, ServiceName):
            return self._to_service_name(source, found, destination)
        return self._outside(source, OUTSIDE_ADDRESS, destination)

    def _to_service_name(self, source: Peer, name: ServiceName, destination: Destination) -> Answer:
        if name.key == API_SERVICE:
            return self._to_api_server(source, destination)
        service = self._mirror.get(SERVICES, name.name, namespace=name.namespace)
        if service is None:
            raise NoSuchHost(destination.host)
        if service["spec"].get("clusterIP") != "None":
            return self._to_service(source, service, destination)
        pods = [pod for pod, _ in self._connections.backends(service, known_on=None)]
        if not pods:
            raise NoSuchHost(destination.host)
        return _best(self._to_pod(source, pod, destination.port, destination.protocol) for pod in pods)

    def _to_address(self, source: Peer, destination: Destination) -> Answer:
        address = destination.host
        pods = [sandbox.key for sandbox in self._connections.sandboxes.at(address)]
        if pods:
            return _best(self._to_pod_named(source, key, destination) for key in pods)
        for service in self._mirror.all(SERVICES):
            if service["spec"].get("clusterIP") == address:
                return self._to_service(source, service, destination)
        if address == API_ADDRESS:
            return self._to_api_server(source, destination)
        for node in self._mirror.all(NODES):
            host = self._connections.host(node["metadata"]["name"])
            if host.address == address:
                return self._to_node(source, host, destination)
        if any(ip_address(address) in network for network in CLUSTER_NETWORKS):
            return Answer.SILENCE
        return self._outside(source, address, destination)

    def _outside(self, source: Peer, address: str, destination: Destination) -> Answer:
        target = Peer(address=address)
        return _open_if(self._connections.leads(source, target, port=destination.port, protocol=destination.protocol))

    def _to_api_server(self, source: Peer, destination: Destination) -> Answer:
        """The API server is outside, behind the Service rules of the node."""
        if source.place is None or not self._connections.picture(source.place.node).service_rules:
            return Answer.SILENCE
        target = Peer(address=OUTSIDE_ADDRESS, is_api_server=True)
        return _open_if(self._connections.leads(source, target, port=destination.port))

    def _to_service(self, source: Peer, service: Object, destination: Destination) -> Answer:
        ports = [
            port
            for port in service["spec"].get("ports") or ()
            if (port["port"], port.get("protocol", "TCP")) == (destination.port, destination.protocol)
        ]
        if source.place is None or not ports or not self._connections.picture(source.place.node).service_rules:
            return Answer.SILENCE
        if key_of(service) == API_SERVICE:
            return self._to_api_server(source, destination)
        return self._through_rules(source, service, ports[0], source.place.node)

    def _through_rules(self, source: Peer, service: Object, port: Object, node: str) -> Answer:
        """A Service without any pod is answered by a refusal of the rules themselves."""
        answers = []
        for pod, _ in self._connections.backends(service, known_on=node):
            number = target_port(port, pod)
            if number is not None:
                answers.append(self._to_pod(source, pod, number, port.get("protocol", "TCP")))
        if answers:
            return _best(answers)
        is_kept = None in self._connections.picture(node).service_rules.values()
        return Answer.REFUSED if is_kept else Answer.SILENCE

    def _to_pod_named(self, source: Peer, key: str, destination: Destination) -> Answer:
        namespace, _, name = key.partition("/")
        pod = self._mirror.get(PODS, name, namespace=namespace)
        return Answer.SILENCE if pod is None else self._to_pod(source, pod, destination.port, destination.protocol)

    def _to_pod(self, source: Peer, pod: Object, port: int, protocol: str) -> Answer:
        place = self._connections.place(pod)
        if place is None:
            return Answer.SILENCE
        target = self._connections.peer(pod, place)
        if not self._connections.leads(source, target, port=port, protocol=protocol):
            return Answer.SILENCE
        return Answer.OPEN if is_listening(pod, port, protocol) else Answer.REFUSED

    def _to_node(self, source: Peer, host: Peer, destination: Destination) -> Answer:
        """A node answers for its kubelet, for pods on its own network, and for ports that pods publish on it."""
        port, protocol = destination.port, destination.protocol
        if host.place is None or not self._connections.leads(source, host, port=port, protocol=protocol):
            return Answer.SILENCE
        if port == KUBELET_PORT:
            return Answer.OPEN
        for pod in self._mirror.pods_on(host.place.node):
            if pod["spec"].get("hostNetwork"):
                if is_listening(pod, port, protocol):
                    return Answer.OPEN
            elif (inside := published_on(pod, port, protocol)) is not None:
                return self._to_published(source, host, pod, inside, protocol)
        return self._to_node_port(host, destination)

    def _to_published(self, source: Peer, host: Peer, pod: Object, port: int, protocol: str) -> Answer:
        """The node passes a hostPort on to its pod, with the address of who asked."""
        place = self._connections.place(pod)
        if place is None:
            return Answer.REFUSED
        target = self._connections.peer(pod, place)
        if not self._connections.leads(host, target, port=port, protocol=protocol):
            return Answer.SILENCE
        is_allowed = source.is_host or self._connections.allows(source, target, port=port, protocol=protocol)
        if not is_allowed:
            return Answer.SILENCE
        return Answer.OPEN if is_listening(pod, port, protocol) else Answer.REFUSED

    def _to_node_port(self, host: Peer, destination: Destination) -> Answer:
        for service in self._mirror.all(SERVICES):
            for port in service["spec"].get("ports") or ():
                if port.get("nodePort") == destination.port and host.place is not None:
                    return self._through_rules(host, service, port, host.place.node)
        return Answer.REFUSED


def _best(answers: Iterable[Answer]) -> Answer:
    """Return the answer of whoever answers best."""
    found = set(answers)
    return next((answer for answer in Answer if answer in found), Answer.SILENCE)


def _open_if(is_open: bool) -> Answer:  # noqa: FBT001 - the one fact that it is about
    return Answer.OPEN if is_open else Answer.SILENCE
