"""Workloads as the readiness check asks about them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from clusters import narrowing
from clusters.api import KubeApi
from clusters.kinds import (
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    STATEFUL_SETS,
)
from clusters.survey.installed import installer_of
from migration.facts import WorkloadFacts
from migration.survey import SOMEBODY

# Kubernetes, core/v1 PersistentVolumeSource: what lies on one node.
_ON_NODE: Final = ("local", "hostPath")
_KINDS: Final = ((DEPLOYMENTS, "Deployment"), (STATEFUL_SETS, "StatefulSet"), (DAEMON_SETS, "DaemonSet"))

Apps = Mapping[str, list[Any]]
"""Mapping of kind to its objects."""


async def list_apps(api: KubeApi) -> Apps:
    """Return all Deployments, StatefulSets and DaemonSets."""
    listed = await asyncio.gather(*(api.list(kind) for kind, _ in _KINDS))
    return {name: items for (_, name), items in zip(_KINDS, listed, strict=True)}


def workloads(apps: Apps) -> tuple[WorkloadFacts, ...]:
    """Return them as facts, without those that come and go with a CNI."""
    return tuple(
        narrowing.workload(item, name)
        for name, items in apps.items()
        for item in items
        if installer_of(item) == SOMEBODY
    )


def has_multus(apps: Apps) -> bool:
    """Tell whether Multus, which gives pods further interfaces, runs."""
    return any("multus" in item["metadata"]["name"] for item in apps["DaemonSet"])


async def blocked_budgets(api: KubeApi) -> tuple[str, ...]:
    """Return the PodDisruptionBudgets that have pods and allow no disruption now, as `namespace/name`."""
    return tuple(_blocked(await api.list(POD_DISRUPTION_BUDGETS)))


async def unfinished_jobs(api: KubeApi) -> frozenset[str]:
    """Return `namespace/name` of the Jobs that have pods which run."""
    return frozenset(
        f"{job['metadata']['namespace']}/{job['metadata']['name']}"
        for job in await api.list(JOBS)
        if (job.get("status") or {}).get("active")
    )


async def node_bound_claims(api: KubeApi) -> frozenset[str]:
    """Return `namespace/name` of the PersistentVolumeClaims whose volume lies on a node."""
    claims = (
        volume["spec"].get("claimRef") or {}
        for volume in await api.list(PERSISTENT_VOLUMES)
        if any(kind in volume["spec"] for kind in _ON_NODE)
    )
    return frozenset(f"{claim['namespace']}/{claim['name']}" for claim in claims if claim)


def _blocked(budgets: Iterable[Any]) -> Iterable[str]:
    for budget in budgets:
        status = budget.get("status") or {}
        if status.get("expectedPods") and not status.get("disruptionsAllowed"):
            yield f"{budget['metadata']['namespace']}/{budget['metadata']['name']}"
