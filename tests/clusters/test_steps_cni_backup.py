"""Backups of the CNI that is to go: complete, taken up where a run was killed, and never smaller than before."""

import pytest

from clusters.backups import load_backup
from clusters.journal import read_migration
from clusters.kinds import APPLICATION_INSTALLATIONS, CLUSTERS, SECRETS
from clusters.steps import bookkeeping
from clusters.steps.addon_inventory import cilium_objects
from clusters.steps.cni_backup import back_up, helm_values, installed_values, merged, secure_backups
from clusters.steps.custom_resources import kind_of
from migration.errors import OperatorActionNeeded
from migration.models import Cni, CniType, MigrationRequest, Runbook, StepStatus
from tests.clusters.killing import kill_at
from tests.clusters.on_cilium import SYSTEM, put_on_cilium, values_of
from tests.flows.belongings import CILIUM_POLICIES, plant_cilium_policies
from tests.seed_api import seed_api

CANAL = Cni(type=CniType.CANAL, version="v3.30")


@pytest.fixture
async def begun(cluster, opened):
    """A migration to Canal that has no backup yet, of a cluster with Cilium's policies."""
    await put_on_cilium(opened)
    await plant_cilium_policies(opened.api)
    request = MigrationRequest(cluster=cluster.ref, runbook=Runbook.CILIUM_TO_CANAL, desired_cni=CANAL)
    return await bookkeeping.begin_migration(opened, request)


async def kept(opened, migration, name):
    stored = (await read_migration(opened.api, migration.id)).backup(name)
    assert stored is not None
    return await load_backup(opened.api, stored)


async def secure(opened, migration, *, refresh):
    await secure_backups(opened, await read_migration(opened.api, migration.id), refresh=refresh)


async def test_what_installs_cilium_and_what_people_wrote_is_kept(opened, begun):
    result = await back_up(opened, begun.id)

    assert result.summary == "1 objects that install Cilium and 2 Cilium resources backed up and compared"
    assert installed_values(await kept(opened, begun, "cilium")) == await values_of(opened.api)
    assert await kept(opened, begun, "cilium-resources") == await cilium_objects(opened.api)
    assert (await back_up(opened, begun.id)).status is StepStatus.ALREADY


@pytest.mark.parametrize(
    "where", [{"method": "POST", "path": "/secrets$"}, {"method": "PUT", "path": "/configmaps/cni-migration$"}]
)
@pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
async def test_a_backup_that_was_cut_short_is_completed(cluster, opened, begun, trouble, where):
    await kill_at(cluster, back_up(opened, begun.id), trouble, **where)

    await back_up(opened, begun.id)

    assert installed_values(await kept(opened, begun, "cilium")) == await values_of(opened.api)
    assert len(await kept(opened, begun, "cilium-resources")) == 2


async def test_what_was_removed_since_stays_in_the_backup_and_what_is_new_comes_in(opened, begun):
    await back_up(opened, begun.id)
    old = (await opened.api.list(CILIUM_POLICIES))[0]["metadata"]
    await opened.api.delete(CILIUM_POLICIES, old["name"], namespace=old["namespace"], uid=old["uid"])
    body = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "new", "namespace": "shop"},
        "spec": {"endpointSelector": {}, "ingress": [{"fromEntities": ["cluster"]}]},
    }
    await opened.api.create(CILIUM_POLICIES, body, namespace="shop")

    await secure(opened, begun, refresh=True)

    names = {item["metadata"]["name"] for item in await kept(opened, begun, "cilium-resources")}
    assert {old["name"], "new"} <= names


@pytest.mark.parametrize("data", [{"list": "AAAA"}, {"list": "not base64!"}, {"list": None}])
async def test_a_damaged_backup_is_taken_anew_while_all_is_there(opened, begun, data):
    await back_up(opened, begun.id)
    expected = await kept(opened, begun, "cilium-resources")
    stored = (await read_migration(opened.api, begun.id)).backup("cilium-resources")
    broken = {"data": data} if data["list"] is None else {"stringData": data}
    await opened.api.patch(SECRETS, stored.secrets[0], broken, namespace=SYSTEM)

    await secure(opened, begun, refresh=False)

    assert await kept(opened, begun, "cilium-resources") == expected


async def test_an_installation_that_is_gone_can_not_be_backed_up_any_more(opened, begun):
    await back_up(opened, begun.id)
    stored = (await read_migration(opened.api, begun.id)).backup("cilium")
    await opened.api.patch(SECRETS, stored.secrets[0], {"data": {"list": None}}, namespace=SYSTEM)
    found = await opened.api.get(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM)
    patch = {"metadata": {"finalizers": None}}
    await seed_api(opened.seed).patch(CLUSTERS, opened.ref.name, {"spec": {"pause": True}})
    await opened.api.delete(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM, uid=found["metadata"]["uid"])
    await opened.api.patch(APPLICATION_INSTALLATIONS, "cilium", patch, namespace=SYSTEM)

    with pytest.raises(OperatorActionNeeded, match="backup 'cilium' of migration"):
        await secure(opened, begun, refresh=False)


async def test_a_change_of_mode_removes_nothing_and_keeps_nothing(cluster, opened):
    request = MigrationRequest(cluster=cluster.ref, runbook=Runbook.CHANGE_PROXY_MODE, desired_proxy_mode="ipvs")
    migration = await bookkeeping.begin_migration(opened, request)

    assert (await back_up(opened, migration.id)).summary == "nothing is removed"


def test_what_is_there_now_goes_before_what_was():
    def policy(name, order):
        return {"kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "a"}, "spec": {"order": order}}

    found = merged([policy("old", 1), policy("both", 1)], [policy("both", 2)])

    assert {(item["metadata"]["name"], item["spec"]["order"]) for item in found} == {("old", 1), ("both", 2)}


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({}, {}),
        ({"values": {"a": 1}}, {"a": 1}),
        ({"valuesBlock": "a: 2\n", "values": {}}, {"a": 2}),
    ],
)
def test_values_are_read_from_where_they_are(spec, values):
    assert helm_values(spec) == values


@pytest.mark.parametrize("block", ["a: [", "- a\n", "just a text"])
def test_values_that_make_no_sense_are_left_to_people(block):
    with pytest.raises(OperatorActionNeeded, match="mend it first"):
        helm_values({"valuesBlock": block})


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([{"name": "v1"}, {"name": "v2", "storage": True}], "v2"),
        ([{"name": "v1", "served": True}, {"name": "v2", "served": False, "storage": True}], "v1"),
    ],
)
def test_a_custom_resource_is_read_in_a_version_that_is_served(versions, expected):
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "a.test", "versions": versions, "names": names, "scope": "Namespaced"}

    assert kind_of({"metadata": {"name": "things.a.test"}, "spec": spec}).version == expected


def test_a_definition_that_serves_nothing_can_not_be_read():
    spec = {"group": "a.test", "versions": [{"name": "v1", "served": False}], "names": {"plural": "things"}}

    with pytest.raises(OperatorActionNeeded, match=r"things\.a\.test serves no version"):
        kind_of({"metadata": {"name": "things.a.test"}, "spec": {**spec, "scope": "Cluster"}})
