"""machine-controller: MachineDeployments, MachineSets and Machines, with the Nodes that come and go by them."""

from __future__ import annotations

from lab.clock import Clock
from lab.faults import Faults
from lab.platform.machines.deployments import MachineDeployments
from lab.platform.machines.machine import Machines
from lab.platform.machines.sets import MachineSets
from lab.platform.podruntime import PodNetwork
from lab.platform.runtime import Controller, Site
from lab.settings import Delays

__all__ = ["machine_controllers"]


def machine_controllers(
    site: Site,
    clock: Clock,
    delays: Delays,
    *,
    network: PodNetwork,  # noqa: ARG001 - the nodes' networks are the kubelets' matter; the parameter is the contract's
    faults: Faults,
) -> list[Controller]:
    """Return the controllers that make the nodes of one cluster out of its MachineDeployments."""
    return [
        MachineDeployments(site, clock),
        MachineSets(site, clock),
        Machines(site, clock, delays, faults=faults),
    ]
