"""What a step changes is kept as evidence beside the journal, whatever happens to the step, and never harms it."""

import json

import pytest

from clusters import evidence as evidence_module
from clusters.evidence import EVIDENCE_LABEL, read_documents, store_document
from clusters.kinds import CLUSTERS, CONFIG_MAPS, NODES, PODS, SECRETS
from clusters.recording import Asked, ChangeRecorder
from clusters.seed import open_cluster
from migration.changes import RecordedChange
from migration.errors import Conflict, NotFound, Throttled

SECRETS_PATH = "/namespaces/kube-system/secrets"


@pytest.fixture
def recorder(request):
    """The recorder of a migration that no other test has."""
    return ChangeRecorder(f"20261123020000-{abs(hash(request.node.name)):x}"[:40], step="a step", run="run-1")


async def changes_of(api, recorder):
    documents = await read_documents(api, recorder.migration_id)
    assert [document.damage for document in documents] == [""] * len(documents)
    return [RecordedChange.model_validate(one) for document in documents for one in document.content["changes"]]


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_a_change_is_kept_with_what_was_there_before_and_after(api, shared, recorder):
    async with open_cluster(shared.ref, shared.told.append, recorder=recorder) as opened:
        await opened.api.create(CONFIG_MAPS, config_map("kept", colour="red"), namespace="default")
        found = await opened.api.get(CONFIG_MAPS, "kept", namespace="default")
        await opened.api.patch(CONFIG_MAPS, "kept", {"data": {"colour": "blue"}}, namespace="default")
        await opened.api.delete(CONFIG_MAPS, "kept", namespace="default", uid=found["metadata"]["uid"])

    created, patched, deleted = await changes_of(api, recorder)
    assert [(one.op, one.path, one.before, one.after) for one in patched.differences] == [
        ("replace", "/data/colour", "red", "blue")
    ]
    assert patched.before_version == found["metadata"]["resourceVersion"] != patched.after_version
    assert created.differences[0].after["data"] == {"colour": "red"}
    assert deleted.differences[0].before["data"] == {"colour": "blue"}
    assert {one.uid for one in (created, patched, deleted)} == {found["metadata"]["uid"]}
    assert {one.place for one in (created, patched, deleted)} == {"configmaps default/kept"}


async def test_a_listed_object_is_known_before_it_is_patched(api, shared, recorder):
    async with open_cluster(shared.ref, shared.told.append, recorder=recorder) as opened:
        node = (await opened.api.list(NODES))[0]["metadata"]["name"]
        await opened.api.patch(NODES, node, {"spec": {"unschedulable": True}})
        await opened.api.patch(NODES, node, {"spec": {"unschedulable": None}})

    # Kubernetes taints a cordoned node by itself, sooner or later.
    asked = [
        [(one.op, one.path) for one in change.differences if one.was_asked]
        for change in await changes_of(api, recorder)
    ]
    assert asked == [[("add", "/spec/unschedulable")], [("remove", "/spec/unschedulable")]]


async def test_of_a_secret_no_value_is_kept(api, shared, recorder):
    body = {"metadata": {"name": "confidential"}, "stringData": {"password": "hunter2-hunter2"}}
    async with open_cluster(shared.ref, shared.told.append, recorder=recorder) as opened:
        made = await opened.api.create(SECRETS, body, namespace="default")
        await opened.api.delete(SECRETS, "confidential", namespace="default", uid=made["metadata"]["uid"])

    kept = json.dumps([change.model_dump(mode="json") for change in await changes_of(api, recorder)])
    assert "sha256:" in kept
    assert "hunter2" not in kept
    assert "aHVudGVyMi1odW50ZXIy" not in kept


async def test_what_a_failed_step_did_is_kept(api, shared, recorder):
    async def step():
        async with open_cluster(shared.ref, shared.told.append, recorder=recorder) as opened:
            await opened.api.create(CONFIG_MAPS, config_map("left"), namespace="default")
            await opened.api.patch(CONFIG_MAPS, "nosuch", {"data": {}}, namespace="default")

    with pytest.raises(NotFound):
        await step()

    done, refused = await changes_of(api, recorder)
    assert (done.name, done.outcome) == ("left", "done")
    assert (refused.name, refused.outcome, refused.differences) == ("nosuch", "refused", ())


async def test_a_change_of_the_cluster_is_written_down_before_it_is_sent(api, shared, recorder):
    async with open_cluster(shared.ref, shared.told.append, recorder=recorder):
        async with recorder.changing(Asked(where="seed lab", verb="patch", kind=CLUSTERS, name=shared.name)):
            announced = await changes_of(api, recorder)
        assert [(one.kind, one.name, one.outcome) for one in announced] == [
            ("clusters.kubermatic.k8c.io", shared.name, "asked")
        ]

    assert [one.outcome for one in await changes_of(api, recorder)] == ["done"]


async def test_a_long_step_is_kept_on_the_way(api, shared, recorder, monkeypatch):
    monkeypatch.setattr(evidence_module, "FLUSH_SECONDS", (0.05,))
    async with open_cluster(shared.ref, shared.told.append, recorder=recorder) as opened:
        await opened.api.create(CONFIG_MAPS, config_map("on-the-way"), namespace="default")
        for _ in range(100):
            if await changes_of(api, recorder):
                break
        else:
            pytest.fail("nothing was kept while the step went on")


async def test_evidence_that_is_refused_fails_no_step(api, shared, recorder):
    shared.fault("403", method="POST", path=SECRETS_PATH, times=None)
    async with open_cluster(shared.ref, shared.told.append, recorder=recorder) as opened:
        await opened.api.create(CONFIG_MAPS, config_map("unrecorded"), namespace="default")

    assert await api.find(CONFIG_MAPS, "unrecorded", namespace="default")
    assert shared.was_told("the record of 1 changes could not be kept")
    assert not await store_document(api, recorder.migration_id, "report", {}, shared.told.append)


async def test_the_project_s_own_bookkeeping_is_no_change(api, shared, recorder):
    own = {"metadata": {"name": "cni-migration-x-backup-0"}}
    async with open_cluster(shared.ref, shared.told.append, recorder=recorder) as opened:
        made = await opened.api.create(SECRETS, own, namespace="kube-system")
        await opened.api.delete(SECRETS, own["metadata"]["name"], namespace="kube-system", uid=made["metadata"]["uid"])

    assert await read_documents(api, recorder.migration_id) == ()


async def test_a_step_that_changes_nothing_writes_nothing(api, shared, recorder):
    async with open_cluster(shared.ref, shared.told.append, recorder=recorder) as opened:
        await opened.api.list(PODS)

    assert await api.list(SECRETS, namespace="kube-system", labels=f"{EVIDENCE_LABEL}={recorder.migration_id}") == []


async def test_a_document_longer_than_a_secret_comes_back_whole(api, shared, recorder, monkeypatch):
    monkeypatch.setattr(evidence_module, "CHUNK_BYTES", 50)
    content = {"numbers": [str(number * 7919) for number in range(300)]}

    assert await store_document(api, recorder.migration_id, "report", content, shared.told.append)

    assert [document.content for document in await read_documents(api, recorder.migration_id)] == [content]


async def test_a_damaged_document_hides_no_other(api, shared, recorder):
    for part in ("start", "report"):
        assert await store_document(api, recorder.migration_id, part, {"part": part}, shared.told.append)
    found = await api.list(SECRETS, namespace="kube-system", labels=f"{EVIDENCE_LABEL}={recorder.migration_id}")
    start = next(item["metadata"]["name"] for item in found if "-start-" in item["metadata"]["name"])
    await api.patch(SECRETS, start, {"data": {"list": "bm90IGd6aXA="}}, namespace="kube-system")

    damaged, whole = await read_documents(api, recorder.migration_id)

    assert "can't be read" in damaged.damage
    assert whole.content == {"part": "report"}


async def test_what_is_asked_again_until_it_is_granted_is_no_change(api, shared, recorder):
    asked = Asked(where="user cluster a", verb="evict", kind=PODS, namespace="shop", name="a", uid="1")
    for refused in (Throttled("a budget"), Conflict("somebody else")):
        with pytest.raises(type(refused)):
            async with recorder.changing(asked):
                raise refused

    assert recorder.changes == []
