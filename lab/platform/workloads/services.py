"""Endpoints and EndpointSlices of Services with a selector. Refuses to touch those of Services without one.

Kubernetes: pkg/controller/endpoint and pkg/controller/endpointslice. Left out: dual stack, topology hints, mirroring.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from lab.objects import (
    Object,
    is_being_deleted,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    split_key,
    uid_of,
)
from lab.platform.runtime import Change, ignoring
from lab.platform.workloads.addresses import Ports, by_ports, endpoint_of, facts_of, port_list, subset_of
from lab.platform.workloads.podtemplate import random_suffix
from lab.platform.workloads.reconciling import WorkloadController
from lab.platform.workloads.selectors import LabelIndex, SelectorIndex, service_selector_of
from lab.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
SLICE_CONTROLLER = "endpointslice-controller.k8s.io"
LARGEST_SLICE = 100
LARGEST_ENDPOINTS = 1000


class _ServiceController(WorkloadController):
    """Follows Services and the pods they select; pods are gathered longer than elsewhere, each write is a big one."""

    settle_seconds: ClassVar[float] = 0.05
    yields_to_load: ClassVar[bool] = True

    def wire(self) -> None:
        """Follow Services and the pods that they select."""
        self._services = SelectorIndex(self.mirror, SERVICES, service_selector_of)
        self._pods = LabelIndex(self.mirror, PODS)
        self.mirror.subscribe(SERVICES, self._on_service)
        self.mirror.subscribe(PODS, self._on_pod)

    def _on_service(self, change: Change) -> None:
        self.enqueue(key_of(change.object))

    def _on_pod(self, change: Change) -> None:
        before, pod = change.before, change.object
        if before is not None and change.type == "MODIFIED":
            relabelled = labels_of(before) != labels_of(pod)
            if not relabelled and facts_of(before) == facts_of(pod):
                return
            if relabelled:
                self._enqueue_services(before)
        self._enqueue_services(pod)

    def _enqueue_services(self, pod: Object) -> None:
        for key in self._services.selecting(pod):
            self.enqueue_soon(key)

    async def reconcile(self, key: str) -> float | None:
        """Have the API list exactly the pods that answer for the Service now."""
        namespace, name = split_key(key)
        service = self.mirror.get(SERVICES, name, namespace=namespace)
        if service is None:
            await self.remove(namespace, name)
        elif service_selector_of(service) and not is_being_deleted(service) and self.is_settled(key):
            pods = self._pods.matching(namespace, service_selector_of(service))
            await self.publish(service, by_ports(service, pods))
        return None

    @abstractmethod
    async def publish(self, service: Object, pods: dict[Ports, list[Object]]) -> None:
        """Write what has changed for a Service."""

    @abstractmethod
    async def remove(self, namespace: str, name: str) -> None:
        """Take away what a Service that is gone has left."""


class EndpointsController(_ServiceController):
    """Keeps one Endpoints object of the Service's name."""

    name = "endpoint"
    follows = (SERVICES, PODS, ENDPOINTS)

    async def publish(self, service: Object, pods: dict[Ports, list[Object]]) -> None:
        """Write the subsets if they differ from what is there."""
        subsets = [subset_of(service, ports, found[:LARGEST_ENDPOINTS]) for ports, found in sorted(pods.items())]
        listed = [subset for subset in subsets if subset is not None]
        name, namespace = name_of(service), namespace_of(service)
        held = self.mirror.get(ENDPOINTS, name, namespace=namespace)
        if held is None:
            labels = {**labels_of(service), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
            metadata = {"name": name, "namespace": namespace, "labels": labels}
            body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": listed}
            await self.create_all(service, ENDPOINTS, [body])
        elif (held.get("subsets") or []) != listed:
            await self.client.patch(ENDPOINTS, name, {"subsets": listed}, namespace=namespace)

    async def remove(self, namespace: str, name: str) -> None:
        """Delete the Endpoints object; it has no owner reference that the garbage collector would follow."""
        held = self.mirror.get(ENDPOINTS, name, namespace=namespace)
        if held is not None and "endpoints.kubernetes.io/managed-by" in labels_of(held):
            with ignoring(404, 409):
                await self.client.delete(ENDPOINTS, name, namespace=namespace, uid=uid_of(held))

    def wire(self) -> None:
        """Follow Services, pods and the Endpoints that somebody else may change."""
        super().wire()
        self.mirror.subscribe(ENDPOINTS, self._on_endpoints)

    def _on_endpoints(self, change: Change) -> None:
        self.expectations.observe(change)
        self.enqueue_soon(key_of(change.object))


class EndpointSliceController(_ServiceController):
    """Keeps the EndpointSlices of every Service, changing as few of them as it can."""

    name = "endpointslice"
    follows = (SERVICES, PODS, ENDPOINT_SLICES)

    def wire(self) -> None:
        """Follow Services, pods and the slices that belong to Services."""
        super().wire()
        self.watch_owned(ENDPOINT_SLICES, "Service")

    async def publish(self, service: Object, pods: dict[Ports, list[Object]]) -> None:
        """Keep each endpoint in the slice that has it, fill up what has room, drop what is empty."""
        pods = pods or {_declared_ports(service): []}
        held = self.mirror.owned_by(uid_of(service), ENDPOINT_SLICES)
        unused = [item for item in held if _ports_of(item) not in pods]
        for ports, found in pods.items():
            slices = [item for item in held if _ports_of(item) == ports]
            unused += await self._publish_group(service, ports, found, slices)
        await self.delete_all(service, ENDPOINT_SLICES, unused)

    async def _publish_group(
        self, service: Object, ports: Ports, pods: list[Object], slices: list[Object]
    ) -> list[Object]:
        """Write the slices of one set of ports; returns those that are not needed any more."""
        wanted = {uid_of(pod): endpoint_of(service, pod) for pod in pods}
        contents = []
        for item in slices:
            uids = [uid for endpoint in item.get("endpoints") or () if (uid := endpoint["targetRef"]["uid"]) in wanted]
            contents.append([wanted.pop(uid) for uid in uids])
        rest = list(wanted.values())
        for content in contents:
            room = LARGEST_SLICE - len(content)
            content.extend(rest[:room])
            rest = rest[room:]
        unused = [item for item, content in zip(slices, contents, strict=True) if not content]
        if len(unused) == len(slices) and not rest:
            unused = unused[1:]  # a Service without pods keeps one empty slice
        for item, content in zip(slices, contents, strict=True):
            if item not in unused and (item.get("endpoints") or []) != content:
                await self.client.patch(
                    ENDPOINT_SLICES, name_of(item), {"endpoints": content}, namespace=namespace_of(item)
                )
        chunks = [rest[start : start + LARGEST_SLICE] for start in range(0, len(rest), LARGEST_SLICE)]
        new = chunks or ([[]] if not slices else [])
        await self.create_all(service, ENDPOINT_SLICES, [_slice(service, ports, content) for content in new])
        return unused

    async def remove(self, namespace: str, name: str) -> None:
        """Leave the slices to the garbage collector: the Service owns them."""


def _declared_ports(service: Object) -> Ports:
    """Return the ports of a Service without pods, as far as they are numbers."""
    ports = []
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        if isinstance(target, int):
            ports.append((port.get("name", ""), target or int(port["port"]), port.get("protocol", "TCP")))
    return tuple(ports)


def _ports_of(item: Object) -> Ports:
    ports = item.get("ports") or ()
    return tuple((port.get("name", ""), int(port["port"]), port.get("protocol", "TCP")) for port in ports)


def _slice(service: Object, ports: Ports, endpoints: list[Object]) -> Object:
    address = endpoints[0]["addresses"][0] if endpoints else ""
    labels = {**labels_of(service), SERVICE_LABEL: name_of(service), MANAGED_BY_LABEL: SLICE_CONTROLLER}
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "name": f"{name_of(service)}-{random_suffix()}",
            "generateName": f"{name_of(service)}-",
            "namespace": namespace_of(service),
            "labels": labels,
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": endpoints,
        "ports": port_list(ports),
    }
