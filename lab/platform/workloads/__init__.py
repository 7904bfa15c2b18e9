"""What kube-controller-manager does for workloads: pods from templates, garbage, endpoints, disruption budgets.

Refuses to place or run pods: that is `lab.platform.nodes`. CronJobs have no controller: they stay as they are and
start nothing, since no rehearsal lasts until their next date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.platform.workloads.budgets import BudgetController
from lab.platform.workloads.daemonsets import DaemonSetController
from lab.platform.workloads.deployments import DeploymentController
from lab.platform.workloads.garbage import GarbageCollector
from lab.platform.workloads.jobs import JobController
from lab.platform.workloads.namespaces import NamespaceController
from lab.platform.workloads.replicasets import ReplicaSetController
from lab.platform.workloads.services import EndpointsController, EndpointSliceController
from lab.platform.workloads.statefulsets import StatefulSetController

if TYPE_CHECKING:
    from lab.clock import Clock
    from lab.platform.runtime import Controller, Site

__all__ = ["CONTROLLERS", "workload_controllers"]

CONTROLLERS: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    GarbageCollector,
    NamespaceController,
    EndpointsController,
    EndpointSliceController,
    BudgetController,
)


def workload_controllers(site: Site, clock: Clock) -> list[Controller]:
    """Return one of each workload controller for the cluster; leave any out to switch it off."""
    return [controller(client=site.client, mirror=site.mirror, clock=clock) for controller in CONTROLLERS]
