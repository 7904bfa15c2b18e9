import pytest

from clusters.backups import load_backup, store_backup
from clusters.journal import change_migration, read_migration
from clusters.kinds import PODS, SECRETS, Kind
from clusters.steps.bare_pods import BACKUP, remember_all_bare_pods, remember_bare_pods, restore_bare_pods
from clusters.steps.survey import list_pods
from migration.errors import DeadlineExceeded, OperatorActionNeeded
from migration.restart import is_bare
from tests.clusters.conftest import SOON, bare_pod_uid
from tests.clusters.looking import becomes

KEY = "shop/debug-shell"
NAMESPACES = Kind("", "v1", "namespaces", namespaced=False)


async def bare_pods(api):
    return [pod for pod in await list_pods(api) if is_bare(pod) and not pod.host_network]


async def stored_pods(opened, migration):
    stored = (await read_migration(opened.api, migration.id)).backup(BACKUP)
    assert stored is not None
    return await load_backup(opened.api, stored)


async def ready_bare_pods(api, name):
    return [pod for pod in await bare_pods(api) if pod.name == name and pod.ready]


async def is_gone(api, kind, name):
    return await api.find(kind, name) is None


async def remember(opened, migration):
    await remember_all_bare_pods(opened, migration.id, await list_pods(opened.api))


def restore(opened, migration, *, deadline=SOON):
    return restore_bare_pods(opened, migration.id, deadline=deadline)


async def delete_bare_pod(api):
    await api.delete(PODS, "debug-shell", namespace="shop", uid=await bare_pod_uid(api), grace_seconds=0)


async def debts(opened, migration):
    return (await read_migration(opened.api, migration.id)).bare_pods


async def test_a_remembered_pod_is_made_anew_as_it_was(opened, migration):
    before = await opened.api.get(PODS, "debug-shell", namespace="shop")
    await remember(opened, migration)
    assert await debts(opened, migration) == {KEY: before["metadata"]["uid"]}
    await delete_bare_pod(opened.api)

    assert await restore(opened, migration) == 1

    after = await opened.api.get(PODS, "debug-shell", namespace="shop")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert after["spec"]["containers"] == before["spec"]["containers"]
    assert await debts(opened, migration) == {}


async def test_a_backup_holds_no_trace_of_node_and_admission(opened, migration):
    token = {"name": "kube-api-access-x7k2p", "projected": {"sources": []}}
    mount = {"name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets"}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tool", "namespace": "shop"},
        "spec": {
            "containers": [
                {"name": "c", "image": "busybox", "volumeMounts": [mount, {"name": "d", "mountPath": "/d"}]}
            ],
            "initContainers": [{"name": "i", "image": "busybox", "volumeMounts": [mount]}],
            "volumes": [token, {"name": "d", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    await opened.api.create(PODS, body, namespace="shop")
    found = [pod for pod in await bare_pods(opened.api) if pod.name == "tool"]

    await remember_bare_pods(opened, migration.id, found)

    spec = (await stored_pods(opened, migration))[0]["spec"]
    assert "nodeName" not in spec
    assert [volume["name"] for volume in spec["volumes"]] == ["d"]
    assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == ["d"]
    assert spec["initContainers"][0]["volumeMounts"] == []


async def test_a_pod_that_is_there_stays_as_it_is(opened, migration):
    before = await bare_pod_uid(opened.api)
    await remember(opened, migration)

    assert await restore(opened, migration) == 0

    assert await bare_pod_uid(opened.api) == before


async def test_a_pod_is_made_anew_once(opened, migration):
    await remember(opened, migration)
    await delete_bare_pod(opened.api)
    await restore(opened, migration)
    made = await bare_pod_uid(opened.api)

    assert await restore(opened, migration) == 0
    assert await bare_pod_uid(opened.api) == made


async def test_a_pod_that_people_remove_after_it_was_made_anew_stays_away(opened, migration):
    await remember(opened, migration)
    await delete_bare_pod(opened.api)
    await restore(opened, migration)
    await delete_bare_pod(opened.api)

    assert await restore(opened, migration) == 0
    assert await bare_pod_uid(opened.api) is None


async def test_remembering_again_keeps_what_is_owed(opened, migration):
    await remember(opened, migration)
    await delete_bare_pod(opened.api)

    await remember(opened, migration)

    assert await restore(opened, migration) == 1


async def test_nothing_remembered_is_nothing_to_restore(opened, migration):
    assert await restore(opened, migration) == 0


async def test_a_pod_that_went_before_it_could_be_remembered_is_not_owed(opened, migration):
    found = await bare_pods(opened.api)
    await delete_bare_pod(opened.api)

    await remember_bare_pods(opened, migration.id, found)

    assert await debts(opened, migration) == {}


@pytest.mark.parametrize("trouble", ["403", "422"])
async def test_a_pod_that_is_refused_is_left_to_people_with_its_backup(cluster, opened, migration, trouble):
    await remember(opened, migration)
    await delete_bare_pod(opened.api)
    if trouble == "403":
        cluster.fault("403", method="POST", path="/namespaces/shop/pods$")
    else:
        await spoil_backup(opened, migration)

    with pytest.raises(
        OperatorActionNeeded, match=rf"pod {KEY} can't be made anew.*Secrets cni-migration-{migration.id}-bare-pods"
    ):
        await restore(opened, migration)

    assert await debts(opened, migration) != {}


async def spoil_backup(opened, migration):
    """Have the backup hold a pod that no API server accepts."""
    body = (await stored_pods(opened, migration))[0]
    body["spec"]["containers"] = []
    spoilt = await store_backup(opened.api, [body], migration_id=migration.id, name=BACKUP)
    await change_migration(opened.api, migration.id, lambda found: found.with_backup(spoilt))


async def test_a_lost_answer_makes_one_pod(cluster, opened, migration, monkeypatch):
    monkeypatch.setattr("clusters.api.REQUEST_SECONDS", 0.3)
    await remember(opened, migration)
    await delete_bare_pod(opened.api)
    cluster.fault("timeout-after", method="POST", path="/namespaces/shop/pods$")

    assert await restore(opened, migration) == 1
    assert len(await bare_pods(opened.api)) == 1


async def test_a_pod_of_a_namespace_that_was_removed_is_owed_no_longer(cluster, opened, migration):
    await opened.api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short"}})
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "tool", "namespace": "short"},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], "terminationGracePeriodSeconds": 0},
    }
    await opened.api.create(PODS, body, namespace="short")
    await remember(opened, migration)
    namespace = await opened.api.get(NAMESPACES, "short")
    await opened.api.delete(NAMESPACES, "short", uid=namespace["metadata"]["uid"])
    await becomes(lambda: is_gone(opened.api, NAMESPACES, "short"))

    await restore(opened, migration)

    assert "short/tool" not in await debts(opened, migration)
    assert any("its namespace was removed" in line for line in cluster.told)


async def test_a_pod_that_does_not_end_is_named(cluster, opened, migration):
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stuck", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "busybox"}], "terminationGracePeriodSeconds": 30},
    }
    made = await opened.api.create(PODS, body, namespace="shop")
    await becomes(lambda: ready_bare_pods(opened.api, "stuck"))
    await remember(opened, migration)
    cluster.platform_fault("stuck-pod", subject="shop/stuck")
    await opened.api.delete(PODS, "stuck", namespace="shop", uid=made["metadata"]["uid"])

    with pytest.raises(DeadlineExceeded, match="pod shop/stuck to end"):
        await restore(opened, migration, deadline=SOON / 20)


class TestLostBackup:
    """Somebody removed the Secret."""

    @pytest.fixture(autouse=True)
    async def lost(self, opened, migration):
        await remember(opened, migration)
        await delete_bare_pod(opened.api)
        stored = (await read_migration(opened.api, migration.id)).backup(BACKUP)
        for name in stored.secrets:
            found = await opened.api.get(SECRETS, name, namespace="kube-system")
            await opened.api.delete(SECRETS, name, namespace="kube-system", uid=found["metadata"]["uid"])

    async def test_it_stops_the_step(self, opened, migration):
        with pytest.raises(OperatorActionNeeded, match="bare-pods"):
            await restore(opened, migration)

    async def test_pods_that_people_made_anew_by_hand_are_enough(self, opened, migration):
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "debug-shell", "namespace": "shop"},
            "spec": {"containers": [{"name": "c", "image": "busybox"}], "terminationGracePeriodSeconds": 0},
        }
        await opened.api.create(PODS, body, namespace="shop")

        assert await restore(opened, migration) == 0
        assert await debts(opened, migration) == {}


async def test_pods_that_are_in_no_backup_are_named(opened, migration):
    await change_migration(
        opened.api, migration.id, lambda found: found.model_copy(update={"bare_pods": {"shop/lost": "uid"}})
    )

    with pytest.raises(OperatorActionNeeded, match=r"pod shop/lost was taken down and is in no backup"):
        await restore(opened, migration)


async def test_a_pod_that_is_still_what_it_was_stays_owed_for_a_drain_may_yet_take_it(opened, migration):
    await remember(opened, migration)

    await restore(opened, migration)

    assert "shop/debug-shell" in await debts(opened, migration)


async def test_a_pod_that_cannot_be_made_keeps_no_other_away(opened, migration):
    await remember(opened, migration)
    debug_shell = await opened.api.get(PODS, "debug-shell", namespace="shop")
    await opened.api.delete(PODS, "debug-shell", namespace="shop", uid=debug_shell["metadata"]["uid"], grace_seconds=0)
    await change_migration(
        opened.api,
        migration.id,
        lambda found: found.model_copy(update={"bare_pods": {"aaa/lost": "uid", **found.bare_pods}}),
    )

    with pytest.raises(OperatorActionNeeded, match="pod aaa/lost"):
        await restore(opened, migration)

    assert await opened.api.find(PODS, "debug-shell", namespace="shop") is not None
    assert await debts(opened, migration) == {"aaa/lost": "uid"}
