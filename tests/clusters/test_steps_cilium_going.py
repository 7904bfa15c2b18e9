"""Taking Cilium out of a cluster whose CNI is Canal by now, whatever ends the run, and whatever Helm does."""

import pytest

from clusters.backups import load_backup
from clusters.journal import read_migration
from clusters.kinds import (
    APPLICATION_INSTALLATIONS,
    CUSTOM_RESOURCE_DEFINITIONS,
    NODES,
    PODS,
    SECRETS,
)
from clusters.steps import helm_leftovers
from clusters.steps.addon_inventory import CILIUM_GROUPS, cilium_objects
from clusters.steps.cilium import RELEASE
from clusters.steps.cilium_removal import AGENT_NOT_READY, CERTIFICATES, remove_cilium, remove_cilium_definitions
from clusters.steps.custom_resources import definitions_of
from clusters.steps.helm_leftovers import HELM, OWNED_KINDS
from migration.errors import Conflict, OperatorActionNeeded
from migration.models import StepStatus
from tests.clusters.killing import kill_at
from tests.clusters.on_cilium import LONG, SYSTEM, begin_to_canal, put_on_cilium, with_canal_beside
from tests.flows.belongings import plant_cilium_policies

RELEASES = f"owner=helm,name={RELEASE}"


@pytest.fixture
async def beside_canal(cluster, opened):
    """A migration whose Canal runs beside Cilium, which has policies."""
    migration = await with_canal_beside(cluster, opened)
    await plant_cilium_policies(opened.api)
    return migration


def remove(opened, migration):
    return remove_cilium(opened, migration.id, deadline=LONG)


async def owned(api):
    """Return what Helm owns of Cilium, and what its release needs."""
    found = [item for kind in OWNED_KINDS for item in await api.list(kind, labels=HELM)]
    names = [
        item["metadata"]["name"] for item in found if "meta.helm.sh/release-name" in item["metadata"]["annotations"]
    ]
    secrets = [item["metadata"]["name"] for item in await api.list(SECRETS, namespace=SYSTEM)]
    names += [name for name in secrets if name.startswith("sh.helm") or name in CERTIFICATES]
    pods = await api.list(PODS, namespace=SYSTEM, labels="app.kubernetes.io/part-of=cilium")
    applications = await api.list(APPLICATION_INSTALLATIONS, namespace=SYSTEM)
    return names + [item["metadata"]["name"] for item in (*pods, *applications)]


async def definitions(api):
    return {item["metadata"]["name"] for item in await definitions_of(api, CILIUM_GROUPS)}


async def test_nothing_is_removed_while_cilium_is_the_cni(cluster, opened):
    await put_on_cilium(opened)
    migration = await begin_to_canal(cluster, opened)
    before = await owned(opened.api)

    with pytest.raises(OperatorActionNeeded, match=r"is on cilium 1\.19\.4: Cilium is not removed"):
        await remove(opened, migration)

    assert await owned(opened.api) == before


async def test_everything_goes_but_the_definitions_and_what_people_wrote(opened, beside_canal):
    before, written = await definitions(opened.api), await cilium_objects(opened.api)

    result = await remove(opened, beside_canal)

    assert result.status is StepStatus.CHANGED
    assert await owned(opened.api) == []
    assert await definitions(opened.api) == before
    assert await cilium_objects(opened.api) == written
    again = await remove(opened, beside_canal)
    assert (again.status, again.summary) == (StepStatus.ALREADY, "nothing of Cilium was left")


APPLICATION = {"method": "DELETE", "path": "/applicationinstallations/cilium$"}
CERTIFICATE = {"method": "DELETE", "path": "/secrets/cilium-ca$"}


@pytest.mark.parametrize("where", [APPLICATION, CERTIFICATE])
@pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
async def test_a_removal_that_was_killed_is_completed(cluster, opened, beside_canal, trouble, where):
    await kill_at(cluster, remove(opened, beside_canal), trouble, **where)

    await remove(opened, beside_canal)

    assert await owned(opened.api) == []


@pytest.mark.parametrize("trouble", ["500", "429", "reset", "close-watch"])
async def test_a_removal_outlives_trouble(cluster, opened, beside_canal, trouble):
    methods = ("GET",) if trouble == "close-watch" else ("DELETE", "GET")
    for method in methods:
        cluster.fault(trouble, method=method, path="/(applicationinstallations|daemonsets|clusterroles)(/|$)", times=2)

    await remove(opened, beside_canal)

    assert await owned(opened.api) == []


async def test_a_removal_outlives_a_history_that_was_forgotten(cluster, opened, beside_canal):
    cluster.fault("410", method="GET", path="/(applicationinstallations|daemonsets|clusterroles|pods)$", times=4)

    await remove(opened, beside_canal)

    assert await owned(opened.api) == []


async def test_an_application_that_somebody_deleted_before_is_no_matter(opened, beside_canal):
    found = await opened.api.get(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM)
    await opened.api.delete(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM, uid=found["metadata"]["uid"])

    await remove(opened, beside_canal)

    assert await owned(opened.api) == []


async def test_what_a_helm_that_failed_left_behind_is_removed_by_hand(opened, beside_canal, monkeypatch):
    """Helm fails without its record of the release, and KKP lets the application go all the same."""
    monkeypatch.setattr(helm_leftovers, "PATIENCE_SECONDS", 0.2)
    for release in await opened.api.list(SECRETS, namespace=SYSTEM, labels=RELEASES):
        name, uid = release["metadata"]["name"], release["metadata"]["uid"]
        await opened.api.delete(SECRETS, name, namespace=SYSTEM, uid=uid)
    left = await owned(opened.api)
    assert "cilium-secrets" in left

    result = await remove(opened, beside_canal)

    assert result.status is StepStatus.CHANGED
    assert await owned(opened.api) == []


async def taint_nodes(api):
    """Have the nodes closed by a Cilium that is not ready, and by people."""
    taints = [{"key": key, "effect": "PreferNoSchedule"} for key in (AGENT_NOT_READY, "people/own")]
    for node in await api.list(NODES):
        await api.patch(NODES, node["metadata"]["name"], {"spec": {"taints": taints}})


async def taints(api):
    return {taint["key"] for node in await api.list(NODES) for taint in node["spec"].get("taints") or ()}


async def test_nodes_that_cilium_closed_are_opened_and_other_taints_stay(cluster, opened, beside_canal):
    await remove(opened, beside_canal)
    await taint_nodes(opened.api)

    result = await remove(opened, beside_canal)

    assert result.summary == "0 objects that stayed removed, 2 nodes untainted"
    assert await taints(opened.api) == {"people/own"}


@pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
async def test_a_run_that_was_killed_at_a_node_opens_the_others_later(cluster, opened, beside_canal, trouble):
    await remove(opened, beside_canal)
    await taint_nodes(opened.api)
    await kill_at(cluster, remove(opened, beside_canal), trouble, method="PATCH", path="/nodes/")

    await remove(opened, beside_canal)

    assert await taints(opened.api) == {"people/own"}


async def test_a_node_that_changes_meanwhile_keeps_what_was_added(cluster, opened, beside_canal):
    await remove(opened, beside_canal)
    await taint_nodes(opened.api)
    cluster.fault("409", method="PATCH", path="/nodes/")

    with pytest.raises(Conflict):
        await remove(opened, beside_canal)
    await remove(opened, beside_canal)

    assert await taints(opened.api) == {"people/own"}


async def test_a_lost_backup_stops_the_removal_once_cilium_is_gone(opened, beside_canal):
    await remove(opened, beside_canal)
    await lose_backup(opened, beside_canal, "cilium")

    with pytest.raises(OperatorActionNeeded, match="backup 'cilium'"):
        await remove(opened, beside_canal)


async def test_a_lost_backup_is_taken_anew_while_all_is_there(opened, beside_canal):
    await lose_backup(opened, beside_canal, "cilium")

    await remove(opened, beside_canal)

    stored = (await read_migration(opened.api, beside_canal.id)).backup("cilium")
    assert stored is not None
    assert "ApplicationInstallation" in {item["kind"] for item in await load_backup(opened.api, stored)}


async def lose_backup(opened, migration, name):
    for secret in (await read_migration(opened.api, migration.id)).backup(name).secrets:
        found = await opened.api.get(SECRETS, secret, namespace=SYSTEM)
        await opened.api.delete(SECRETS, secret, namespace=SYSTEM, uid=found["metadata"]["uid"])


class TestDefinitions:
    def remove(self, opened, migration):
        return remove_cilium_definitions(opened, migration.id, deadline=LONG)

    async def kept(self, opened, migration):
        stored = (await read_migration(opened.api, migration.id)).backup("cilium-resources")
        assert stored is not None
        return {item["metadata"]["name"] for item in await load_backup(opened.api, stored)}

    @pytest.fixture
    async def gone(self, opened, beside_canal):
        await remove(opened, beside_canal)
        return beside_canal

    async def test_what_was_written_since_is_in_the_backup_before_it_goes(self, opened, gone):
        assert await self.kept(opened, gone) == set()  # the policies came after the first backup
        expected = {item["metadata"]["name"] for item in await cilium_objects(opened.api)}

        result = await self.remove(opened, gone)

        assert "CustomResourceDefinitions of Cilium removed" in result.summary
        assert await definitions(opened.api) == set()
        assert await self.kept(opened, gone) == expected
        assert (await self.remove(opened, gone)).status is StepStatus.ALREADY

    @pytest.mark.parametrize(
        "where", [{"method": "POST", "path": "/secrets$"}, {"method": "PUT", "path": "/configmaps/cni-migration$"}]
    )
    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_nothing_goes_before_the_backup_is_in_the_journal(self, cluster, opened, gone, trouble, where):
        before = await definitions(opened.api)

        await kill_at(cluster, self.remove(opened, gone), trouble, **where)

        assert await definitions(opened.api) == before

    async def test_a_backup_that_cannot_be_read_back_keeps_the_definitions(self, cluster, opened, gone):
        before = await definitions(opened.api)
        cluster.fault("403", method="GET", path="/secrets/cni-migration-.*cilium-resources", times=None)

        with pytest.raises(Exception, match="403"):
            await self.remove(opened, gone)

        assert await definitions(opened.api) == before

    async def test_a_removal_that_was_killed_halfway_keeps_what_it_had_backed_up(self, cluster, opened, gone):
        expected = {item["metadata"]["name"] for item in await cilium_objects(opened.api)}
        where = {"method": "DELETE", "path": "/customresourcedefinitions/ciliumnodes"}
        await kill_at(cluster, self.remove(opened, gone), "timeout-after", **where)

        await self.remove(opened, gone)

        assert await definitions(opened.api) == set()
        assert await self.kept(opened, gone) == expected

    async def test_a_definition_that_somebody_made_anew_is_theirs(self, cluster, opened, gone):
        cluster.fault("409", method="DELETE", path="/customresourcedefinitions/", times=4)

        with pytest.raises(Conflict):
            await self.remove(opened, gone)
        await self.remove(opened, gone)

        assert await opened.api.list(CUSTOM_RESOURCE_DEFINITIONS, labels="io.cilium.k8s.crd.schema.version") == []
