"""Cluster DNS as a pod meets it: whom it has to reach to have a name resolved, and which names there are.

With node-local-dns a pod asks the cache of its own node, at 169.254.20.10, which asks coredns through the node's
Service rules (docs/platform.md 6.4); without it, the pod asks coredns through them itself. The cache remembers nothing:
a name is resolved only as long as coredns is reached.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.network.connections import Connections
from lab.network.flows import Peer
from lab.objects import Object, is_pod_ready, labels_of, namespace_of
from lab.resources import DAEMON_SETS, SERVICES

DOMAIN = "cluster.local"
NODE_LOCAL_ADDRESS = "169.254.20.10"
SYSTEM_NAMESPACE = "kube-system"
NODE_LOCAL_DNS = "node-local-dns"
DNS_SERVICE = "kube-dns"
DNS_ADDRESS = "10.240.16.10"
"""The tenth of the Service range, if the Service is not there to ask."""
PORT = 53


class NoSuchHost(Exception):
    """A name was not resolved; the message is Go's. `is_silence` if nobody answered."""

    def __init__(self, host: str, *, server: str = DNS_ADDRESS, is_silence: bool = False) -> None:
        super().__init__(f"lookup {host} on {server}:{PORT}: {'i/o timeout' if is_silence else 'no such host'}")
        self.is_silence = is_silence


@dataclass(frozen=True)
class ServiceName:
    """A name that is a Service's."""

    namespace: str
    name: str

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


def resolved(connections: Connections, pod: Object, source: Peer, host: str) -> ServiceName | None:
    """Return the Service that a name means to a pod, None for a name outside of the cluster; raises NoSuchHost."""
    policy = pod["spec"].get("dnsPolicy", "ClusterFirst")
    if policy == "Default" or (policy == "ClusterFirst" and pod["spec"].get("hostNetwork")):
        _ask_outside(connections, source, host)
        return None
    server = _server(connections)
    if not _is_answered(connections, source, server):
        raise NoSuchHost(host, server=server, is_silence=True)
    name = _service_name(connections, host.rstrip("."), namespace_of(pod))
    if name is None and not _is_outside(host):
        raise NoSuchHost(host, server=server)
    return name


def _ask_outside(connections: Connections, source: Peer, host: str) -> None:
    """Ask the node's own resolver, which knows no Services."""
    outside = Peer(address="")
    if not connections.leads(source, outside, port=PORT, protocol="UDP"):
        raise NoSuchHost(host, is_silence=True)
    if not _is_outside(host):
        raise NoSuchHost(host)


def _server(connections: Connections) -> str:
    if _has_node_local_dns(connections):
        return NODE_LOCAL_ADDRESS
    service = _dns_service(connections)
    return str(service["spec"].get("clusterIP") or DNS_ADDRESS) if service is not None else DNS_ADDRESS


def _is_answered(connections: Connections, source: Peer, server: str) -> bool:
    """Tell whether a question gets to a ready coredns. Policies see a node's cache as an address that is no pod's."""
    if source.place is None:
        return False
    asking = source
    if server == NODE_LOCAL_ADDRESS:
        cache = Peer(address=NODE_LOCAL_ADDRESS)
        if not _is_cache_ready(connections, source.place.node):
            return False
        if not source.is_host and not connections.leads(source, cache, port=PORT, protocol="UDP"):
            return False
        asking = connections.host(source.place.node)
    service = _dns_service(connections)
    if service is None:
        return False
    backends = connections.backends(service, known_on=source.place.node)
    return any(connections.leads(asking, backend, port=PORT, protocol="UDP") for _, backend in backends)


def _has_node_local_dns(connections: Connections) -> bool:
    return connections.mirror.get(DAEMON_SETS, NODE_LOCAL_DNS, namespace=SYSTEM_NAMESPACE) is not None


def _is_cache_ready(connections: Connections, node: str) -> bool:
    return any(
        labels_of(pod).get("app") == NODE_LOCAL_DNS and namespace_of(pod) == SYSTEM_NAMESPACE and is_pod_ready(pod)
        for pod in connections.mirror.pods_on(node)
    )


def _dns_service(connections: Connections) -> Object | None:
    return connections.mirror.get(SERVICES, DNS_SERVICE, namespace=SYSTEM_NAMESPACE)


def _service_name(connections: Connections, host: str, namespace: str) -> ServiceName | None:
    """Return what the name means by the search list of a pod: its own namespace, svc.cluster.local, cluster.local."""
    parts = host.removesuffix(f".{DOMAIN}").split(".")
    match parts:
        case [name, where, "svc"]:
            found = ServiceName(where, name)
        case [name, where] if not host.endswith(DOMAIN):
            found = ServiceName(where, name)
        case [name]:
            found = ServiceName(namespace, name)
        case _:
            return None
    if found.key == "default/kubernetes":
        return found
    return found if connections.mirror.get(SERVICES, found.name, namespace=found.namespace) is not None else None


def _is_outside(host: str) -> bool:
    """Tell whether somebody outside of the cluster may know the name; `.invalid` never exists (RFC 2606)."""
    name = host.rstrip(".")
    return "." in name and not name.endswith((f".{DOMAIN}", ".svc", ".invalid"))
