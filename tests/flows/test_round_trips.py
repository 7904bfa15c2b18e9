"""There, back, and there again: everything that people own is as it was after each leg, policies to the byte."""

from __future__ import annotations

import pytest

from clusters.steps.observing import observe_baseline
from clusters.steps.survey import list_cilium_endpoints, list_pods
from migration.models import CniType
from migration.restart import is_on_cilium, needs_network
from migration.verification import regressions
from tests.flows.belongings import belongings, plant, plant_cilium_policies

pytestmark = [
    pytest.mark.timeout(900),
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CLUSTERS = 3


async def on_cilium(api) -> set[bool]:
    """Return for the pods of the pod network whether each has its network from Cilium."""
    pods, endpoints = await list_pods(api), await list_cilium_endpoints(api)
    return {is_on_cilium(pod, endpoints) for pod in pods if needs_network(pod) and pod.addresses and not pod.deleting}


@pytest.mark.parametrize(
    "any_cluster",
    ["lab", pytest.param("a real API server with kube-controller-manager", marks=pytest.mark.control_plane)],
    indirect=True,
)
async def test_a_round_trip_leaves_everything_as_it_was(any_cluster):
    async with any_cluster.apis() as (_, api):
        await plant(api)
        before, baseline = await belongings(api), await observe_baseline(api)

    legs = (
        (any_cluster.migrate, CniType.CILIUM),
        (any_cluster.to_canal, CniType.CANAL),
        (any_cluster.migrate, CniType.CILIUM),
    )
    for number, (leg, expected) in enumerate(legs):
        report = await leg()

        assert report.outcome == "migrated"
        async with any_cluster.apis() as (seed, api):
            assert (await seed.cluster(any_cluster.name)).cni.type is expected
            assert await on_cilium(api) == {expected is CniType.CILIUM}
            assert regressions(baseline, await observe_baseline(api)) == ()
            found = await belongings(api)
            assert found == before
            if number == 0:
                await plant_cilium_policies(api)
                before = await belongings(api)
                assert len(before) == len(found) + 2


async def test_definitions_that_were_removed_come_back_with_every_policy(cluster):
    async with cluster.apis() as (_, api):
        before = await belongings(api)
    await cluster.migrate(remove_crds=True, rotate_nodes=False)
    async with cluster.apis() as (_, api):
        assert not [name for name in await belongings(api) if "projectcalico" in name]

    report = await cluster.revert(rotate_nodes=False, accept=("nodes-keep-cilium",))

    assert report.outcome == "taken back"
    async with cluster.apis() as (seed, api):
        assert await belongings(api) == before
        assert str((await seed.cluster(cluster.name)).cni) == "canal v3.30"
        assert await on_cilium(api) == {False}


async def test_cilium_policies_come_back_as_well(cluster):
    await cluster.migrate(rotate_nodes=False)
    async with cluster.apis() as (_, api):
        await plant_cilium_policies(api)
        before = await belongings(api)
    await cluster.to_canal(remove_crds=True, rotate_nodes=False, accept=("nodes-keep-cilium",))
    async with cluster.apis() as (_, api):
        assert not [name for name in await belongings(api) if "cilium.io" in name]

    report = await cluster.revert(rotate_nodes=False)

    assert report.outcome == "taken back"
    async with cluster.apis() as (_, api):
        assert await belongings(api) == before
        assert await on_cilium(api) == {True}
