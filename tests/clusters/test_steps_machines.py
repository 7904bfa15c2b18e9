import asyncio
import contextlib
from datetime import timedelta

import pytest

from clusters.journal import change_migration, read_migration
from clusters.kinds import MACHINE_DEPLOYMENTS, MACHINES, NODES, PODS
from clusters.narrowing import OWNED_BY_LABEL
from clusters.steps.addon_removal import remove_canal
from clusters.steps.machines import (
    close_old_nodes,
    open_closed_nodes,
    rotatable_machine_deployments,
    rotate_machine_deployment,
)
from clusters.steps.marks import record_marks
from migration.errors import DeadlineExceeded, OperatorActionNeeded
from migration.journal import CNI_UNINSTALL
from migration.models import Runbook, StepStatus
from migration.patches import FORCE_RESTART
from tests.clusters.conftest import SOON, bare_pod_uid
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import begin
from tests.unit.making import CANAL

KEY = "kube-system/workers-1"


@pytest.fixture
async def on_cilium(opened, beside):
    """An open migration whose Canal is gone: nodes that join now come up with Cilium alone.

    Machines go without a drain, for that may take two platform hours: cilium-operator tolerates a cordon and comes back.
    """
    await remove_canal(opened, beside.id, remove_crds=False, deadline=SOON)
    for node in await opened.api.list(NODES):
        patch = {"metadata": {"annotations": {"kubermatic.io/skip-eviction": "true"}}}
        await opened.api.patch(NODES, node["metadata"]["name"], patch)
    return beside


async def rotate(opened, migration, *, deadline=SOON, key=KEY):
    current = await read_migration(opened.api, migration.id)
    return await rotate_machine_deployment(opened, current, key, deadline=deadline)


async def uids(opened, kind):
    return {item["metadata"]["uid"] for item in await opened.api.list(kind)}


async def machine_deployment(opened):
    return await opened.api.get(MACHINE_DEPLOYMENTS, "workers-1", namespace="kube-system")


async def forced(opened):
    template = (await machine_deployment(opened))["spec"]["template"]
    return template["metadata"].get("annotations", {}).get(FORCE_RESTART)


async def change(opened, **spec):
    await opened.api.patch(MACHINE_DEPLOYMENTS, "workers-1", {"spec": spec}, namespace="kube-system")


async def closed(opened):
    nodes = await opened.api.list(NODES)
    return sorted(node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable"))


async def add_node(opened, name):
    labels = {OWNED_BY_LABEL: "a-machine"}
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}}
    await opened.api.create(NODES, body)


async def test_the_machine_deployments_with_machines_are_rotated(opened):
    assert await rotatable_machine_deployments(opened) == (KEY,)

    await change(opened, replicas=0)

    assert await rotatable_machine_deployments(opened) == ()


async def test_every_node_is_replaced_and_a_repeat_replaces_none(opened, on_cilium):
    old_machines, old_nodes = await uids(opened, MACHINES), await uids(opened, NODES)
    bare = await bare_pod_uid(opened.api)

    result = await rotate(opened, on_cilium)

    assert (result.status, result.summary, result.count) == (StepStatus.CHANGED, f"2 nodes of {KEY} replaced", 2)
    assert len(await uids(opened, NODES)) == 2
    assert old_machines.isdisjoint(await uids(opened, MACHINES))
    assert old_nodes.isdisjoint(await uids(opened, NODES))
    assert await bare_pod_uid(opened.api) not in (None, bare)

    new_nodes, value, bare = await uids(opened, NODES), await forced(opened), await bare_pod_uid(opened.api)
    again = await rotate(opened, on_cilium)
    assert again.status is StepStatus.ALREADY
    assert (await uids(opened, NODES), await forced(opened)) == (new_nodes, value)
    assert await bare_pod_uid(opened.api) == bare


KILLS = [
    ("timeout", {"method": "PUT", "path": "/configmaps/cni-migration$"}),
    ("timeout-after", {"method": "PUT", "path": "/configmaps/cni-migration$"}),
    ("timeout", {"method": "PATCH", "path": "/machinedeployments/workers-1$"}),
    ("timeout-after", {"method": "PATCH", "path": "/machinedeployments/workers-1$"}),
    ("timeout", {"method": "POST", "path": "/namespaces/shop/pods$"}),
]


@pytest.mark.parametrize(("trouble", "where"), KILLS)
async def test_a_rotation_that_was_killed_goes_on_with_the_same_rollout(cluster, opened, on_cilium, trouble, where):
    old_nodes = await uids(opened, NODES)
    await kill_at(cluster, rotate(opened, on_cilium), trouble, **where)
    value = await forced(opened)

    await rotate(opened, on_cilium)

    assert old_nodes.isdisjoint(await uids(opened, NODES))
    assert value in (None, await forced(opened))
    machine_sets = {item["metadata"]["labels"]["machine-template-hash"] for item in await opened.api.list(MACHINES)}
    assert len(machine_sets) == 1
    assert await bare_pod_uid(opened.api) is not None


async def test_a_rollout_that_somebody_forced_since_is_not_forced_again(opened, on_cilium):
    await rotate(opened, on_cilium)
    newer = str(int(await forced(opened)) + 10**9)
    await change(opened, template={"metadata": {"annotations": {FORCE_RESTART: newer}}})

    with contextlib.suppress(DeadlineExceeded):
        await rotate(opened, on_cilium, deadline=timedelta(seconds=0.2))

    assert await forced(opened) == newer


async def test_a_machine_deployment_that_is_paused_on_the_way_is_named(cluster, opened, on_cilium):
    cluster.platform_fault("node-never-joins", subject="workers-1")
    running = asyncio.create_task(rotate(opened, on_cilium))
    await becomes(lambda: forced(opened), during=running)
    await change(opened, paused=True)
    await becomes(lambda: cluster.was_told("somebody to unpause the rollout"), during=running)
    cluster.clear_faults()
    await change(opened, paused=False)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_node_that_never_joins_ends_in_a_deadline_that_says_where_to_look(cluster, opened, on_cilium):
    before = await uids(opened, NODES)
    cluster.platform_fault("node-never-joins", subject="workers-1")

    with pytest.raises(DeadlineExceeded, match="the rotation of MachineDeployment kube-system/workers-1") as error:
        await rotate(opened, on_cilium, deadline=timedelta(seconds=1.5))

    assert "MachineDeployment workers-1: 1 of 2 machines are new, 2 available" in str(error.value)
    assert "quota, image, a node not Ready" in str(error.value)
    assert await uids(opened, NODES) == before


async def test_bare_pods_come_back_though_a_rotation_missed_its_deadline(cluster, opened, on_cilium):
    cluster.platform_fault("node-never-joins", subject="workers-1")
    running = asyncio.create_task(rotate(opened, on_cilium, deadline=timedelta(seconds=1)))
    await becomes(lambda: forced(opened), during=running)
    drained = await bare_pod_uid(opened.api)
    await opened.api.delete(PODS, "debug-shell", namespace="shop", uid=drained, grace_seconds=0)

    with pytest.raises(DeadlineExceeded):
        await running

    assert await bare_pod_uid(opened.api) not in (None, drained)


async def test_a_machine_deployment_that_is_gone_needs_no_rotation(opened, migration):
    assert (await rotate(opened, migration, key="kube-system/no-such")).status is StepStatus.ALREADY


async def test_a_machine_deployment_without_machines_is_left_to_people(opened, migration):
    await change(opened, paused=True, selector={"matchLabels": {"machine": "somebody-else"}})

    with pytest.raises(OperatorActionNeeded, match="wants machines but has none"):
        await rotate(opened, migration)

    assert await forced(opened) is None


async def test_what_is_old_is_decided_once(opened, on_cilium):
    old = {KEY: ("no-such-machine",)}
    recorded = {"old_machines": old, "old_nodes": {KEY: ()}, "restarts": {KEY: "1"}}
    await change_migration(opened.api, on_cilium.id, lambda found: found.model_copy(update=recorded))

    await rotate(opened, on_cilium)

    assert (await read_migration(opened.api, on_cilium.id)).old_machines == old


class TestClosingOldNodes:
    """Nodes on which new pods would get a CNI that is gone are closed, so that drained pods go to new ones."""

    @pytest.fixture
    async def leaving(self, opened, migration):
        return (await record_marks(opened, migration.id, {CNI_UNINSTALL: "false"})).id

    async def close(self, opened, migration_id):
        return await close_old_nodes(opened, await read_migration(opened.api, migration_id))

    async def test_all_that_are_going_to_be_replaced_are_closed_once(self, opened, leaving):
        result = await self.close(opened, leaving)

        assert (result.status, result.summary) == (StepStatus.CHANGED, "2 nodes cordoned: they are replaced next")
        assert len(await closed(opened)) == 2
        assert (await self.close(opened, leaving)).status is StepStatus.ALREADY

    async def test_a_repeat_after_new_nodes_came_closes_none_of_them(self, opened, leaving):
        await self.close(opened, leaving)
        before = await closed(opened)
        await add_node(opened, "newcomer")

        assert (await self.close(opened, leaving)).status is StepStatus.ALREADY
        assert await closed(opened) == before

    async def test_a_new_node_with_the_name_of_an_old_one_stays_open(self, opened, leaving):
        await add_node(opened, "twin")
        await self.close(opened, leaving)
        twin = await opened.api.get(NODES, "twin")
        await opened.api.delete(NODES, "twin", uid=twin["metadata"]["uid"])
        await add_node(opened, "twin")

        await self.close(opened, leaving)

        assert "twin" not in await closed(opened)

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    @pytest.mark.parametrize(
        "where", [{"method": "PUT", "path": "/configmaps/cni-migration$"}, {"method": "PATCH", "path": "/nodes/"}]
    )
    async def test_a_run_that_was_killed_there_closes_the_rest(self, cluster, opened, leaving, trouble, where):
        await kill_at(cluster, self.close(opened, leaving), trouble, **where)

        await self.close(opened, leaving)

        assert len(await closed(opened)) == 2

    async def test_nodes_that_nothing_replaces_stay_open(self, opened, leaving):
        name = (await opened.api.list(NODES))[0]["metadata"]["name"]
        await opened.api.patch(NODES, name, {"metadata": {"labels": {OWNED_BY_LABEL: None}}})

        await self.close(opened, leaving)

        assert len(await closed(opened)) == 1
        assert name not in await closed(opened)

    @pytest.mark.parametrize("takes_along", ["true", None])
    async def test_none_is_closed_where_new_pods_can_start(self, opened, migration, takes_along):
        if takes_along:
            await record_marks(opened, migration.id, {CNI_UNINSTALL: takes_along})

        assert (await self.close(opened, migration.id)).status is StepStatus.ALREADY
        assert await closed(opened) == []


class TestOpeningClosedNodes:
    """Whoever takes a migration back opens the nodes that it had closed, and no others."""

    @pytest.fixture
    async def returning(self, cluster, opened, migration):
        """A migration that takes one back which has closed both nodes."""
        return await self.took_back(cluster, opened, migration)

    async def took_back(self, cluster, opened, migration):
        await record_marks(opened, migration.id, {CNI_UNINSTALL: "false"})
        await close_old_nodes(opened, await read_migration(opened.api, migration.id))
        return await begin(cluster, opened, Runbook.CILIUM_TO_CANAL, desired_cni=CANAL, reverts=migration.id)

    async def test_all_are_open_again_once(self, opened, returning):
        result = await open_closed_nodes(opened, returning)

        assert (result.status, result.summary) == (StepStatus.CHANGED, "2 nodes uncordoned")
        assert await closed(opened) == []
        assert (await open_closed_nodes(opened, returning)).status is StepStatus.ALREADY

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_a_node_that_somebody_else_closed_stays_closed(self, cluster, opened, migration, when):
        if when == "before":
            await self.close_by_hand(opened)
        returning = await self.took_back(cluster, opened, migration)
        if when == "after":
            await self.close_by_hand(opened)

        await open_closed_nodes(opened, returning)

        assert await closed(opened) == ["somebody-elses"]

    async def close_by_hand(self, opened):
        await add_node(opened, "somebody-elses")
        await opened.api.patch(NODES, "somebody-elses", {"spec": {"unschedulable": True}})

    async def test_a_node_whose_machine_goes_stays_closed(self, cluster, opened, returning):
        cluster.platform_fault("stuck-pod", subject="*")
        machine = (await opened.api.list(MACHINES, namespace="kube-system"))[0]
        await opened.api.delete(
            MACHINES, machine["metadata"]["name"], namespace="kube-system", uid=machine["metadata"]["uid"]
        )

        await open_closed_nodes(opened, returning)

        assert await closed(opened) == [machine["status"]["nodeRef"]["name"]]

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_a_run_that_was_killed_there_opens_the_rest(self, cluster, opened, returning, trouble):
        await kill_at(cluster, open_closed_nodes(opened, returning), trouble, method="PATCH", path="/nodes/")

        await open_closed_nodes(opened, returning)

        assert await closed(opened) == []

    async def test_where_none_was_closed_nothing_is_opened(self, opened, migration):
        assert (await open_closed_nodes(opened, migration)).status is StepStatus.ALREADY
