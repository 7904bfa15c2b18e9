"""Who reaches whom in a running cluster, and the outage that is measured."""

from __future__ import annotations

import pytest

from lab.objects import Object
from lab.resources import DAEMON_SETS, DEPLOYMENTS, NETWORK_POLICIES, PODS, SERVICES

KINDS = {"Deployment": DEPLOYMENTS, "DaemonSet": DAEMON_SETS}


async def add_workload(
    scene, name: str, *, namespace: str = "shop", calls: str = "", kind: str = "Deployment", replicas: int = 1
):
    body = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "annotations": {"lab.kkp/calls": calls}},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "x"}]},
            },
            **({"replicas": replicas} if kind == "Deployment" else {}),
        },
    }
    await scene.client.create(KINDS[kind], body)
    await scene.until(lambda: scene.mirror.get(KINDS[kind], name, namespace=namespace))


async def add_service(scene, name: str, *, namespace: str = "shop"):
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    await scene.client.create(SERVICES, body)
    await scene.until(lambda: scene.mirror.get(SERVICES, name, namespace=namespace))


async def replica(scene, workload: str, node: str, *, namespace: str = "shop", name: str = ""):
    owner: Object = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{workload}-7c9", "uid": f"rs-{workload}"}
    owner["controller"] = True
    labels = {"app": workload, "pod-template-hash": "7c9"}
    return await scene.run_pod(node, name=name, namespace=namespace, labels=labels, owner=owner)


@pytest.fixture
async def two_nodes(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.canal_node("n2", "172.25.2.0/24")
    await scene.set_cilium_config()
    await scene.operator("n1")
    return scene


@pytest.fixture
async def shop(two_nodes):
    """A caller on one node, what it calls on the other, both on Canal."""
    await add_workload(two_nodes, "cart", calls="shop/store")
    await add_workload(two_nodes, "store")
    await replica(two_nodes, "cart", "n1", name="cart-1")
    await replica(two_nodes, "store", "n2", name="store-1")
    assert two_nodes.network.outage().not_served_now == ()
    return two_nodes


async def test_pods_of_one_cni_reach_each_other_across_nodes(shop):
    assert shop.network.reaches("shop/cart-1", "shop/store-1")


async def test_pods_of_two_cnis_do_not_reach_each_other(shop):
    await shop.agent("cilium", "n1")
    await replica(shop, "cart", "n1", name="cart-2")

    assert not shop.network.reaches("shop/cart-2", "shop/cart-1")
    assert not shop.network.reaches("shop/cart-2", "shop/store-1")


async def test_unknown_pods_reach_nobody(shop):
    assert not shop.network.reaches("shop/cart-1", "shop/nobody")


async def test_a_service_leads_to_its_ready_pods(shop):
    await add_service(shop, "store")

    assert shop.network.serves("shop/cart-1", "shop/store")
    assert not shop.network.serves("shop/cart-1", "shop/unknown")


async def test_the_api_server_needs_only_rules_on_the_clients_node(two_nodes):
    await two_nodes.add_node("n3", pod_cidr="172.25.3.0/24")
    await two_nodes.agent("canal", "n3")
    await two_nodes.run_pod("n1", name="with-rules")
    await two_nodes.run_pod("n3", name="without")

    assert two_nodes.network.serves("kube-system/with-rules", "default/kubernetes")
    assert not two_nodes.network.serves("kube-system/without", "default/kubernetes")


async def test_policies_keep_others_out(shop):
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "store"}}, "policyTypes": ["Ingress"]},
    }

    await shop.client.create(NETWORK_POLICIES, policy)
    await shop.until(lambda: shop.mirror.all(NETWORK_POLICIES))

    assert not shop.network.reaches("shop/cart-1", "shop/store-1")
    assert shop.network.outage().not_served_now == ("shop/store",)


async def test_a_caller_on_the_other_cni_is_an_outage_of_what_it_calls(shop):
    await shop.agent("cilium", "n1")
    await shop.remove_pod(await first_pod(shop, "cart-1"))
    await replica(shop, "cart", "n1", name="cart-2")

    report = shop.network.outage()

    assert report.not_served_now == ("shop/store",)


async def first_pod(scene, name: str):
    return await scene.client.get(PODS, name, namespace="shop")


async def test_the_outage_ends_when_both_are_on_the_same_cni_again(shop):
    await shop.agent("cilium", "n1")
    await shop.agent("cilium", "n2")
    for workload, node in (("cart", "n1"), ("store", "n2")):
        await shop.remove_pod(await first_pod(shop, f"{workload}-1"))
        await replica(shop, workload, node, name=f"{workload}-2")

    report = shop.network.outage()

    assert report.not_served_now == ()
    assert report.workloads["shop/cart"].unready_seconds > 0
    assert report.workloads["shop/store"].unreachable_seconds > 0
    assert report.total_seconds >= report.longest_seconds > 0


async def test_one_replica_that_is_reached_is_enough(shop):
    await replica(shop, "store", "n1", name="store-2")
    await shop.agent("cilium", "n2")
    await shop.remove_pod(await first_pod(shop, "store-1"))
    await replica(shop, "store", "n2", name="store-3")

    assert shop.network.outage().not_served_now == ()


async def test_a_restarting_agent_is_no_outage(shop):
    agents = [pod for pod in shop.mirror.all(PODS) if pod["metadata"]["labels"].get("k8s-app") == "canal"]
    for agent in agents:
        await shop.remove_pod(agent)

    assert shop.network.outage().total_seconds == 0


async def test_a_node_that_joins_after_canals_agents_went_is_cut_off(shop):
    for agent in [pod for pod in shop.mirror.all(PODS) if pod["metadata"]["labels"].get("k8s-app") == "canal"]:
        await shop.remove_pod(agent)
    await shop.canal_node("n3", "172.25.3.0/24")
    await shop.run_pod("n3", name="late")

    assert not shop.network.reaches("kube-system/late", "shop/store-1")


async def test_services_of_new_pods_are_missing_once_nobody_keeps_the_rules(shop):
    for proxy in [pod for pod in shop.mirror.all(PODS) if pod["metadata"]["labels"].get("k8s-app") == "kube-proxy"]:
        await shop.remove_pod(proxy)
    assert shop.network.outage().not_served_now == ()

    await shop.remove_pod(await first_pod(shop, "store-1"))
    await replica(shop, "store", "n2", name="store-2")

    assert shop.network.outage().not_served_now == ("shop/store",)


async def test_a_workload_scaled_to_nothing_is_not_missed(shop):
    await shop.client.patch(DEPLOYMENTS, "store", {"spec": {"replicas": 0}}, namespace="shop")
    await shop.until(lambda: shop.mirror.get(DEPLOYMENTS, "store", namespace="shop")["spec"]["replicas"] == 0)
    await shop.remove_pod(await first_pod(shop, "store-1"))

    assert shop.network.outage().not_served_now == ()


async def test_a_workload_of_the_platform_is_watched_only_if_somebody_calls_it(two_nodes):
    await add_workload(two_nodes, "coredns", namespace="kube-system")
    await add_workload(two_nodes, "metrics-server", namespace="kube-system")
    await add_workload(two_nodes, "cart", calls="kube-system/coredns")
    for name in ("coredns", "metrics-server"):
        await replica(two_nodes, name, "n1", namespace="kube-system", name=f"{name}-1")
    await replica(two_nodes, "cart", "n1")

    assert set(two_nodes.network.outage().workloads) == {"kube-system/coredns", "shop/cart"}


async def test_reset_measures_from_then_on(shop):
    await shop.remove_pod(await first_pod(shop, "store-1"))
    await replica(shop, "store", "n2", name="store-2")
    assert shop.network.outage().total_seconds > 0

    shop.network.reset_outage()

    assert shop.network.outage().total_seconds == 0


async def test_changes_are_looked_at_without_being_asked(shop):
    await shop.remove_pod(await first_pod(shop, "store-1"))

    ledger = shop.network._watch._ledger

    await shop.until(lambda: ledger._not_served == {"shop/store"})
