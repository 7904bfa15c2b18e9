import pytest

from clusters.backups import load_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, DAEMON_SETS, PODS, SECRETS, Kind
from clusters.steps.addon_inventory import ADDON_KINDS, addon_label, addon_objects, calico_objects, calico_policies
from clusters.steps.addon_removal import remove_canal
from clusters.steps.cni_backup import back_up
from migration.errors import DeadlineExceeded, OperatorActionNeeded
from migration.models import StepStatus
from tests.clusters.conftest import SOON
from tests.clusters.killing import kill_at

GLOBAL_POLICIES = Kind("crd.projectcalico.org", "v1", "globalnetworkpolicies", namespaced=False, custom=True)


def remove(opened, migration, *, remove_crds=False, deadline=SOON):
    return remove_canal(opened, migration.id, remove_crds=remove_crds, deadline=deadline)


async def stored(opened, migration, name):
    backup = (await read_migration(opened.api, migration.id)).backup(name)
    assert backup is not None
    return await load_backup(opened.api, backup)


async def lose_backup(opened, migration, name):
    for secret in (await read_migration(opened.api, migration.id)).backup(name).secrets:
        found = await opened.api.get(SECRETS, secret, namespace="kube-system")
        await opened.api.delete(SECRETS, secret, namespace="kube-system", uid=found["metadata"]["uid"])


async def definitions(opened):
    return await opened.api.list(CUSTOM_RESOURCE_DEFINITIONS, labels=addon_label("canal"))


async def make_policy(opened, name):
    body = {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"selector": "all()"},
    }
    await opened.api.create(GLOBAL_POLICIES, body)


class TestBackups:
    async def test_everything_that_removal_could_lose_is_stored(self, opened, migration):
        canal, calico = await stored(opened, migration, "canal"), await stored(opened, migration, "calico")

        kinds = {item["kind"] for item in canal}
        assert {"DaemonSet", "Deployment", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"} <= kinds
        assert canal == await addon_objects(opened.api, "canal")
        assert calico == await calico_objects(opened.api)
        assert sorted(await calico_policies(opened.api)) == [
            "GlobalNetworkPolicy deny-metadata-service",
            "NetworkPolicy data/cache-from-shop",
        ]

    async def test_a_second_time_is_a_no_op(self, opened, migration):
        before = await read_migration(opened.api, migration.id)

        result = await back_up(opened, migration.id)

        assert result.status is StepStatus.ALREADY
        assert await read_migration(opened.api, migration.id) == before

    @pytest.mark.parametrize("trouble", ["timeout", "timeout-after"])
    @pytest.mark.parametrize("where", [("POST", "/secrets$"), ("PUT", "/configmaps/cni-migration$")])
    async def test_a_backup_that_was_killed_is_whole_afterwards(self, cluster, opened, migration, trouble, where):
        await change_migration(opened.api, migration.id, lambda found: found.model_copy(update={"backups": ()}))
        for secret in await opened.api.list(
            SECRETS, namespace="kube-system", labels=f"cni-migration/id={migration.id}"
        ):
            metadata = secret["metadata"]
            await opened.api.delete(SECRETS, metadata["name"], namespace="kube-system", uid=metadata["uid"])
        method, path = where
        await kill_at(cluster, back_up(opened, migration.id), trouble, method=method, path=path)

        await back_up(opened, migration.id)

        assert await stored(opened, migration, "canal") == await addon_objects(opened.api, "canal")
        assert await stored(opened, migration, "calico") == await calico_objects(opened.api)


class TestRemoval:
    async def test_canal_goes_and_its_definitions_and_policies_stay(self, opened, beside):
        calico = await calico_objects(opened.api)

        result = await remove(opened, beside)

        assert result.status is StepStatus.CHANGED
        assert "CustomResourceDefinitions stay" in result.summary
        assert [
            item for kind, _ in ADDON_KINDS for item in await opened.api.list(kind, labels=addon_label("canal"))
        ] == []
        assert await opened.api.list(PODS, namespace="kube-system", labels="k8s-app=canal") == []
        assert await definitions(opened)
        assert await calico_objects(opened.api) == calico
        assert (await remove(opened, beside)).status is StepStatus.ALREADY

    async def test_definitions_go_if_that_is_asked_for_and_newer_policies_are_kept(self, opened, beside):
        await make_policy(opened, "made-since")
        before = {item["metadata"]["name"] for item in await calico_objects(opened.api)}

        await remove(opened, beside, remove_crds=True)

        assert await definitions(opened) == []
        assert await calico_objects(opened.api) == []
        kept = {item["metadata"]["name"] for item in await stored(opened, beside, "calico")}
        assert before <= kept
        assert "made-since" in kept
        assert (await remove(opened, beside, remove_crds=True)).status is StepStatus.ALREADY

    async def test_nothing_goes_while_canal_is_the_clusters_cni(self, opened, migration):
        with pytest.raises(OperatorActionNeeded, match="not removed while it is the cluster's CNI"):
            await remove(opened, migration)

        assert await opened.api.find(DAEMON_SETS, "canal", namespace="kube-system")

    KILLS = (
        ("timeout", "/daemonsets/canal$"),
        ("timeout-after", "/daemonsets/canal$"),
        ("timeout", "/configmaps/canal-config$"),
        ("timeout-after", "/clusterroles/flannel$"),
        ("timeout-after", "/customresourcedefinitions/ippools"),
    )

    @pytest.mark.parametrize(("trouble", "path"), KILLS)
    async def test_a_removal_that_was_killed_goes_on(self, cluster, opened, beside, trouble, path):
        calico = {item["metadata"]["name"] for item in await calico_objects(opened.api)}
        killed = remove(opened, beside, remove_crds=True)
        await kill_at(cluster, killed, trouble, method="DELETE", path=path)

        await remove(opened, beside, remove_crds=True)

        assert [
            item for kind, _ in ADDON_KINDS for item in await opened.api.list(kind, labels=addon_label("canal"))
        ] == []
        assert await definitions(opened) == []
        assert {item["metadata"]["name"] for item in await stored(opened, beside, "calico")} >= calico

    @pytest.mark.parametrize("name", ["canal", "calico"])
    async def test_a_lost_backup_is_taken_anew_while_everything_is_there(self, opened, beside, name):
        await lose_backup(opened, beside, name)
        expected = await (addon_objects(opened.api, "canal") if name == "canal" else calico_objects(opened.api))

        await remove(opened, beside)

        assert await stored(opened, beside, name) == expected

    async def test_a_lost_backup_stops_a_removal_that_is_half_done(self, opened, beside):
        canal = await opened.api.get(DAEMON_SETS, "canal", namespace="kube-system")
        await opened.api.delete(DAEMON_SETS, "canal", namespace="kube-system", uid=canal["metadata"]["uid"])
        await lose_backup(opened, beside, "canal")

        with pytest.raises(OperatorActionNeeded, match="Nothing more is removed"):
            await remove(opened, beside)

        assert await opened.api.find(CONFIG_MAPS, "canal-config", namespace="kube-system")

    async def test_what_does_not_go_is_named(self, opened, beside):
        patch = {"metadata": {"finalizers": ["tests.example.test/keep"]}}
        await opened.api.patch(CONFIG_MAPS, "canal-config", patch, namespace="kube-system")

        with pytest.raises(DeadlineExceeded, match=r"1 objects of Canal to go \(configmaps kube-system/canal-config\)"):
            await remove(opened, beside, deadline=SOON / 15)
