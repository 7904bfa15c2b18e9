"""Whether a cluster is as good after a migration as it was before. Only what got worse counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from migration.facts import NodeFacts
from migration.models import Frozen, Pod
from migration.restart import needs_network


class Baseline(Frozen):
    """The state before: what was ready then must be ready again."""

    ready_pods: Mapping[str, int]
    """Mapping of workload (`namespace/Kind/name`) to its ready pods."""
    desired_pods: Mapping[str, int]
    services: Mapping[str, int]
    """Mapping of Service (`namespace/name`) to its ready endpoint addresses."""
    bare_pods: tuple[str, ...]
    """`namespace/name` of the ready pods without a controller."""
    ended_pods: tuple[str, ...] = ()
    """`namespace/name` of the pods without a controller that have come to their end, as a one-time task does."""


def regressions(before: Baseline, now: Baseline) -> tuple[str, ...]:
    """Return what got worse, one sentence each.

    A workload that somebody scaled down or removed meanwhile isn't a regression: it counts against what it wants now.
    """
    return (
        *_worse_workloads(before, now),
        *(
            f"Service {service} has no ready endpoint (it had {count})"
            for service, count in before.services.items()
            if count and now.services.get(service) == 0
        ),
        *(
            f"Pod {pod} is not ready (it has no controller)"
            for pod in before.bare_pods
            if pod not in now.bare_pods and pod not in now.ended_pods
        ),
    )


def broken_before(before: Baseline) -> tuple[str, ...]:
    """Return what was not right before anything was changed, so that nobody blames the migration."""
    return tuple(
        f"{workload} had {before.ready_pods.get(workload, 0)} of {desired} pods ready before"
        for workload, desired in before.desired_pods.items()
        if before.ready_pods.get(workload, 0) < desired
    )


def duplicate_addresses(pods: Iterable[Pod]) -> tuple[str, ...]:
    """Return pod addresses that two running pods share, as both CNIs use the same range (docs/platform.md 5.3)."""
    users: dict[str, list[str]] = defaultdict(list)
    for pod in filter(needs_network, pods):
        for address in pod.addresses:
            users[address].append(pod.key)
    return tuple(f"{address} belongs to {', '.join(keys)}" for address, keys in users.items() if len(keys) > 1)


def bad_nodes(nodes: Iterable[NodeFacts]) -> tuple[str, ...]:
    """Return the nodes that are not Ready."""
    return tuple(f"Node {node.name} is not Ready" for node in nodes if not node.ready and not node.deleting)


def _worse_workloads(before: Baseline, now: Baseline) -> Iterable[str]:
    for workload, count in before.ready_pods.items():
        desired = now.desired_pods.get(workload)
        if desired is None:
            continue
        wanted, ready = min(count, desired), now.ready_pods.get(workload, 0)
        if ready < wanted:
            yield f"{workload} has {ready} ready pods (it had {count})"
