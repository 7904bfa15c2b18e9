"""Bringing back the policies that only the former CNI reads, from the backup of the migration that is taken back."""

import pytest

from clusters.journal import read_migration
from clusters.kinds import (
    APPLICATION_INSTALLATIONS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    SECRETS,
    Kind,
)
from clusters.steps.addon_inventory import CALICO_GROUPS, calico_objects
from clusters.steps.cilium_removal import prepare_cilium_removal
from clusters.steps.custom_resources import definitions_of, kind_of, place_of
from clusters.steps.restoring import restore_policies
from clusters.steps.switching import allow_cni_migration, switch_cni
from migration.errors import OperatorActionNeeded, ServerFault
from migration.models import Cni, CniType, Runbook, StepStatus
from tests.clusters.conftest import VERSION
from tests.clusters.killing import kill_at
from tests.clusters.looking import becomes
from tests.clusters.on_cilium import LONG, SYSTEM, begin, begin_to_canal, is_configured, put_on_cilium, values_of

POLICIES = Kind("crd.projectcalico.org", "v1", "networkpolicies", custom=True)
KEPT = {"labels": {"team": "a"}, "annotations": {"note": 'ünïcode "quoted"\n'}}


@pytest.fixture
async def returning(cluster, opened):
    """The migration that takes one to Cilium back, which was unfinished, and what its backup holds."""
    for namespace in ("doomed", "going"):
        await opened.api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for place in ("shop/db", "doomed/db", "going/db"):
        namespace, name = place.split("/")
        body = {
            "apiVersion": "crd.projectcalico.org/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace, **KEPT},
            "spec": {"order": 1.5, "selector": "has(app)", "types": ["Ingress"]},
        }
        await opened.api.create(POLICIES, body, namespace=namespace)
    to_cilium = Cni(type=CniType.CILIUM, version=VERSION)
    taken_back = await begin(cluster, opened, Runbook.CANAL_TO_CILIUM, desired_cni=to_cilium)
    canal = Cni(type=CniType.CANAL, version="v3.30")
    await allow_cni_migration(opened)
    await switch_cni(opened, taken_back)
    return await begin(cluster, opened, Runbook.CILIUM_TO_CANAL, desired_cni=canal, reverts=taken_back.id)


async def remove_instances(opened):
    """Delete every resource of Calico's, its definitions kept."""
    for definition in await definitions_of(opened.api, CALICO_GROUPS):
        kind = kind_of(definition)
        for item in await opened.api.list(kind):
            metadata = item["metadata"]
            namespace = metadata.get("namespace", "")
            await opened.api.delete(kind, metadata["name"], namespace=namespace, uid=metadata["uid"])


async def by_place(opened):
    return {(item["kind"], place_of(item)): item for item in await calico_objects(opened.api)}


async def test_everything_comes_back_byte_for_byte(opened, returning):
    before = await by_place(opened)
    await remove_instances(opened)
    assert await by_place(opened) == {}

    result = await restore_policies(opened, returning)

    assert result.summary == f"{len(before)} of {len(before)} resources restored, from migration {returning.reverts}"
    assert await by_place(opened) == before
    assert before[("NetworkPolicy", "shop/db")]["metadata"]["annotations"] == KEPT["annotations"]
    assert (await restore_policies(opened, returning)).status is StepStatus.ALREADY


async def test_what_is_there_stays_as_it_is(opened, returning):
    await opened.api.patch(POLICIES, "db", {"spec": {"order": 7}}, namespace="shop")

    result = await restore_policies(opened, returning)

    assert result.status is StepStatus.ALREADY
    assert (await opened.api.get(POLICIES, "db", namespace="shop"))["spec"]["order"] == 7


@pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
async def test_a_restoration_that_was_killed_is_completed(cluster, opened, returning, trouble):
    before = await by_place(opened)
    await remove_instances(opened)
    await kill_at(cluster, restore_policies(opened, returning), trouble, method="POST", path="/networkpolicies$")

    await restore_policies(opened, returning)

    assert await by_place(opened) == before


async def test_somebody_who_was_quicker_is_no_matter(cluster, opened, returning):
    """The answer to the creation is lost, and a repeat of the step finds the policy."""
    before = await by_place(opened)
    await remove_instances(opened)
    cluster.fault("500", method="POST", path="/networkpolicies$")
    with pytest.raises(ServerFault):
        await restore_policies(opened, returning)

    await restore_policies(opened, returning)

    assert await by_place(opened) == before


async def test_what_lost_its_namespace_stays_away_and_people_are_told(cluster, opened, returning):
    await remove_instances(opened)
    gone = await opened.api.get(NAMESPACES, "doomed")
    await opened.api.delete(NAMESPACES, "doomed", uid=gone["metadata"]["uid"])
    await hold_terminating(opened, "going")

    await restore_policies(opened, returning)

    places = {place for _, place in await by_place(opened)}
    assert "shop/db" in places
    assert not {"doomed/db", "going/db"} & places
    assert cluster.was_told("NetworkPolicy doomed/db is not restored: its namespace was removed")
    assert cluster.was_told("NetworkPolicy going/db is not restored: its namespace was removed")


async def hold_terminating(opened, name):
    """Have a namespace about to go, which something in it holds up."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": name, "finalizers": ["people.example.test/hold"]},
    }
    await opened.api.create(CONFIG_MAPS, body, namespace=name)
    found = await opened.api.get(NAMESPACES, name)
    await opened.api.delete(NAMESPACES, name, uid=found["metadata"]["uid"])


async def test_a_definition_that_is_gone_is_told_and_the_rest_comes_back(cluster, opened, returning):
    before = await by_place(opened)
    await remove_instances(opened)
    name = "networkpolicies.crd.projectcalico.org"
    found = await opened.api.get(CUSTOM_RESOURCE_DEFINITIONS, name)
    await opened.api.delete(CUSTOM_RESOURCE_DEFINITIONS, name, uid=found["metadata"]["uid"])

    await restore_policies(opened, returning)

    kept = {key: item for key, item in before.items() if key[0] != "NetworkPolicy"}
    assert kept
    assert await by_place(opened) == kept
    assert cluster.was_told("NetworkPolicy shop/db is not restored: nothing defines it any more")


async def test_a_kind_that_is_not_served_yet_is_not_taken_for_a_namespace_that_is_gone(opened, returning, monkeypatch):
    """The definition is there, its path not yet: what a real API server answers for some seconds."""
    await remove_instances(opened)
    monkeypatch.setattr("clusters.steps.restoring.kind_of", unserved)

    with pytest.raises(ServerFault, match="is not served yet"):
        await restore_policies(opened, returning)


def unserved(definition):
    kind = kind_of(definition)
    return Kind(kind.group, "v9", kind.plural, namespaced=kind.namespaced, custom=True)


async def test_a_damaged_backup_restores_nothing(opened, returning):
    await remove_instances(opened)
    taken_back = await read_migration(opened.api, returning.reverts)
    secret = taken_back.backup("calico").secrets[0]
    await opened.api.patch(SECRETS, secret, {"data": {"list": "AAAA"}}, namespace=SYSTEM)

    with pytest.raises(OperatorActionNeeded, match="does not match its checksum"):
        await restore_policies(opened, returning)

    assert await by_place(opened) == {}


async def test_a_migration_that_takes_none_back_restores_nothing(opened, migration):
    assert (await restore_policies(opened, migration)).status is StepStatus.ALREADY


class TestCiliumsOwnValues:
    """A way to Canal that ended before the switch has left agents that take their CNI configuration along."""

    @pytest.fixture
    async def staying(self, cluster, opened):
        await put_on_cilium(opened)
        taken_back = await begin_to_canal(cluster, opened)
        await prepare_cilium_removal(opened, taken_back.id, deadline=LONG)
        cilium = Cni(type=CniType.CILIUM, version=VERSION)
        return await begin(cluster, opened, Runbook.CANAL_TO_CILIUM, desired_cni=cilium, reverts=taken_back.id)

    async def test_agents_that_stay_keep_their_file_again(self, cluster, opened, staying):
        before = await values_of(opened.api)
        assert before["cni"]["uninstall"]

        await restore_policies(opened, staying)

        assert await values_of(opened.api) == {**before, "cni": {**before["cni"], "uninstall": False}}
        await becomes(lambda: is_configured(opened.api, "cni-uninstall", None))
        assert cluster.was_told("leave their CNI configuration in place again")

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    async def test_a_run_that_was_killed_there_is_completed(self, cluster, opened, staying, trouble):
        where = {"method": "PATCH", "path": "/applicationinstallations/cilium$"}
        await kill_at(cluster, restore_policies(opened, staying), trouble, **where)

        await restore_policies(opened, staying)

        assert not (await values_of(opened.api))["cni"]["uninstall"]

    async def test_what_is_as_before_is_left_alone(self, opened, staying):
        await restore_policies(opened, staying)
        before = await opened.api.get(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM)

        await restore_policies(opened, staying)

        after = await opened.api.get(APPLICATION_INSTALLATIONS, "cilium", namespace=SYSTEM)
        assert after["metadata"]["generation"] == before["metadata"]["generation"]
