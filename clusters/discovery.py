"""How a cluster addresses kinds that are known by their names only, as a manifest has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from clusters.api import KubeApi
from clusters.kinds import Kind
from migration.errors import NotFound
from migration.removal_plans import BUILT_IN_GROUPS


async def served_kinds(api: KubeApi, groups: Iterable[str]) -> Mapping[tuple[str, str], Kind]:
    """Return how kinds are addressed, by group and kind, in the version that the server prefers.

    What the cluster doesn't know is not among them. A manifest's own version may be one that is served no more.
    """
    found = await asyncio.gather(*(_kinds_of(api, group) for group in sorted(set(groups))))
    return {key: kind for kinds in found for key, kind in kinds.items()}


async def _kinds_of(api: KubeApi, group: str) -> dict[tuple[str, str], Kind]:
    try:
        version = "v1" if not group else (await api.describe(f"/apis/{group}"))["preferredVersion"]["version"]
        listed = await api.describe(f"/apis/{group}/{version}" if group else f"/api/{version}")
    except NotFound:
        return {}
    return {
        (group, found["kind"]): Kind(
            group, version, found["name"], namespaced=found["namespaced"], custom=group not in BUILT_IN_GROUPS
        )
        for found in listed["resources"]
        if "/" not in found["name"]  # a subresource
    }
