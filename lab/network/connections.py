"""Who reaches whom now: pods, nodes and Services as objects, asked of the rules of `reachability` and of policies.

Refuses to wait: what is true a moment later is another question.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.network.census import Census, ReadyPod
from lab.network.flows import Flow, Peer
from lab.network.nodes import NodeNetworks
from lab.network.policies import are_labels_selected
from lab.network.policy_book import PolicyBook
from lab.network.reachability import NodeNetwork, Place, knows_service_pod, reaches
from lab.network.sandboxes import Sandboxes, node_address
from lab.objects import Object, labels_of, namespace_of, split_key, uid_of
from lab.platform.runtime import Mirror
from lab.resources import NAMESPACES, NODES, PODS, SERVICES

API_SERVICE = "default/kubernetes"


def place_of(pod: Object, sandboxes: Sandboxes) -> Place | None:
    """Return where a pod is on the network, None while it has neither node nor sandbox."""
    if pod["spec"].get("hostNetwork"):
        node = pod["spec"].get("nodeName")
        return Place(str(node), None) if node else None
    sandbox = sandboxes.of(uid_of(pod))
    return sandbox.place if sandbox is not None else None


@dataclass(frozen=True)
class Connections:
    """The network of one cluster, as somebody who wants to get somewhere meets it."""

    mirror: Mirror
    nodes: NodeNetworks
    sandboxes: Sandboxes
    census: Census
    policies: PolicyBook

    def place(self, pod: Object) -> Place | None:
        """Return where a pod is on the network, None while it is nowhere."""
        return place_of(pod, self.sandboxes)

    def picture(self, node: str) -> NodeNetwork:
        """Return the picture of a node's network."""
        return self.nodes.of(node)

    def peer(self, pod: Object, place: Place) -> Peer:
        """Return a pod as policies see it; one on the host's network is its node."""
        if place.cni is None:
            return self.host(place.node)
        namespace = self.mirror.get(NAMESPACES, namespace_of(pod))
        sandbox = self.sandboxes.of(uid_of(pod))
        return Peer(
            namespace=namespace_of(pod),
            namespace_labels=labels_of(namespace) if namespace else {},
            labels=labels_of(pod),
            address=sandbox.address if sandbox else "",
            place=place,
        )

    def host(self, node: str) -> Peer:
        """Return a node as policies see it."""
        return Peer(address=node_address(self.mirror.get(NODES, node)), place=Place(node, None))

    def leads(self, source: Peer, target: Peer, *, port: int | None = None, protocol: str = "TCP") -> bool:
        """Tell whether there is a way from one peer to another, and policies leave it open.

        What is outside is reached by every pod whose CNI has left its device on the pod's node.
        """
        if source.place is None:
            return False
        there = target.place or Place(source.place.node, None)
        if not reaches(source.place, there, self.nodes.pictures):
            return False
        return self.policies.allows(Flow(source, target, port, protocol))

    def allows(self, source: Peer, target: Peer, *, port: int, protocol: str) -> bool:
        """Tell whether policies let a peer talk to another, whatever the way."""
        return self.policies.allows(Flow(source, target, port, protocol))

    def reaches(self, source_key: str, target_key: str) -> bool:
        """Tell whether the pod `namespace/name` reaches another one directly, whatever the port."""
        source, target = self.named(source_key), self.named(target_key)
        return source is not None and target is not None and self.leads(source, target)

    def serves(self, client_key: str, service: str) -> bool:
        """Tell whether the pod `namespace/name` gets an answer from a Service `namespace/name`.

        The API server's Service leads out of the cluster, so it needs nothing but rules on the client's node.
        """
        client = self.named(client_key)
        if client is None or client.place is None:
            return False
        if service == API_SERVICE:
            return bool(self.picture(client.place.node).service_rules)
        namespace, name = split_key(service)
        found = self.mirror.get(SERVICES, name, namespace=namespace)
        return found is not None and any(
            self.leads(client, backend) for _, backend in self.backends(found, known_on=client.place.node)
        )

    def is_open(self, source: ReadyPod, source_place: Place, target: ReadyPod, target_place: Place) -> bool:
        """Tell whether policies let ready pods of two places talk, whatever the port."""
        flow = Flow(self.peer(source.pod, source_place), self.peer(target.pod, target_place))
        return self.policies.allows(flow)

    def backends(self, service: Object, *, known_on: str | None) -> Iterable[tuple[Object, Peer]]:
        """Yield the Service's ready pods; with a node, those to which that node's Service rules lead."""
        selector = service["spec"].get("selector")
        for pod in self.mirror.all(PODS, namespace=namespace_of(service)) if selector else ():
            since, place = self.census.ready_since(uid_of(pod)), self.place(pod)
            if since is None or place is None or not are_labels_selected({"matchLabels": selector}, labels_of(pod)):
                continue
            if known_on is None or knows_service_pod(self.picture(known_on), ready_since=since):
                yield pod, self.peer(pod, place)

    def named(self, key: str) -> Peer | None:
        """Return the pod `namespace/name`, None when there is none on the network."""
        namespace, name = split_key(key)
        pod = self.mirror.get(PODS, name, namespace=namespace)
        place = self.place(pod) if pod is not None else None
        return self.peer(pod, place) if pod is not None and place is not None else None
