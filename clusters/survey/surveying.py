"""One look at a cluster: its rights and its state at the same time, all lists paged and narrowed at once.

What can't be seen for want of a right that only dims the view is left out, and the right is named in `unseen`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from clusters import access
from clusters.journal import read_journal
from clusters.policies import list_policies
from clusters.seed import OpenedCluster, open_cluster, open_seed
from clusters.steps.custom_resources import definitions_of
from clusters.steps.manifest_lookup import look_up_old_cni
from clusters.steps.survey import list_cilium_endpoints, list_machine_deployments, list_nodes, list_pods
from clusters.survey.admission import list_webhooks, unavailable_apis, with_backends
from clusters.survey.installed import application_values, canal_facts, cilium_facts, count_cilium_nodes, helm_defaults
from clusters.survey.workloads import (
    blocked_budgets,
    has_multus,
    list_apps,
    node_bound_claims,
    unfinished_jobs,
    workloads,
)
from clusters.watching import Tell
from migration import readiness
from migration.asking import new_cni
from migration.errors import Forbidden, PreflightFailed
from migration.facts import ClusterFacts
from migration.models import ClusterRef, CniType, MigrationRequest
from migration.survey import ClusterSurvey, CredentialFacts

T = TypeVar("T")

MULTUS_GROUP = "k8s.cni.cncf.io"
_OLD = {CniType.CILIUM: CniType.CANAL, CniType.CANAL: CniType.CILIUM}


async def survey(opened: OpenedCluster, request: MigrationRequest) -> ClusterSurvey:
    """Return what is to be known about a cluster before it is changed.

    Raises PreflightFailed with every missing right if one of them is needed to look at the cluster at all.
    """
    looks = {**_platform(opened), **_everywhere(opened)}
    if (cni := new_cni(request)) is not None:
        looks |= _for_another_cni(opened, request, cni)
    (denied, unseen), found = await asyncio.gather(
        _rights(opened, request), asyncio.gather(*looks.values(), return_exceptions=True)
    )
    for refusal in (item for item in found if isinstance(item, Forbidden)):
        if denied:
            raise _preflight_failed(opened.ref, denied) from refusal
    for error in (item for item in found if isinstance(item, BaseException)):
        raise error
    seen: dict[str, Any] = dict(zip(looks, found, strict=True))
    apps = seen.pop("apps")
    definitions = seen.pop("multus", ())
    webhooks = seen.pop("webhooks")
    return ClusterSurvey(
        **seen,
        seen_at=datetime.now(UTC),
        denied=denied,
        unseen=unseen,
        workloads=workloads(apps),
        webhooks=with_backends(webhooks, seen["pods"]),
        multus=bool(definitions) or has_multus(apps),
        reached_url="" if opened.way_in.is_administrator_s else opened.api.url,
        credentials=tuple(_credentials(opened, seen["cluster"])),
    )


async def survey_cluster(request: MigrationRequest, tell: Tell) -> ClusterSurvey:
    """Open a cluster and return its survey.

    Raises PreflightFailed with every right that is missing on the seed, if one of them keeps the cluster closed.
    """
    try:
        async with open_cluster(request.cluster, tell) as opened:
            return await survey(opened, request)
    except Forbidden as error:
        if missing := await _denied_on_seed(request.cluster):
            raise _preflight_failed(request.cluster, missing) from error
        raise


def _platform(opened: OpenedCluster) -> dict[str, Awaitable[Any]]:
    """Return the looks at what KKP says of the cluster, by the survey's own names."""
    return {
        "cluster": opened.seed.cluster(opened.ref.name),
        "offered_versions": opened.seed.offered_cilium_versions(),
        "journal": read_journal(opened.api),
        "nodes": _tuple(list_nodes(opened.api)),
        "machine_deployments": _tuple(list_machine_deployments(opened.api)),
    }


def _everywhere(opened: OpenedCluster) -> dict[str, Awaitable[Any]]:
    """Return the looks that every runbook takes."""
    api = opened.api
    return {
        "pods": _tuple(list_pods(api)),
        "apps": list_apps(api),
        "blocked_budgets": _optional(blocked_budgets(api), ()),
        "unfinished_jobs": _optional(unfinished_jobs(api), frozenset()),
        "node_bound_claims": _optional(node_bound_claims(api), frozenset()),
        "webhooks": _optional(list_webhooks(api), ()),
        "unavailable_apis": _optional(unavailable_apis(api), ()),
    }


def _for_another_cni(opened: OpenedCluster, request: MigrationRequest, cni: CniType) -> dict[str, Awaitable[Any]]:
    """Return the looks that only a change of CNI needs."""
    api, to_cilium = opened.api, cni is CniType.CILIUM
    looks: dict[str, Awaitable[Any]] = {
        "endpoints": list_cilium_endpoints(api),
        "policies": _optional(list_policies(api), None),
        "application": application_values(api),
        "cilium_nodes": count_cilium_nodes(api),
        "multus": definitions_of(api, (MULTUS_GROUP,)),
        "old_cni": look_up_old_cni(
            opened, old_cni=_OLD[cni], manifest=request.manifest, remove_crds=request.remove_crds
        ),
    }
    if to_cilium:
        looks["helm_defaults"] = helm_defaults(opened.seed)
        looks["canal"] = canal_facts(api, remove_crds=request.remove_crds)
    else:
        looks["cilium"] = cilium_facts(api, remove_crds=request.remove_crds)
    return looks


async def _tuple(look: Awaitable[Iterable[T]]) -> tuple[T, ...]:
    return tuple(await look)


async def _optional(look: Awaitable[T], default: T) -> T:
    """Return what is seen, or the default without the right to look: `access.for_the_view` has it."""
    try:
        return await look
    except Forbidden:
        return default


async def _rights(opened: OpenedCluster, request: MigrationRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which rights are missing, and which of those that only dim the view."""
    seed, user_cluster, view = await asyncio.gather(
        opened.seed.missing_rights(opened.ref.name, as_administrator=opened.way_in.is_administrator_s),
        access.denied(opened.api, access.in_user_cluster(request)),
        access.denied(opened.api, access.for_the_view(request)),
    )
    return seed + user_cluster, view


async def _denied_on_seed(cluster: ClusterRef) -> tuple[str, ...]:
    """Return what is missing of the rights that every migration needs, when the Cluster itself may be out of reach."""
    async with open_seed(cluster.seed) as seed:
        return await seed.missing_rights(cluster.name, as_administrator=False)


def _credentials(opened: OpenedCluster, cluster: ClusterFacts) -> Iterable[CredentialFacts]:
    if opened.expires_at is not None:
        source = f"kubeconfig of {cluster.name} ({opened.way_in.source})"
        yield CredentialFacts(source=source, expires_at=opened.expires_at)
    yield from opened.seed.credentials()


def _preflight_failed(cluster: ClusterRef, denied: Iterable[str]) -> PreflightFailed:
    return PreflightFailed(str(cluster), [readiness.missing_permission(right) for right in denied])
