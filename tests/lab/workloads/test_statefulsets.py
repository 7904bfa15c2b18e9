"""StatefulSets against the in-process API server."""

from __future__ import annotations

from lab.objects import is_being_deleted, labels_of, name_of, uid_of
from lab.resources import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS

RESTARTED = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}


async def rolled_out(cluster, name: str = "db") -> None:
    """Wait for what `kubectl rollout status` waits for."""

    def is_rolled_out() -> bool:
        found = cluster.mirror.get(STATEFUL_SETS, name, namespace="default")
        status = (found or {}).get("status") or {}
        return bool(
            found
            and status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("readyReplicas", 0) == found["spec"]["replicas"]
            and status.get("updateRevision") == status.get("currentRevision")
            and status.get("updatedReplicas", 0) == found["spec"]["replicas"]
        )

    await cluster.eventually("rolled out", is_rolled_out)


def names(pods) -> list[str]:
    return [name_of(pod) for pod in pods]


async def test_pods_start_one_after_the_other(cluster):
    cluster.nodes.holds_start = lambda pod: name_of(pod) == "db-1"
    await cluster.create_stateful_set(replicas=3)
    await cluster.eventually("first two", lambda: names(cluster.pods("db")) == ["db-0", "db-1"])
    await cluster.settled()
    assert names(cluster.pods("db")) == ["db-0", "db-1"]

    cluster.nodes.holds_start = lambda _: False
    cluster.nodes.look_again()
    await rolled_out(cluster)
    assert names(cluster.pods("db")) == ["db-0", "db-1", "db-2"]


async def test_parallel_pods_start_together(cluster):
    cluster.nodes.holds_start = lambda _: True
    await cluster.create_stateful_set(replicas=3, podManagementPolicy="Parallel")
    await cluster.eventually("all three", lambda: len(cluster.pods("db")) == 3)


async def test_pods_carry_their_name_index_and_revision(cluster):
    await cluster.create_stateful_set(replicas=1)
    await rolled_out(cluster)

    (pod,) = cluster.pods("db")
    labels = labels_of(pod)
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-0"
    assert labels["apps.kubernetes.io/pod-index"] == "0"
    assert labels["controller-revision-hash"] == cluster.status(STATEFUL_SETS, "db")["updateRevision"]
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "db")


async def test_a_deleted_pod_comes_back_under_its_name_once_it_is_gone(cluster):
    await cluster.create_stateful_set(replicas=2)
    await rolled_out(cluster)
    old = uid_of(cluster.get(PODS, "db-0"))
    cluster.nodes.holds_end = lambda _: True

    await cluster.delete(PODS, "db-0")
    await cluster.settled()
    assert uid_of(cluster.get(PODS, "db-0")) == old

    cluster.nodes.holds_end = lambda _: False
    cluster.nodes.look_again()
    await cluster.eventually(
        "replaced",
        lambda: (
            [uid_of(p) for p in cluster.running_pods("db")].count(old) == 0 and len(cluster.running_pods("db")) == 2
        ),
    )


async def test_an_update_goes_from_the_highest_ordinal_down(cluster):
    await cluster.create_stateful_set(replicas=3)
    await rolled_out(cluster)
    deleted = []
    cluster.mirror.subscribe(PODS, lambda c: deleted.append(name_of(c.object)) if c.type == "DELETED" else None)

    first = cluster.status(STATEFUL_SETS, "db")["updateRevision"]
    await cluster.patch(STATEFUL_SETS, "db", RESTARTED)
    await cluster.eventually("observed", lambda: cluster.status(STATEFUL_SETS, "db")["updateRevision"] != first)
    await rolled_out(cluster)

    assert deleted == ["db-2", "db-1", "db-0"]


async def test_an_update_waits_for_each_pod(cluster):
    await cluster.create_stateful_set(replicas=3)
    await rolled_out(cluster)
    before = {uid_of(pod) for pod in cluster.pods("db")}
    cluster.nodes.holds_start = lambda pod: uid_of(pod) not in before

    await cluster.patch(STATEFUL_SETS, "db", RESTARTED)
    await cluster.eventually(
        "highest replaced",
        lambda: (
            uid_of(cluster.mirror.get(PODS, "db-2", namespace="default") or {"metadata": {"uid": ""}})
            not in {"", *before}
        ),
    )
    await cluster.settled()

    assert {uid_of(cluster.get(PODS, name)) for name in ("db-0", "db-1")} <= before
    status = cluster.status(STATEFUL_SETS, "db")
    assert status["updatedReplicas"] == 1
    assert status["currentRevision"] != status["updateRevision"]


async def test_a_partition_leaves_lower_ordinals_on_the_old_template_even_when_they_are_replaced(cluster):
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    await cluster.create_stateful_set(replicas=2, updateStrategy=strategy)
    await rolled_out(cluster)
    await cluster.patch(STATEFUL_SETS, "db", RESTARTED)
    await cluster.eventually("one updated", lambda: cluster.status(STATEFUL_SETS, "db").get("updatedReplicas") == 1)
    old = cluster.get(PODS, "db-0")

    await cluster.delete(PODS, "db-0")
    await cluster.eventually(
        "replaced", lambda: len(cluster.running_pods("db")) == 2 and uid_of(cluster.get(PODS, "db-0")) != uid_of(old)
    )

    revisions = [labels_of(cluster.get(PODS, name))["controller-revision-hash"] for name in ("db-0", "db-1")]
    status = cluster.status(STATEFUL_SETS, "db")
    assert revisions == [status["currentRevision"], status["updateRevision"]]
    assert "annotations" not in cluster.get(PODS, "db-0")["metadata"]


async def test_scaling_down_removes_the_highest_first(cluster):
    await cluster.create_stateful_set(replicas=3)
    await rolled_out(cluster)
    cluster.nodes.holds_end = lambda _: True
    await cluster.patch(STATEFUL_SETS, "db", {"spec": {"replicas": 1}})
    await cluster.eventually("highest goes", lambda: is_being_deleted(cluster.get(PODS, "db-2")))
    await cluster.settled()
    assert not is_being_deleted(cluster.get(PODS, "db-1"))

    cluster.nodes.holds_end = lambda _: False
    cluster.nodes.look_again()
    await cluster.eventually("one left", lambda: names(cluster.pods("db")) == ["db-0"])


async def test_claims_are_made_per_pod_and_outlive_it(cluster):
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await cluster.create_stateful_set(replicas=1, volumeClaimTemplates=[claim])
    await rolled_out(cluster)

    (pod,) = cluster.pods("db")
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == "data-db-0"
    await cluster.delete(PODS, "db-0")
    await cluster.eventually(
        "replaced", lambda: [uid_of(p) for p in cluster.running_pods("db")] not in ([], [uid_of(pod)])
    )
    claims, _ = await cluster.client.list(PERSISTENT_VOLUME_CLAIMS)
    assert names(claims) == ["data-db-0"]
