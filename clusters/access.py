"""Which rights a migration needs, and which of them its accounts lack. Refuses to grant or to guess any.

The manifests in deployments/rbac hold exactly these and those of `clusters.rights`; tests/unit/test_rbac_manifests.py
compares the two. What every account may do (ask these questions) is not among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from clusters.api import KubeApi
from clusters.kinds import ACCESS_REVIEWS
from clusters.rights import Access, rights, user_cluster_rights, view_rights
from migration.models import MigrationRequest, OnFailure
from migration.targets import OPPOSITE

REVIEWS_AT_A_TIME: Final = 16
CLUSTER: Final = "CLUSTER_ID"
"""Stands for the name of the Cluster, in the table below as in the seed's manifest."""
MIGRATION_KUBECONFIG: Final = "cni-migration-kubeconfig"
# KKP 2.31, pkg/resources/kubeconfig.go.
ADMIN_KUBECONFIG: Final = "admin-kubeconfig"

_SEED: Final = (
    *rights("get list watch patch", "clusters", group="kubermatic.k8c.io", names=(CLUSTER,)),
    *rights("get", "applicationdefinitions", group="apps.kubermatic.k8c.io", names=("cilium",)),
    *rights("get", "secrets", namespace=f"cluster-{CLUSTER}", names=(MIGRATION_KUBECONFIG,)),
)
_SEED_ADMIN: Final = rights("get", "secrets", namespace=f"cluster-{CLUSTER}", names=(ADMIN_KUBECONFIG,))


def on_seed(cluster: str, namespace: str, *, as_admin: bool) -> tuple[Access, ...]:
    """Return what a migration does on the seed; `as_admin` if it reads KKP's own kubeconfig, not one made for it."""
    return tuple(
        replace(
            access,
            namespace=access.namespace and namespace,
            name=cluster if access.name == CLUSTER else access.name,
        )
        for access in (*_SEED, *(_SEED_ADMIN if as_admin else ()))
    )


def in_user_cluster(request: MigrationRequest) -> tuple[Access, ...]:
    """Return what a migration does in the user cluster: what only some requests need, for those alone.

    A run that is to take itself back when it fails needs what the way back needs as well.
    """
    wanted = {access: None for one in _with_way_back(request) for access in user_cluster_rights(one)}
    return tuple(wanted)


def for_the_view(request: MigrationRequest) -> tuple[Access, ...]:
    """Return what only dims the readiness check's view if it is missing."""
    return view_rights(request)


def _with_way_back(request: MigrationRequest) -> tuple[MigrationRequest, ...]:
    if request.on_failure is not OnFailure.REVERT:
        return (request,)
    back = {"runbook": OPPOSITE[request.runbook], "reverts": "a failed run"}
    return (request, request.model_copy(update=back))


async def denied(api: KubeApi, wanted: Iterable[Access]) -> tuple[str, ...]:
    """Return which of these rights the account lacks, with where."""
    slots = asyncio.Semaphore(REVIEWS_AT_A_TIME)

    async def is_allowed(access: Access) -> bool:
        async with slots:
            return await _is_allowed(api, access)

    wanted = tuple(wanted)
    answers = await asyncio.gather(*(is_allowed(access) for access in wanted))
    return tuple(f"{access} on {api.where}" for access, allowed in zip(wanted, answers, strict=True) if not allowed)


async def _is_allowed(api: KubeApi, access: Access) -> bool:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": access.attributes},
    }
    answer = await api.create(ACCESS_REVIEWS, body)
    return bool((answer.get("status") or {}).get("allowed"))
