"""Whether a cluster is as good after a migration as it was before. Only what got worse counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from migration.facts import NodeFacts
from migration.frozen import Frozen
from migration.models import Pod
from migration.probes import ProbeResult, worse_probes
from migration.replacement import newly_so
from migration.restart import needs_network

# KKP 2.31, user-cluster-controller-manager resources/dns: the Service that every pod's resolver asks.
DNS_SERVICE: Final = "kube-system/kube-dns"
NOT_READY: Final = "is not Ready"
_COUNTED_ELSEWHERE: Final = ("Deployment", "StatefulSet", "DaemonSet", "Job", "Node")


class Baseline(Frozen):
    """The state before: what was ready then must be ready again.

    It is stored with a migration, so what was added later has a default: nothing is known of it.
    """

    ready_pods: Mapping[str, int]
    """Mapping of workload (`namespace/Kind/name`) to its ready pods."""
    desired_pods: Mapping[str, int]
    services: Mapping[str, int]
    """Mapping of Service (`namespace/name`) to its ready endpoint addresses."""
    bare_pods: tuple[str, ...]
    """`namespace/name` of the ready pods without a controller."""
    ended_pods: tuple[str, ...] = ()
    """`namespace/name` of the pods without a controller that have come to their end, as a one-time task does."""
    owned_pods: Mapping[str, int] = Field(default_factory=dict)
    """Mapping of other controllers (`namespace/Kind/name`), as operators bring them, to their ready pods."""
    nodes: tuple[str, ...] = ()
    bad_nodes: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Mapping of what is wrong (`is not Ready`, `has DiskPressure`) to the nodes of which it is true."""
    duplicates: tuple[str, ...] = ()
    """Addresses that pods share, one sentence each."""
    api_services: Mapping[str, bool] = Field(default_factory=dict)
    """Mapping of the APIServices that pods serve to whether they are available."""
    webhooks: Mapping[str, str] = Field(default_factory=dict)
    """Mapping of the webhooks that fail closed to the Services behind them."""
    probes: tuple[ProbeResult, ...] = ()


@dataclass(frozen=True)
class Difference:
    """Something that is not as it should be."""

    subject: str
    seen: str

    def __str__(self) -> str:
        """Return it as a sentence."""
        return f"{self.subject} {self.seen}"


def regressions(before: Baseline, now: Baseline) -> tuple[Difference, ...]:
    """Return what got worse, probes apart.

    A workload that somebody scaled down or removed meanwhile isn't a regression: it counts against what it wants now.
    """
    return (
        *_worse_nodes(before, now),
        *_worse_dns(before, now),
        *_worse_extensions(before, now),
        *_worse_workloads(before, now),
        *_worse_services(before, now),
        *_worse_pods(before, now),
        *(Difference("Address", line) for line in now.duplicates if line not in before.duplicates),
    )


def probe_regressions(before: Baseline, results: tuple[ProbeResult, ...]) -> tuple[Difference, ...]:
    """Return the probes that worked before and fail now."""
    return tuple(Difference(result.subject, result.outcome) for result in worse_probes(before.probes, results))


def broken_before(before: Baseline) -> tuple[Difference, ...]:
    """Return what was not right before anything was changed, so that nobody blames the migration."""
    workloads = (
        Difference(workload, f"had {before.ready_pods.get(workload, 0)} of {desired} pods ready before")
        for workload, desired in before.desired_pods.items()
        if before.ready_pods.get(workload, 0) < desired
    )
    services = (
        Difference(f"Service {service}", "had no ready endpoint before")
        for service, count in before.services.items()
        if not count
    )
    api_services = (
        Difference(f"APIService {name}", "was not available before")
        for name, available in before.api_services.items()
        if not available
    )
    nodes = (Difference(f"Node {node}", f"{what} before") for what, nodes in before.bad_nodes.items() for node in nodes)
    duplicates = (Difference("Address", f"{line} before") for line in before.duplicates)
    probes = (Difference(found.subject, f"{found.outcome} before") for found in before.probes if not found.is_good)
    return (*nodes, *workloads, *services, *api_services, *duplicates, *probes)


def duplicate_addresses(pods: Iterable[Pod]) -> tuple[str, ...]:
    """Return pod addresses that two running pods share, as both CNIs use the same range (docs/platform.md 5.3)."""
    users: dict[str, list[str]] = defaultdict(list)
    for pod in filter(needs_network, pods):
        for address in pod.addresses:
            users[address].append(pod.key)
    return tuple(f"{address} belongs to {', '.join(keys)}" for address, keys in users.items() if len(keys) > 1)


def bad_nodes(nodes: Iterable[NodeFacts]) -> dict[str, tuple[str, ...]]:
    """Return what is wrong with nodes that are to stay: mapping of the trouble to the names of the nodes."""
    troubled: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        if not node.deleting:
            troubles = (*(() if node.ready else (NOT_READY,)), *(f"has {kind}" for kind in node.bad_conditions))
            for trouble in troubles:
                troubled[trouble].append(node.name)
    return {trouble: tuple(sorted(names)) for trouble, names in troubled.items()}


def owned_pods(pods: Iterable[Pod]) -> dict[str, int]:
    """Return the ready pods of controllers whose own objects nobody reads here, as those of operators."""
    ready: dict[str, int] = defaultdict(int)
    for pod in pods:
        if pod.owner is not None and pod.owner.kind not in _COUNTED_ELSEWHERE and pod.ready and not pod.deleting:
            ready[pod.workload] += 1
    return dict(ready)


def _worse_nodes(before: Baseline, now: Baseline) -> Iterable[Difference]:
    for trouble, nodes in now.bad_nodes.items():
        for node in newly_so(before.bad_nodes.get(trouble, ()), nodes, nodes=now.nodes):
            yield Difference(f"Node {node}", trouble)


def _worse_dns(before: Baseline, now: Baseline) -> Iterable[Difference]:
    """Yield the loss of cluster DNS: nobody removes that on purpose."""
    count = before.services.get(DNS_SERVICE, 0)
    if count and not now.services.get(DNS_SERVICE, 0):
        yield Difference("Cluster DNS", f"has no ready endpoint behind Service {DNS_SERVICE} (it had {count})")


def _worse_extensions(before: Baseline, now: Baseline) -> Iterable[Difference]:
    """Yield what the API server no longer gets at: it reaches pods through konnectivity (docs/platform.md 6.4)."""
    for name, was_available in before.api_services.items():
        if was_available and now.api_services.get(name) is False:
            yield Difference(f"APIService {name}", "is not available (it was)")
    for webhook, service in now.webhooks.items():
        if before.services.get(service, 0) and not now.services.get(service, 0):
            yield Difference(f"Webhook {webhook}", f"fails closed and its Service {service} has no ready endpoint")


def _worse_workloads(before: Baseline, now: Baseline) -> Iterable[Difference]:
    for workload, count in before.ready_pods.items():
        desired = now.desired_pods.get(workload)
        if desired is None:
            continue
        wanted, ready = min(count, desired), now.ready_pods.get(workload, 0)
        if ready < wanted:
            yield Difference(workload, f"has {ready} ready pods (it had {count})")


def _worse_services(before: Baseline, now: Baseline) -> Iterable[Difference]:
    told = {DNS_SERVICE, *now.webhooks.values()}
    for service, count in before.services.items():
        if count and now.services.get(service) == 0 and service not in told:
            yield Difference(f"Service {service}", f"has no ready endpoint (it had {count})")


def _worse_pods(before: Baseline, now: Baseline) -> Iterable[Difference]:
    for owner, count in before.owned_pods.items():
        ready = now.owned_pods.get(owner, 0)
        if ready < count:
            yield Difference(owner, f"has {ready} ready pods (it had {count})")
    for pod in before.bare_pods:
        if pod not in now.bare_pods and pod not in now.ended_pods:
            yield Difference(f"Pod {pod}", "is not ready (it has no controller)")
