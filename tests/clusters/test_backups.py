import base64
import itertools
import os

import pytest

from clusters.backups import CHUNK_BYTES, load_backup, portable, store_backup
from clusters.kinds import CONFIG_MAPS, SECRETS
from clusters.steps.addon_inventory import calico_objects
from migration.errors import OperatorActionNeeded
from tests.programs import find_kubectl
from tests.running_lab import Kubectl

numbers = itertools.count(1)


@pytest.fixture
def migration_id():
    return f"t{next(numbers)}"


def config_map(name, **data):
    metadata = {"name": name, "namespace": "shop", "labels": {"made-by": "a-test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def store(api, objects, migration_id):
    return store_backup(api, objects, migration_id=migration_id, name="things")


async def secret(api, name):
    return await api.get(SECRETS, name, namespace="kube-system")


async def test_what_was_stored_comes_back(api, migration_id):
    objects = [config_map("a", key="ä\n"), config_map("b")]

    backup = await store(api, objects, migration_id)

    assert await load_backup(api, backup) == objects
    assert (backup.objects, len(backup.secrets)) == (2, 1)
    labels = (await secret(api, backup.secrets[0]))["metadata"]["labels"]
    assert labels["cni-migration/id"] == migration_id


async def test_an_empty_backup_is_one(api, migration_id):
    assert await load_backup(api, await store(api, [], migration_id)) == []


async def test_a_backup_larger_than_a_secret_is_stored_in_several(api, migration_id):
    noise = base64.b64encode(os.urandom(CHUNK_BYTES + 400_000)).decode()
    objects = [config_map("a", key=noise)]

    backup = await store(api, objects, migration_id)

    assert len(backup.secrets) == 2
    assert await load_backup(api, backup) == objects
    sizes = [len(base64.b64decode((await secret(api, name))["data"]["list"])) for name in backup.secrets]
    assert max(sizes) <= CHUNK_BYTES


async def test_storing_the_same_again_is_a_no_op(api, shared, migration_id):
    first = await store(api, [config_map("a")], migration_id)
    before = await secret(api, first.secrets[0])

    second = await store(api, [config_map("a")], migration_id)

    assert second == first
    assert await secret(api, first.secrets[0]) == before


async def test_a_newer_backup_leaves_the_older_one_readable(api, migration_id):
    first = await store(api, [config_map("a")], migration_id)

    await store(api, [config_map("a"), config_map("b")], migration_id)

    assert await load_backup(api, first) == [config_map("a")]


@pytest.mark.parametrize("trouble", ["timeout-after", "reset"])
async def test_a_lost_answer_leaves_the_backup_whole(api, shared, migration_id, trouble, monkeypatch):
    monkeypatch.setattr("clusters.api.REQUEST_SECONDS", 0.3)
    shared.fault(trouble, method="POST", path="/secrets$")

    backup = await store(api, [config_map("a")], migration_id)

    assert await load_backup(api, backup) == [config_map("a")]


TAMPERED = {
    "other content": base64.b64encode(b"not what was stored").decode(),
    "empty": "",
    "cut off": None,
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_a_tampered_backup_is_not_believed(api, migration_id, how):
    backup = await store(api, [config_map("a")], migration_id)
    name = backup.secrets[0]
    data = TAMPERED[how]
    if data is None:
        packed = base64.b64decode((await secret(api, name))["data"]["list"])
        data = base64.b64encode(packed[:-6]).decode()
    await api.patch(SECRETS, name, {"data": {"list": data}}, namespace="kube-system")

    with pytest.raises(OperatorActionNeeded, match=rf"backup 'things'.*{name}.*checksum"):
        await load_backup(api, backup)


async def test_a_well_formed_backup_of_something_else_is_not_believed(api, migration_id):
    backup = await store(api, [config_map("a")], migration_id)
    other = await store(api, [config_map("b")], migration_id)

    with pytest.raises(OperatorActionNeeded, match="checksum"):
        await load_backup(api, backup.model_copy(update={"secrets": other.secrets}))


async def test_a_backup_with_a_missing_secret_is_not_believed(api, migration_id):
    backup = await store(api, [config_map("a")], migration_id)
    found = await secret(api, backup.secrets[0])
    await api.delete(SECRETS, backup.secrets[0], namespace="kube-system", uid=found["metadata"]["uid"])

    with pytest.raises(OperatorActionNeeded, match="checksum"):
        await load_backup(api, backup)


async def test_a_damaged_secret_is_mended_when_the_same_is_stored_again(api, migration_id):
    backup = await store(api, [config_map("a")], migration_id)
    await api.patch(SECRETS, backup.secrets[0], {"data": {"list": ""}}, namespace="kube-system")

    await store(api, [config_map("a")], migration_id)

    assert await load_backup(api, backup) == [config_map("a")]


def test_a_portable_object_has_nothing_of_the_server():
    found = {
        "metadata": {
            "name": "a",
            "namespace": "shop",
            "labels": {"a": "b"},
            "annotations": {"c": "d"},
            "finalizers": ["keep.example.test/it"],
            "uid": "5a",
            "resourceVersion": "7",
            "creationTimestamp": "2026-08-21T08:00:00Z",
            "deletionTimestamp": "2026-08-21T09:00:00Z",
            "deletionGracePeriodSeconds": 0,
            "generation": 3,
            "managedFields": [{}],
            "selfLink": "/x",
        },
        "spec": {"x": 1},
        "status": {"y": 2},
    }

    assert portable(found, api_version="v1", kind="Thing") == {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {
            "name": "a",
            "namespace": "shop",
            "labels": {"a": "b"},
            "annotations": {"c": "d"},
            "finalizers": ["keep.example.test/it"],
        },
        "spec": {"x": 1},
    }


@pytest.mark.kubectl
async def test_kubectl_alone_restores_a_backup(api, shared, migration_id, tmp_path):
    noise = base64.b64encode(os.urandom(300_000)).decode()
    objects = [config_map(f"restored-{number}", key=f"{number}{noise}") for number in range(4)]
    calico = await calico_objects(api)
    assert calico
    backup = await store(api, [*objects, *calico], migration_id)
    assert len(backup.secrets) == 2
    binary = find_kubectl()
    assert binary is not None
    kubectl = Kubectl(binary, shared.kubeconfig, tmp_path)

    kubectl.shell(
        f"for secret in {' '.join(backup.secrets)}; do "
        "kubectl -n kube-system get secret $secret -o jsonpath='{.data.list}' | base64 -d; "
        f"done | gunzip > {tmp_path}/backup.json; kubectl apply --server-side -f {tmp_path}/backup.json"
    )

    for expected in objects:
        found = await api.get(CONFIG_MAPS, expected["metadata"]["name"], namespace="shop")
        assert found["data"] == expected["data"]
    assert await calico_objects(api) == calico
