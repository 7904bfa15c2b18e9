"""What `kubectl get` says of Services and what is behind them (pkg/printers/internalversion, Kubernetes v1.35)."""

from __future__ import annotations

from lab.apiserver.tables.cells import AGE, NAME, Column, at, listed, selector
from lab.objects import Object


def _ports(service: Object) -> str:
    ports = []
    for port in service["spec"].get("ports") or ():
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        ports.append(f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}")
    return ",".join(ports) or "<none>"


def _external_address(service: Object) -> str:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName"))
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = [*(i.get("ip") or i.get("hostname") for i in ingress), *(spec.get("externalIPs") or ())]
    return ",".join(addresses) or ("<pending>" if spec.get("type") == "LoadBalancer" else "<none>")


def _endpoints(found: Object) -> str:
    shown = []
    for subset in found.get("subsets") or ():
        addresses = [address["ip"] for address in subset.get("addresses") or ()]
        if not subset.get("ports"):
            shown += addresses
        for port in subset.get("ports") or ():
            shown += [f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}" for ip in addresses]
    return listed(shown, nothing="" if found.get("subsets") else "<none>")


def _slice_ports(found: Object) -> str:
    return listed(
        [str(port.get("port") or port.get("name") or "*") for port in found.get("ports") or ()], nothing="<unset>"
    )


def _slice_endpoints(found: Object) -> str:
    return listed([a for endpoint in found.get("endpoints") or () for a in endpoint["addresses"]], nothing="<unset>")


NETWORK_COLUMNS: dict[str, tuple[Column, ...]] = {
    "Service": (
        NAME,
        Column("Type", at("spec.type")),
        Column("Cluster-IP", at("spec.clusterIP")),
        Column("External-IP", _external_address),
        Column("Port(s)", _ports),
        AGE,
        Column("Selector", selector("spec.selector"), priority=1),
    ),
    "Endpoints": (NAME, Column("Endpoints", _endpoints), AGE),
    "EndpointSlice": (
        NAME,
        Column("AddressType", at("addressType", "")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_endpoints),
        AGE,
    ),
    "NetworkPolicy": (NAME, Column("Pod-Selector", selector("spec.podSelector")), AGE),
}
