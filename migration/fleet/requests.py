"""What a roll-out asks of one cluster: as the readiness check takes it, and as parameters of the cluster's own run."""

from __future__ import annotations

from typing import Any, Final

from migration.fleet.models import FleetOrder
from migration.models import ClusterRef, Cni, CniType, MigrationRequest, Runbook
from migration.versions import DEFAULT_CANAL, DEFAULT_CILIUM

_DESIRED: Final = {
    Runbook.CANAL_TO_CILIUM: (CniType.CILIUM, DEFAULT_CILIUM, "cilium_version"),
    Runbook.CILIUM_TO_CANAL: (CniType.CANAL, DEFAULT_CANAL, "canal_version"),
}
_COMMON: Final = (
    *("proxy_mode", "rotate_nodes", "probes", "deadlines", "accept", "on_failure"),
    *("maintenance", "ignore_window", "approval"),
)
_OF_A_CNI: Final = ("remove_crds", "manifest", "pods")
_OWN: Final = {
    Runbook.CANAL_TO_CILIUM: (*_COMMON, *_OF_A_CNI, "tunnel_port"),
    Runbook.CILIUM_TO_CANAL: (*_COMMON, *_OF_A_CNI),
    Runbook.CHANGE_PROXY_MODE: _COMMON,
}


def request_for(order: FleetOrder, cluster: ClusterRef) -> MigrationRequest:
    """Return what the cluster's own run is going to be asked for."""
    wanted = order.migration
    return MigrationRequest(
        cluster=cluster,
        runbook=order.runbook,
        desired_cni=desired_cni(order),
        desired_proxy_mode=wanted.proxy_mode.wanted,
        tunnel_port=wanted.tunnel_port or None,
        rotate_nodes=wanted.rotate_nodes,
        remove_crds=wanted.remove_crds,
        manifest=wanted.manifest,
        pods=wanted.pods,
        probes=wanted.probes,
        deadlines=wanted.deadlines,
        accept=wanted.accept,
        on_failure=wanted.on_failure,
        maintenance=wanted.maintenance,
        ignore_window=wanted.ignore_window,
        approval=wanted.approval,
    )


def desired_cni(order: FleetOrder) -> Cni | None:
    """Return the CNI that the clusters shall run; None if they stay on theirs."""
    if order.runbook not in _DESIRED:
        return None
    kind, default, _ = _DESIRED[order.runbook]
    return Cni(type=kind, version=order.migration.version or default)


def parameters_for(order: FleetOrder, cluster: ClusterRef) -> dict[str, Any]:
    """Return the parameters of the cluster's own run: all, so that no default of its deployment comes between."""
    given = order.migration.model_dump(mode="json")
    parameters = {name: given[name] for name in _OWN[order.runbook]}
    cni = desired_cni(order)
    if cni is not None:
        parameters[_DESIRED[order.runbook][2]] = cni.version
    return {"seed": cluster.seed, "cluster": cluster.name, **parameters}
