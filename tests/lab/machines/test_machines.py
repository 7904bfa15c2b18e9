"""machine-controller from outside: MachineDeployments in, Nodes out."""

from __future__ import annotations

from typing import Any

from lab.faults import PlatformFault
from lab.objects import Object, is_being_deleted, uid_of
from lab.resources import MACHINE_DEPLOYMENTS, MACHINE_SETS, MACHINES, NODES, POD_DISRUPTION_BUDGETS, PODS
from tests.lab.small_cluster import SmallCluster

SYSTEM = "kube-system"


async def deploy(cluster: SmallCluster, name: str = "md", *, replicas: int = 2, **spec: Any) -> Object:
    labels = {"md": name}
    provider = {"value": {"cloudProvider": "openstack", "operatingSystem": "ubuntu"}}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "metadata": {"labels": {"pool": name}, "annotations": {"team": "storage"}},
            "versions": {"kubelet": "1.34.9"},
            "providerSpec": provider,
        },
    }
    body = {
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }
    created: Object = await cluster.client.create(MACHINE_DEPLOYMENTS, body)
    return created


async def deployed(cluster: SmallCluster, name: str = "md", **spec: Any) -> None:
    await deploy(cluster, name, **spec)
    await cluster.until(lambda: is_complete(cluster, name), f"{name} complete")


async def change(cluster: SmallCluster, name: str = "md", **spec: Any) -> None:
    """Change the spec; returns once the controllers can know."""
    changed = await cluster.client.patch(MACHINE_DEPLOYMENTS, name, {"spec": spec}, namespace=SYSTEM)
    generation = changed["metadata"]["generation"]
    await cluster.until(lambda: deployment(cluster, name)["metadata"]["generation"] == generation)


async def force_restart(cluster: SmallCluster, name: str = "md") -> None:
    await change(cluster, name, template={"metadata": {"annotations": {"forceRestart": "1753000000000000000"}}})


def deployment(cluster: SmallCluster, name: str = "md") -> Object:
    return cluster.mirror.get(MACHINE_DEPLOYMENTS, name, namespace=SYSTEM) or {}


def status_of(cluster: SmallCluster, name: str = "md") -> Object:
    return deployment(cluster, name).get("status") or {}


def is_complete(cluster: SmallCluster, name: str = "md") -> bool:
    found = deployment(cluster, name)
    if not found:
        return False
    status, wanted = found.get("status") or {}, found["spec"]["replicas"]
    counts = {status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")}
    return status.get("observedGeneration", 0) >= found["metadata"]["generation"] and counts == {wanted}


def machines(cluster: SmallCluster) -> list[Object]:
    return cluster.mirror.all(MACHINES)


def nodes(cluster: SmallCluster) -> set[str]:
    return {node["metadata"]["name"] for node in cluster.mirror.all(NODES)}


def ready_nodes(cluster: SmallCluster) -> int:
    return sum(cluster.condition(NODES, name, "Ready").get("status") == "True" for name in nodes(cluster))


async def test_deployment_becomes_sets_machines_and_nodes(cluster: SmallCluster) -> None:
    await deployed(cluster)
    (machine_set,) = cluster.mirror.all(MACHINE_SETS)
    assert machine_set["metadata"]["annotations"]["machinedeployment.clusters.k8s.io/revision"] == "1"
    assert machine_set["metadata"]["annotations"]["machinedeployment.clusters.k8s.io/desired-replicas"] == "2"
    assert machine_set["metadata"]["annotations"]["machinedeployment.clusters.k8s.io/max-replicas"] == "3"
    value = machine_set["metadata"]["labels"]["machine-template-hash"]
    machine = machines(cluster)[0]
    assert machine["metadata"]["labels"] == {"md": "md", "machine-template-hash": value}
    assert machine["metadata"]["ownerReferences"][0]["uid"] == uid_of(machine_set)
    assert set(machine["metadata"]["finalizers"]) == {"machine-delete-finalizer", "machine-node-delete-finalizer"}
    node = cluster.mirror.get(NODES, machine["status"]["nodeRef"]["name"])
    assert node is not None
    assert node["metadata"]["labels"]["machine-controller/owned-by"] == uid_of(machine)
    assert node["metadata"]["labels"]["pool"] == "md"
    assert node["metadata"]["annotations"]["cluster.k8s.io/machine"] == f"{SYSTEM}/{machine['metadata']['name']}"
    assert node["metadata"]["annotations"]["team"] == "storage"
    assert node["spec"]["providerID"] == machine["spec"]["providerID"] == f"kubermatic://openstack/{uid_of(machine)}"
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.9"


async def test_counts_of_zero_are_left_out_of_the_status(cluster: SmallCluster) -> None:
    await deployed(cluster)
    assert status_of(cluster) == {
        "observedGeneration": 1,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    await change(cluster, replicas=0)
    await cluster.until(lambda: set(status_of(cluster)) == {"observedGeneration"})


async def test_node_of_a_new_machine_waits_for_its_cni(cluster: SmallCluster) -> None:
    cluster.network.not_ready_reason = lambda node: "cni plugin not initialized"  # type: ignore[method-assign]
    await deploy(cluster, replicas=1)
    await cluster.until(lambda: nodes(cluster))
    await cluster.until(lambda: status_of(cluster).get("unavailableReplicas") == 1)
    assert ready_nodes(cluster) == 0
    (node,) = cluster.mirror.all(NODES)
    assert any(taint["key"] == "node.kubernetes.io/not-ready" for taint in node["spec"]["taints"])


async def test_forced_restart_replaces_every_node(cluster: SmallCluster) -> None:
    await deployed(cluster, replicas=3)
    before = nodes(cluster)
    await force_restart(cluster)
    await cluster.until(lambda: is_complete(cluster) and len(nodes(cluster)) == 3 and not nodes(cluster) & before)
    assert cluster.network.forgotten
    assert set(cluster.network.forgotten) == before
    old, new = sorted(cluster.mirror.all(MACHINE_SETS), key=lambda found: found["spec"]["replicas"])
    assert (old["spec"]["replicas"], new["spec"]["replicas"]) == (0, 3)
    assert new["metadata"]["annotations"]["machinedeployment.clusters.k8s.io/revision"] == "2"


async def test_rollout_never_has_fewer_ready_nodes_than_wanted(cluster: SmallCluster) -> None:
    await deployed(cluster, replicas=2)
    seen: list[int] = []
    cluster.mirror.subscribe(NODES, lambda _: seen.append(ready_nodes(cluster)))
    seen.clear()
    await force_restart(cluster)
    await cluster.until(lambda: is_complete(cluster) and len(nodes(cluster)) == 2 and len(machines(cluster)) == 2)
    assert min(seen) >= 2


async def test_rollout_stalls_without_an_error_when_the_new_node_never_joins(cluster: SmallCluster) -> None:
    await deployed(cluster)
    cluster.faults.add(PlatformFault(trouble="node-never-joins", subject="md"))
    before = nodes(cluster)
    await force_restart(cluster)
    await cluster.until(lambda: status_of(cluster).get("unavailableReplicas") == 1)
    await cluster.settle(0.2)
    assert nodes(cluster) == before
    assert status_of(cluster)["updatedReplicas"] == 1
    assert status_of(cluster)["availableReplicas"] == 2


async def test_machine_that_never_joined_can_be_deleted_and_is_replaced(cluster: SmallCluster) -> None:
    cluster.faults.add(PlatformFault(trouble="node-never-joins", subject="md", times=1))
    await deploy(cluster, replicas=1)
    await cluster.until(lambda: machines(cluster) and machines(cluster)[0]["metadata"].get("finalizers"))
    await cluster.until(lambda: not cluster.faults.platform, "the fault met the machine")
    await cluster.client.delete(MACHINES, machines(cluster)[0]["metadata"]["name"], namespace=SYSTEM)
    await cluster.until(lambda: is_complete(cluster))


async def test_paused_deployment_scales_but_does_not_roll(cluster: SmallCluster) -> None:
    await deployed(cluster, replicas=1)
    before = nodes(cluster)
    await change(cluster, paused=True)
    await force_restart(cluster)
    await change(cluster, replicas=2)
    await cluster.until(lambda: len(nodes(cluster)) == 2)
    await cluster.settle()
    assert before < nodes(cluster)
    assert len(cluster.mirror.all(MACHINE_SETS)) == 1
    await change(cluster, paused=False)
    await cluster.until(lambda: is_complete(cluster) and not before & nodes(cluster))


async def test_scale_down_takes_the_marked_machine(cluster: SmallCluster) -> None:
    await deployed(cluster, replicas=3)
    marked = machines(cluster)[1]["metadata"]["name"]
    annotation = {"metadata": {"annotations": {"cluster.k8s.io/delete-machine": "true"}}}
    await cluster.client.patch(MACHINES, marked, annotation, namespace=SYSTEM)
    await cluster.until(
        lambda: (cluster.mirror.get(MACHINES, marked, namespace=SYSTEM) or {})["metadata"].get("annotations")
    )
    await change(cluster, replicas=2)
    await cluster.until(lambda: len(machines(cluster)) == 2)
    assert marked not in {machine["metadata"]["name"] for machine in machines(cluster)}


async def test_return_to_an_old_template_reuses_its_set(cluster: SmallCluster) -> None:
    await deployed(cluster, replicas=1)
    await force_restart(cluster)
    await cluster.until(lambda: is_complete(cluster) and len(machines(cluster)) == 1)
    await change(cluster, template={"metadata": {"annotations": None}})
    await cluster.until(lambda: is_complete(cluster) and len(machines(cluster)) == 1)
    sets = cluster.mirror.all(MACHINE_SETS)
    active = next(found for found in sets if found["spec"]["replicas"])
    assert len(sets) == 2
    assert active["metadata"]["annotations"]["machinedeployment.clusters.k8s.io/revision"] == "3"
    assert active["metadata"]["annotations"]["machinedeployment.clusters.k8s.io/revision-history"] == "1"


async def test_history_of_sets_is_limited(cluster: SmallCluster) -> None:
    await deployed(cluster, replicas=1)
    for number in range(3):
        await change(cluster, template={"metadata": {"annotations": {"forceRestart": str(number)}}})
        await cluster.until(lambda: is_complete(cluster) and len(machines(cluster)) == 1)
    await cluster.until(lambda: len(cluster.mirror.all(MACHINE_SETS)) == 2)


async def test_machines_being_deleted_do_not_count(cluster: SmallCluster) -> None:
    await deployed(cluster, replicas=2)
    cluster.faults.add(PlatformFault(trouble="stuck-pod", subject="default/p"))
    await cluster.add_pod("p")
    await cluster.until(lambda: cluster.is_ready("p"))
    await force_restart(cluster)
    await cluster.until(lambda: is_complete(cluster))
    pod = cluster.pod("p")
    assert pod is not None
    left = [pod["spec"]["nodeName"]]
    await cluster.until(
        lambda: [each["metadata"]["name"] for each in machines(cluster) if is_being_deleted(each)] == left,
        "only the held machine is left",
    )
    assert is_complete(cluster)
    await cluster.client.delete(PODS, "p", namespace="default", grace_period_seconds=0)
    await cluster.until(lambda: len(machines(cluster)) == len(nodes(cluster)) == 2)


async def node_with_pod(cluster: SmallCluster) -> str:
    """Have two nodes and a pod `p` on one of them; returns its Machine's name, which is the node's too."""
    await deployed(cluster, replicas=2)
    await cluster.add_pod("p", labels={"app": "p"})
    await cluster.until(lambda: cluster.is_ready("p"))
    pod = cluster.pod("p")
    assert pod is not None
    return str(pod["spec"]["nodeName"])


async def budget(cluster: SmallCluster, allowed: int) -> None:
    """Have a PodDisruptionBudget for pod `p`."""
    selector = {"matchLabels": {"app": "p"}}
    body = {"metadata": {"name": "p", "namespace": "default"}, "spec": {"minAvailable": 1, "selector": selector}}
    if await cluster.is_gone(POD_DISRUPTION_BUDGETS, "p", namespace="default"):
        await cluster.client.create(POD_DISRUPTION_BUDGETS, body)
    found = await cluster.client.get(POD_DISRUPTION_BUDGETS, "p", namespace="default")
    status = {"disruptionsAllowed": allowed, "observedGeneration": found["metadata"].get("generation", 1)}
    counts = {"currentHealthy": 1, "desiredHealthy": 1 - allowed, "expectedPods": 1}
    await cluster.client.patch(
        POD_DISRUPTION_BUDGETS, "p", {"status": {**status, **counts}}, namespace="default", subresource="status"
    )


async def test_pods_are_evicted_and_gone_before_the_instance_goes(cluster: SmallCluster) -> None:
    name = await node_with_pod(cluster)
    order: list[str] = []
    cluster.mirror.subscribe(PODS, lambda seen: order.append("pod") if seen.type == "DELETED" else None)
    cluster.mirror.subscribe(NODES, lambda seen: order.append("node") if seen.type == "DELETED" else None)
    await cluster.client.delete(MACHINES, name, namespace=SYSTEM)
    await cluster.until(
        lambda: name not in nodes(cluster) and cluster.mirror.get(MACHINES, name, namespace=SYSTEM) is None
    )
    assert order == ["pod", "node"]


async def test_disruption_budget_holds_the_machine_back(cluster: SmallCluster) -> None:
    name = await node_with_pod(cluster)
    await budget(cluster, allowed=0)
    await cluster.client.delete(MACHINES, name, namespace=SYSTEM)
    await cluster.until(lambda: (cluster.mirror.get(NODES, name) or {})["spec"].get("unschedulable"))
    await cluster.settle(0.3)
    assert cluster.is_ready("p")
    await budget(cluster, allowed=1)
    await cluster.until(lambda: name not in nodes(cluster))


async def test_node_that_asks_for_it_is_not_drained(cluster: SmallCluster) -> None:
    name = await node_with_pod(cluster)
    await budget(cluster, allowed=0)
    annotation = {"metadata": {"annotations": {"kubermatic.io/skip-eviction": "true"}}}
    await cluster.client.patch(NODES, name, annotation)
    await cluster.client.delete(MACHINES, name, namespace=SYSTEM)
    await cluster.until(lambda: name not in nodes(cluster))
    await cluster.until(lambda: cluster.pod("p") is None)


async def test_node_that_is_not_ready_is_not_drained(cluster: SmallCluster) -> None:
    name = await node_with_pod(cluster)
    await budget(cluster, allowed=0)
    cluster.network.set_missing(name, "cni plugin not initialized")
    await cluster.until(lambda: cluster.condition(NODES, name, "Ready")["status"] == "False")
    await cluster.client.delete(MACHINES, name, namespace=SYSTEM)
    await cluster.until(lambda: name not in nodes(cluster))


async def test_daemon_pods_do_not_hold_a_node(cluster: SmallCluster) -> None:
    name = await node_with_pod(cluster)
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ds", "uid": "u", "controller": True}
    metadata = {"name": "daemon", "namespace": "default", "ownerReferences": [owner]}
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": name, "tolerations": [{"operator": "Exists"}]}
    await cluster.client.create(PODS, {"metadata": metadata, "spec": spec})
    await cluster.until(lambda: cluster.is_ready("daemon"))
    await cluster.client.delete(MACHINES, name, namespace=SYSTEM)
    await cluster.until(lambda: name not in nodes(cluster) and cluster.pod("daemon") is None)


async def test_deleted_node_object_leaves_its_machine_without_one(cluster: SmallCluster) -> None:
    await deployed(cluster, replicas=1)
    (name,) = nodes(cluster)
    await cluster.client.delete(NODES, name)
    await cluster.until(lambda: status_of(cluster).get("unavailableReplicas") == 1)
    await cluster.until(lambda: "nodeRef" not in machines(cluster)[0]["status"])
    assert not nodes(cluster)


async def test_set_waits_until_a_node_was_ready_long_enough(cluster: SmallCluster) -> None:
    await deploy(cluster, replicas=1, minReadySeconds=300)
    await cluster.until(lambda: status_of(cluster).get("readyReplicas") == 1)
    await cluster.until(lambda: status_of(cluster).get("availableReplicas") == 1)
