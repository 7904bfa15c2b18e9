"""Looking at many user clusters at once: a seed that can't list ends it, a cluster without an answer is told as such.

Changes nothing. Asks each cluster for as little as tells how it stands: a fleet has a hundred of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from clusters.api import KubeApi
from clusters.journal import read_journal
from clusters.kinds import NETWORK_POLICIES, Kind
from clusters.seed import OpenedCluster, open_cluster, open_seed
from clusters.steps.survey import list_nodes
from clusters.survey import survey_cluster
from clusters.watching import Tell
from migration.errors import Forbidden, MigrationError, NoSuchCluster, NotFound, NotShown
from migration.facts import ListedCluster
from migration.fleet.looks import Look, Need, judged, unseen
from migration.fleet.models import FleetOrder
from migration.fleet.requests import request_for
from migration.fleet.selection import refuse_twins
from migration.models import ClusterRef
from migration.readiness_report import ReadinessReport, readiness_report

AT_A_TIME: Final = 8
"""Looks at clusters that are under way at once."""
SURVEYS_AT_A_TIME: Final = 3
"""A survey reads every pod of its cluster."""
LOOK_SECONDS: Final = 60.0
SURVEY_SECONDS: Final = 300.0
# docs/platform.md 6.1: what Canal's addon brings; Cilium's CRDs; sigs.k8s.io/network-policy-api.
_POLICIES: Final[Mapping[str, tuple[Kind, ...]]] = {
    "kubernetes": (NETWORK_POLICIES,),
    "calico": (
        Kind("crd.projectcalico.org", "v1", "networkpolicies", custom=True),
        Kind("crd.projectcalico.org", "v1", "globalnetworkpolicies", namespaced=False, custom=True),
    ),
    "cilium": (
        Kind("cilium.io", "v2", "ciliumnetworkpolicies", custom=True),
        Kind("cilium.io", "v2", "ciliumclusterwidenetworkpolicies", namespaced=False, custom=True),
    ),
    "admin": (Kind("policy.networking.k8s.io", "v1alpha1", "adminnetworkpolicies", namespaced=False, custom=True),),
}
T = TypeVar("T")


async def list_clusters(seeds: Iterable[str]) -> tuple[ListedCluster, ...]:
    """Return the user clusters of all seeds.

    Raises an error that names the seed if one can't list, or tells that it lists a part. Raises InvalidRequest if two
    connections lead to the same clusters, for each would be there twice.
    """
    listed = await asyncio.gather(*(_list(seed) for seed in seeds))
    found = tuple(cluster for clusters in listed for cluster in clusters)
    refuse_twins(found)
    return found


async def look_at(
    order: FleetOrder, refs: Sequence[ClusterRef], tell: Tell, *, thorough: bool = False
) -> dict[ClusterRef, Look]:
    """Return what is seen of each cluster; one that gives no answer within a minute is unseen, with the reason.

    A thorough look tells its size and the policies in use as well.
    """
    found = await _bounded(refs, lambda ref: _look(order, ref, tell, thorough=thorough), AT_A_TIME)
    return dict(zip(refs, found, strict=True))


async def examine(
    order: FleetOrder, refs: Sequence[ClusterRef], tell: Callable[[ReadinessReport | Look, ClusterRef], Awaitable[None]]
) -> None:
    """Have each cluster's readiness report told as soon as it is there; in its place the look at one without an answer.

    No report is kept here: those of a hundred clusters are large.
    """

    async def examined(ref: ClusterRef) -> None:
        await tell(await _examine(order, ref), ref)

    await _bounded(refs, examined, SURVEYS_AT_A_TIME)


async def _list(seed: str) -> tuple[ListedCluster, ...]:
    async with open_seed(seed) as opened:
        try:
            return await opened.list_clusters()
        except MigrationError as error:
            if seed in str(error):
                raise
            raise type(error)(f"seed {seed} can't list its clusters: {error}") from error


async def _look(order: FleetOrder, ref: ClusterRef, tell: Tell, *, thorough: bool) -> Look:
    try:
        async with asyncio.timeout(LOOK_SECONDS), open_cluster(ref, tell) as opened:
            return await _seen(order, opened, thorough=thorough)
    except TimeoutError:
        return unseen(f"no answer within {LOOK_SECONDS:.0f} s")
    except NotShown as error:
        return unseen(str(error))
    except NoSuchCluster:
        return Look(need=Need.LEFT_OUT, reason="its seed has it no more")
    except MigrationError as error:
        return unseen(str(error))


async def _seen(order: FleetOrder, opened: OpenedCluster, *, thorough: bool) -> Look:
    cluster = await opened.seed.cluster(opened.ref.name)
    journal = await read_journal(opened.api)
    if not thorough:
        return judged(order, cluster, journal)
    nodes, policies = await asyncio.gather(list_nodes(opened.api), _policies(opened.api))
    return judged(order, cluster, journal, nodes=len(nodes), policies=policies)


async def _policies(api: KubeApi) -> tuple[str, ...]:
    used = await asyncio.gather(*(_any_used(api, kinds) for kinds in _POLICIES.values()))
    return tuple(family for family, is_used in zip(_POLICIES, used, strict=True) if is_used)


async def _any_used(api: KubeApi, kinds: Iterable[Kind]) -> bool:
    for kind in kinds:
        try:
            if not await api.is_empty(kind):
                return True
        except (NotFound, Forbidden):  # not installed; or not to be seen, which the readiness check tells
            continue
    return False


async def _examine(order: FleetOrder, ref: ClusterRef) -> ReadinessReport | Look:
    request = request_for(order, ref)
    try:
        async with asyncio.timeout(SURVEY_SECONDS):
            return readiness_report(await survey_cluster(request, lambda _: None), request)
    except TimeoutError:
        return unseen(f"no answer within {SURVEY_SECONDS:.0f} s")
    except MigrationError as error:
        return unseen(str(error))


async def _bounded(refs: Sequence[ClusterRef], act: Callable[[ClusterRef], Awaitable[T]], at_a_time: int) -> list[T]:
    turns = asyncio.Semaphore(at_a_time)

    async def in_turn(ref: ClusterRef) -> T:
        async with turns:
            return await act(ref)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(in_turn(ref)) for ref in refs]
    return [task.result() for task in tasks]
