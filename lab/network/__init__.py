"""The pod network of user clusters: CNI agents, sandboxes, who reaches whom, and the outage that is measured."""

from lab.network.cluster import ClusterNetwork
from lab.network.outage import OutageReport, WorkloadOutage

__all__ = ["ClusterNetwork", "OutageReport", "WorkloadOutage"]
