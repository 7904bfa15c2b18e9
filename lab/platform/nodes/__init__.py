"""Nodes and what runs on them: scheduler, kubelets, node lifecycle, pod address ranges."""

from __future__ import annotations

from collections.abc import Callable

from lab.clock import Clock
from lab.faults import Faults
from lab.platform.nodes.kubelet import Kubelet
from lab.platform.nodes.lifecycle import NodeLifecycle, PodGarbage
from lab.platform.nodes.node_agent import NodeAgent
from lab.platform.nodes.node_status import MAX_PODS_ANNOTATION
from lab.platform.nodes.pod_cidrs import PodCidrAllocator
from lab.platform.nodes.pod_run import Host
from lab.platform.nodes.power import NodePower
from lab.platform.nodes.scheduler import Scheduler
from lab.platform.podruntime import PodNetwork, Programs
from lab.platform.runtime import Controller, Site
from lab.settings import Delays

__all__ = ["MAX_PODS_ANNOTATION", "NodePower", "node_controllers"]


def node_controllers(
    site: Site,
    clock: Clock,
    delays: Delays,
    *,
    network: PodNetwork,
    programs: Programs,
    faults: Faults,
    allocate_pod_cidrs: Callable[[], bool] = lambda: True,
    power: NodePower | None = None,
) -> list[Controller]:
    """Return the controllers that make pods run on the nodes of one cluster, whose switch `power` is."""
    power = power or NodePower()
    host = Host(site=site, clock=clock, delays=delays, network=network, programs=programs, faults=faults, power=power)
    return [
        NodeAgent(site, clock, network, power),
        NodeLifecycle(site, clock, delays),
        PodCidrAllocator(site, clock, enabled=allocate_pod_cidrs),
        Scheduler(site, clock, delays),
        Kubelet(host),
        PodGarbage(site, clock),
    ]
