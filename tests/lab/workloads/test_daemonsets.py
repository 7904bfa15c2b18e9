"""DaemonSets against the in-process API server."""

from __future__ import annotations

from lab.objects import is_being_deleted, labels_of, name_of, uid_of
from lab.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from tests.lab.workloads.conftest import template

RESTARTED = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
NO_SCHEDULE = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


def nodes_of(pods) -> list[str]:
    return sorted(pod["spec"]["nodeName"] for pod in pods)


async def rolled_out(cluster, nodes: int, name: str = "agent") -> None:
    """Wait for what `kubectl rollout status` waits for."""

    def is_rolled_out() -> bool:
        found = cluster.mirror.get(DAEMON_SETS, name, namespace="default")
        status = (found or {}).get("status") or {}
        return bool(
            found
            and status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("desiredNumberScheduled") == nodes
            and status.get("updatedNumberScheduled", 0) == nodes
            and status.get("numberAvailable", 0) == nodes
        )

    await cluster.eventually("rolled out", is_rolled_out)


async def with_nodes(cluster, count: int) -> None:
    for number in range(count):
        await cluster.create_node(f"node-{number}")


async def test_every_node_gets_one_pod_and_so_does_a_new_one(cluster):
    await with_nodes(cluster, 3)
    await cluster.create_daemon_set()
    await rolled_out(cluster, 3)
    assert nodes_of(cluster.pods("agent")) == ["node-0", "node-1", "node-2"]

    await cluster.create_node("node-3")
    await rolled_out(cluster, 4)
    assert cluster.status(DAEMON_SETS, "agent") == {
        "currentNumberScheduled": 4,
        "desiredNumberScheduled": 4,
        "numberMisscheduled": 0,
        "numberReady": 4,
        "numberAvailable": 4,
        "updatedNumberScheduled": 4,
        "observedGeneration": 1,
    }


async def test_node_selector_and_taints_keep_pods_away_until_they_change(cluster):
    await cluster.create_node("plain")
    await cluster.create_node("tainted", labels={"role": "db"}, taints=[NO_SCHEDULE])
    await cluster.create_daemon_set("everywhere")
    await cluster.create_daemon_set("db", template=template("db", nodeSelector={"role": "db"}))
    await rolled_out(cluster, 1, "everywhere")
    await rolled_out(cluster, 0, "db")
    assert nodes_of(cluster.pods("everywhere")) == ["plain"]

    await cluster.patch(NODES, "tainted", {"spec": {"taints": None}})
    await rolled_out(cluster, 2, "everywhere")
    await rolled_out(cluster, 1, "db")

    await cluster.patch(NODES, "tainted", {"metadata": {"labels": {"role": None}}})
    await cluster.eventually("no longer selected", lambda: not cluster.pods("db"))


async def test_daemon_pods_stay_on_a_node_that_is_tainted_later_unless_it_evicts(cluster):
    await cluster.create_node("node")
    await cluster.create_daemon_set()
    await rolled_out(cluster, 1)

    await cluster.patch(NODES, "node", {"spec": {"taints": [NO_SCHEDULE]}})
    await cluster.eventually("misscheduled", lambda: cluster.status(DAEMON_SETS, "agent")["numberMisscheduled"] == 1)
    assert len(cluster.running_pods("agent")) == 1

    await cluster.patch(NODES, "node", {"spec": {"taints": [{**NO_SCHEDULE, "effect": "NoExecute"}]}})
    await cluster.eventually("evicted", lambda: not cluster.pods("agent"))


async def test_a_cordoned_node_keeps_and_gets_daemon_pods(cluster):
    await with_nodes(cluster, 1)
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    await cluster.patch(NODES, "node-0", {"spec": {"unschedulable": True, "taints": [taint]}})

    await cluster.create_daemon_set()
    await rolled_out(cluster, 1)

    keys = {toleration["key"] for toleration in cluster.pods("agent")[0]["spec"]["tolerations"]}
    assert "node.kubernetes.io/unschedulable" in keys
    assert "node.kubernetes.io/network-unavailable" not in keys


async def test_a_node_gets_its_pod_when_it_becomes_ready_without_ever_being_tainted(cluster):
    await cluster.create_daemon_set()
    await cluster.client.create(NODES, {"metadata": {"name": "node"}, "spec": {}})
    await cluster.settled()
    assert not cluster.pods("agent")

    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    await cluster.client.patch(NODES, "node", {"status": status}, subresource="status")
    await rolled_out(cluster, 1)


async def test_only_host_network_pods_tolerate_a_missing_network(cluster):
    await with_nodes(cluster, 1)
    await cluster.create_daemon_set(template=template("agent", hostNetwork=True))
    await rolled_out(cluster, 1)

    keys = {toleration["key"] for toleration in cluster.pods("agent")[0]["spec"]["tolerations"]}
    assert "node.kubernetes.io/network-unavailable" in keys
    spec = cluster.get(DAEMON_SETS, "agent")["spec"]["template"]["spec"]
    assert "tolerations" not in spec, "the template is untouched"


async def test_a_rolling_update_takes_down_no_more_than_it_may(cluster):
    await with_nodes(cluster, 6)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "34%"}}
    await cluster.create_daemon_set(updateStrategy=strategy)
    await rolled_out(cluster, 6)
    before = {uid_of(pod) for pod in cluster.pods("agent")}
    running = []
    cluster.mirror.subscribe(PODS, lambda _: running.append(len(cluster.running_pods("agent"))))
    running.clear()

    await cluster.patch(DAEMON_SETS, "agent", RESTARTED)
    await cluster.eventually("new generation", lambda: len(cluster.mirror.all(CONTROLLER_REVISIONS)) == 2)
    await rolled_out(cluster, 6)

    assert min(running) >= 3, "34% of 6, rounded up, may be missing"
    assert not before & {uid_of(pod) for pod in cluster.pods("agent")}
    assert len({labels_of(pod)["controller-revision-hash"] for pod in cluster.pods("agent")}) == 1
    assert {labels_of(pod)["pod-template-generation"] for pod in cluster.pods("agent")} == {"2"}


async def test_an_update_stops_at_a_pod_that_does_not_become_ready(cluster):
    await with_nodes(cluster, 3)
    await cluster.create_daemon_set()
    await rolled_out(cluster, 3)
    before = {uid_of(pod) for pod in cluster.pods("agent")}
    cluster.nodes.holds_start = lambda pod: uid_of(pod) not in before

    await cluster.patch(DAEMON_SETS, "agent", RESTARTED)
    await cluster.eventually("one replaced", lambda: len(before & {uid_of(p) for p in cluster.pods("agent")}) == 2)
    await cluster.settled()

    assert len(cluster.running_pods("agent")) == 2
    status = cluster.status(DAEMON_SETS, "agent")
    assert (status["updatedNumberScheduled"], status["numberUnavailable"]) == (1, 1)


async def test_the_successor_waits_until_the_old_pod_has_left_the_node(cluster):
    await with_nodes(cluster, 1)
    await cluster.create_daemon_set()
    await rolled_out(cluster, 1)
    (pod,) = cluster.pods("agent")
    cluster.nodes.holds_end = lambda _: True

    await cluster.delete(PODS, name_of(pod))
    await cluster.eventually("terminating", lambda: is_being_deleted(cluster.pods("agent")[0]))
    await cluster.settled()
    assert len(cluster.pods("agent")) == 1

    cluster.nodes.holds_end = lambda _: False
    cluster.nodes.look_again()
    await cluster.eventually(
        "successor", lambda: [uid_of(p) for p in cluster.running_pods("agent")] not in ([], [uid_of(pod)])
    )


async def test_on_delete_replaces_only_what_is_deleted(cluster):
    await with_nodes(cluster, 2)
    await cluster.create_daemon_set(updateStrategy={"type": "OnDelete"})
    await cluster.eventually("two pods", lambda: len(cluster.running_pods("agent")) == 2)
    old, kept = cluster.pods("agent")

    await cluster.patch(DAEMON_SETS, "agent", RESTARTED)
    await cluster.settled()
    await cluster.delete(PODS, name_of(old))
    await cluster.eventually(
        "one updated", lambda: cluster.status(DAEMON_SETS, "agent").get("updatedNumberScheduled") == 1
    )

    assert uid_of(kept) in {uid_of(pod) for pod in cluster.pods("agent")}


async def test_a_failed_daemon_pod_is_replaced(cluster):
    await with_nodes(cluster, 1)
    await cluster.create_daemon_set()
    await rolled_out(cluster, 1)
    (pod,) = cluster.pods("agent")

    await cluster.nodes.set_phase(pod, "Failed")
    await cluster.eventually(
        "new pod", lambda: [uid_of(p) for p in cluster.running_pods("agent")] not in ([], [uid_of(pod)])
    )


async def test_going_back_to_an_old_template_makes_its_revision_the_newest(cluster):
    await with_nodes(cluster, 1)
    await cluster.create_daemon_set()
    await rolled_out(cluster, 1)
    await cluster.patch(DAEMON_SETS, "agent", RESTARTED)
    await cluster.eventually("second", lambda: len(cluster.mirror.all(CONTROLLER_REVISIONS)) == 2)
    await rolled_out(cluster, 1)

    await cluster.patch(DAEMON_SETS, "agent", {"spec": {"template": {"metadata": {"annotations": None}}}})
    await cluster.eventually(
        "first is third", lambda: sorted(r["revision"] for r in cluster.mirror.all(CONTROLLER_REVISIONS)) == [2, 3]
    )
    await rolled_out(cluster, 1)
