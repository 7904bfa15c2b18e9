"""Deployments and ReplicaSets against the in-process API server."""

from __future__ import annotations

import time

from lab.objects import annotations_of, controller_of, is_being_deleted, labels_of, name_of, uid_of
from lab.resources import DEPLOYMENTS, PODS, REPLICA_SETS

RESTARTED = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}


def is_rolled_out(cluster, name: str = "web") -> bool:
    """The conditions of `kubectl rollout status` for a Deployment."""
    found = cluster.get(DEPLOYMENTS, name)
    status, wanted = found["status"], found["spec"]["replicas"]
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


async def rolled_out(cluster, name: str = "web") -> None:
    await cluster.eventually("rolled out", lambda: cluster.mirror.get(DEPLOYMENTS, name, namespace="default"))
    await cluster.eventually("rolled out", lambda: is_rolled_out(cluster, name))


async def test_pods_are_named_owned_and_labelled_by_their_replica_set(cluster):
    await cluster.create_deployment(replicas=3)
    await rolled_out(cluster)

    (replica_set,) = cluster.mirror.all(REPLICA_SETS)
    template_hash = labels_of(replica_set)["pod-template-hash"]
    assert name_of(replica_set) == f"web-{template_hash}"
    assert len(cluster.pods()) == 3
    for pod in cluster.pods():
        assert name_of(pod).startswith(f"{name_of(replica_set)}-")
        assert len(name_of(pod)) == len(name_of(replica_set)) + 6
        assert labels_of(pod)["pod-template-hash"] == template_hash
        assert (controller_of(pod) or {})["uid"] == uid_of(replica_set)


async def test_the_status_and_revision_tell_of_a_finished_rollout(cluster):
    await cluster.create_deployment(replicas=2)
    await rolled_out(cluster)

    await cluster.eventually(
        "progress condition",
        lambda: (
            {(c["type"], c["reason"]) for c in cluster.status(DEPLOYMENTS, "web")["conditions"]}
            == {("Available", "MinimumReplicasAvailable"), ("Progressing", "NewReplicaSetAvailable")}
        ),
    )
    found = cluster.get(DEPLOYMENTS, "web")
    assert annotations_of(found)["deployment.kubernetes.io/revision"] == "1"
    assert "unavailableReplicas" not in found["status"]


async def test_a_restart_replaces_every_pod_and_raises_the_revision(cluster):
    await cluster.create_deployment(replicas=4)
    await rolled_out(cluster)
    before = {uid_of(pod) for pod in cluster.pods()}

    await cluster.patch(DEPLOYMENTS, "web", RESTARTED)
    await cluster.eventually(
        "revision 2",
        lambda: annotations_of(cluster.get(DEPLOYMENTS, "web"))["deployment.kubernetes.io/revision"] == "2",
    )
    await rolled_out(cluster)
    await cluster.eventually("old pods gone", lambda: not before & {uid_of(pod) for pod in cluster.pods()})

    assert len(cluster.mirror.all(REPLICA_SETS)) == 2
    assert len(cluster.pods()) == 4


async def test_a_rolling_update_keeps_the_promised_availability(cluster):
    await cluster.create_deployment(
        replicas=4, strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    )
    await rolled_out(cluster)
    seen = []
    cluster.mirror.subscribe(
        PODS,
        lambda _: seen.append((len(cluster.running_pods()), sum(not is_being_deleted(p) for p in cluster.pods()))),
    )
    seen.clear()

    await cluster.patch(DEPLOYMENTS, "web", RESTARTED)
    await cluster.eventually("revision 2", lambda: len(cluster.mirror.all(REPLICA_SETS)) == 2)
    await rolled_out(cluster)

    assert min(ready for ready, _ in seen) >= 4
    assert max(total for _, total in seen) <= 5


async def test_an_unready_new_template_stops_the_rollout_within_its_bounds(cluster):
    await cluster.create_deployment(replicas=4)
    await rolled_out(cluster)
    before = {uid_of(pod) for pod in cluster.pods()}
    cluster.nodes.holds_start = lambda pod: uid_of(pod) not in before

    await cluster.patch(DEPLOYMENTS, "web", RESTARTED)
    await cluster.eventually("new pods", lambda: len(cluster.pods()) == 5)
    await cluster.settled()

    assert len(cluster.running_pods()) == 3, "25% of 4 may be unavailable"
    assert len(cluster.pods()) == 5, "25% of 4 may be surplus"
    assert cluster.status(DEPLOYMENTS, "web")["updatedReplicas"] == 2
    assert cluster.status(DEPLOYMENTS, "web")["unavailableReplicas"] == 2


async def test_going_back_to_an_old_template_reuses_its_replica_set(cluster):
    await cluster.create_deployment(replicas=1)
    await rolled_out(cluster)
    (first,) = cluster.mirror.all(REPLICA_SETS)
    await cluster.patch(DEPLOYMENTS, "web", RESTARTED)
    await cluster.eventually("second", lambda: len(cluster.mirror.all(REPLICA_SETS)) == 2)
    await rolled_out(cluster)

    back = {"spec": {"template": {"metadata": {"annotations": None}}}}
    await cluster.patch(DEPLOYMENTS, "web", back)
    await cluster.eventually(
        "first is the newest again",
        lambda: annotations_of(cluster.get(REPLICA_SETS, name_of(first)))["deployment.kubernetes.io/revision"] == "3",
    )
    await rolled_out(cluster)

    assert len(cluster.mirror.all(REPLICA_SETS)) == 2
    assert cluster.get(REPLICA_SETS, name_of(first))["spec"]["replicas"] == 1


async def test_recreate_starts_new_pods_only_after_the_old_ones_are_gone(cluster):
    await cluster.create_deployment(replicas=2, strategy={"type": "Recreate"})
    await rolled_out(cluster)
    old = {uid_of(pod) for pod in cluster.pods()}
    cluster.nodes.holds_end = lambda _: True

    await cluster.patch(DEPLOYMENTS, "web", RESTARTED)
    await cluster.eventually("old pods terminating", lambda: all(map(is_being_deleted, cluster.pods())))
    await cluster.settled()
    assert {uid_of(pod) for pod in cluster.pods()} == old

    cluster.nodes.holds_end = lambda _: False
    cluster.nodes.look_again()
    await cluster.eventually("new pods", lambda: len(cluster.running_pods()) == 2)
    assert not old & {uid_of(pod) for pod in cluster.pods()}


async def test_scaling_down_gives_up_pods_that_are_not_ready_first(cluster):
    await cluster.create_deployment(replicas=2)
    await rolled_out(cluster)
    ready = {uid_of(pod) for pod in cluster.pods()}
    cluster.nodes.holds_start = lambda pod: uid_of(pod) not in ready
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 4}})
    await cluster.eventually("four pods", lambda: len(cluster.pods()) == 4)

    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 2}})
    await cluster.eventually("two pods", lambda: len(cluster.pods()) == 2)

    assert {uid_of(pod) for pod in cluster.pods()} == ready


async def test_a_terminating_pod_is_replaced_at_once(cluster):
    await cluster.create_deployment(replicas=1)
    await rolled_out(cluster)
    (pod,) = cluster.pods()
    cluster.nodes.holds_end = lambda _: True

    await cluster.delete(PODS, name_of(pod))
    await cluster.eventually(
        "a replacement beside it",
        lambda: [uid_of(pod) for pod in cluster.pods() if not is_being_deleted(pod)] != [uid_of(pod)],
    )

    assert uid_of(pod) in {uid_of(found) for found in cluster.pods()}


async def test_old_replica_sets_beyond_the_history_limit_go(cluster):
    await cluster.create_deployment(replicas=1, revisionHistoryLimit=1)
    await rolled_out(cluster)
    for count in range(3):
        patch = {"spec": {"template": {"metadata": {"annotations": {"count": str(count)}}}}}
        await cluster.patch(DEPLOYMENTS, "web", patch)
        await rolled_out(cluster)
        revision = str(count + 2)
        await cluster.eventually(
            "next revision",
            lambda: annotations_of(cluster.get(DEPLOYMENTS, "web"))["deployment.kubernetes.io/revision"] == revision,  # noqa: B023
        )
        await rolled_out(cluster)

    await cluster.eventually("one old set left", lambda: len(cluster.mirror.all(REPLICA_SETS)) == 2)


async def test_a_paused_deployment_scales_but_does_not_roll(cluster):
    await cluster.create_deployment(replicas=1)
    await rolled_out(cluster)
    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"paused": True, "replicas": 2, **RESTARTED["spec"]}})

    await cluster.eventually("scaled", lambda: len(cluster.running_pods()) == 2)
    await cluster.settled()
    assert len(cluster.mirror.all(REPLICA_SETS)) == 1

    await cluster.patch(DEPLOYMENTS, "web", {"spec": {"paused": None}})
    await cluster.eventually("rolls", lambda: len(cluster.mirror.all(REPLICA_SETS)) == 2)
    await rolled_out(cluster)


async def test_a_replica_set_lets_go_of_a_relabelled_pod_and_takes_a_matching_one(cluster):
    await cluster.create_deployment(replicas=1)
    await rolled_out(cluster)
    (pod,) = cluster.pods()

    await cluster.patch(PODS, name_of(pod), {"metadata": {"labels": {"app": "debug"}}})
    await cluster.eventually("let go", lambda: controller_of(cluster.get(PODS, name_of(pod))) is None)
    await cluster.eventually("replaced", lambda: len(cluster.running_pods()) == 1)
    owners = []
    cluster.mirror.subscribe(PODS, lambda change: owners.append((uid_of(change.object), controller_of(change.object))))
    owners.clear()

    await cluster.patch(PODS, name_of(pod), {"metadata": {"labels": {"app": "web"}}})
    await cluster.eventually("adopted", lambda: any(uid == uid_of(pod) and owner for uid, owner in owners))
    await cluster.eventually("one too many deleted", lambda: len(cluster.running_pods()) == 1)


async def test_nothing_is_written_once_all_is_well(cluster):
    await cluster.create_deployment(replicas=3)
    await rolled_out(cluster)
    await cluster.settled()
    _, before = await cluster.client.list(PODS)

    cluster.nodes.look_again()
    for controller in cluster.controllers:
        controller.enqueue("default/web")
    await cluster.settled()

    _, after = await cluster.client.list(PODS)
    assert before == after


async def test_a_thousand_deleted_pods_cost_each_replica_set_a_few_reconciles(quick_cluster):
    cluster = quick_cluster
    apps = [f"app-{number}" for number in range(50)]
    for app in apps:
        await cluster.create_deployment(app, replicas=20)
    await cluster.eventually("thousand pods", lambda: sum(len(cluster.running_pods(a)) for a in apps) == 1000)
    await cluster.settled()
    doomed = cluster.mirror.all(PODS)
    reconciles = []
    replica_sets = next(c for c in cluster.controllers if c.name == "replicaset")
    original = replica_sets.reconcile

    async def counted(key: str):
        reconciles.append(key)
        return await original(key)

    replica_sets.reconcile = counted
    started = time.monotonic()
    for pod in doomed:
        await cluster.delete(PODS, name_of(pod))
    gone = {uid_of(pod) for pod in doomed}
    await cluster.eventually(
        "all replaced",
        lambda: (
            sum(p["status"]["phase"] == "Running" and uid_of(p) not in gone for p in cluster.mirror.all(PODS)) == 1000
        ),
    )
    took = time.monotonic() - started

    assert len(reconciles) < 50 * 20, f"{len(reconciles)} reconciles"
    assert took < 10, f"took {took:.1f} s"
    print(f"1,000 pods replaced in {took:.2f} s with {len(reconciles)} ReplicaSet reconciles")  # noqa: T201
