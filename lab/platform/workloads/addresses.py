"""Who answers for a Service: the addresses and ports of its pods, as EndpointSlices and Endpoints list them.

Pure. Kubernetes: pkg/controller/util/endpoint, staging/src/k8s.io/endpointslice/reconciler.go.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from lab.objects import Object, is_being_deleted, is_pod_finished, is_pod_ready, name_of, namespace_of, uid_of

if TYPE_CHECKING:
    from collections.abc import Iterable

Ports = tuple[tuple[str, int, str], ...]
"""Name, number and protocol of each port, in the Service's order."""


def facts_of(pod: Object) -> tuple[object, ...]:
    """Return what of a pod an endpoint depends on, apart from its labels."""
    address = (pod.get("status") or {}).get("podIP")
    return address, is_pod_ready(pod), is_being_deleted(pod), is_pod_finished(pod)


def by_ports(service: Object, pods: Iterable[Object]) -> dict[Ports, list[Object]]:
    """Return the service's pods that have an address, grouped by what its ports are in them."""
    groups: dict[Ports, list[Object]] = defaultdict(list)
    for pod in pods:
        if (pod.get("status") or {}).get("podIP") and not is_pod_finished(pod):
            groups[_ports_in(service, pod)].append(pod)
    return groups


def _ports_in(service: Object, pod: Object) -> Ports:
    found = []
    for port in service["spec"].get("ports") or ():
        number = _target(port, pod)
        if number is not None:
            found.append((port.get("name", ""), number, port.get("protocol", "TCP")))
    return tuple(found)


def _target(port: Object, pod: Object) -> int | None:
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    for container in pod["spec"].get("containers") or ():
        for opened in container.get("ports") or ():
            if opened.get("name") == target and opened.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(opened["containerPort"])
    return None


def endpoint_of(service: Object, pod: Object) -> Object:
    """Return the pod as an endpoint of an EndpointSlice."""
    serving, terminating = is_pod_ready(pod), is_being_deleted(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    endpoint = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": _reference(pod),
    }
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == name_of(service):
        endpoint["hostname"] = pod["spec"]["hostname"]
    return endpoint


def subset_of(service: Object, ports: Ports, pods: Iterable[Object]) -> Object | None:
    """Return the pods as a subset of an Endpoints object, None if it would be empty; without terminating ones."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    ready: list[Object] = []
    waiting: list[Object] = []
    for pod in sorted(pods, key=name_of):
        if is_being_deleted(pod) and not publish:
            continue
        address = {"ip": pod["status"]["podIP"], "targetRef": _reference(pod)}
        if pod["spec"].get("nodeName"):
            address["nodeName"] = pod["spec"]["nodeName"]
        (ready if publish or is_pod_ready(pod) else waiting).append(address)
    if not ready and not waiting:
        return None
    subset: Object = {}
    if ready:
        subset["addresses"] = ready
    if waiting:
        subset["notReadyAddresses"] = waiting
    if ports:
        subset["ports"] = port_list(ports)
    return subset


def port_list(ports: Ports) -> list[Object]:
    """Return the ports as the API writes them; a single port may have no name."""
    return [
        {**({"name": name} if name else {}), "port": number, "protocol": protocol} for name, number, protocol in ports
    ]


def _reference(pod: Object) -> Object:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}
