"""Pods that run `agnhost connect`: what they ask for, and what the network lets them have."""

from __future__ import annotations

from typing import Any

import pytest

from lab.network.attempts import Destination
from lab.network.probes import connect_words, probe_from
from lab.network.sandboxes import node_address
from lab.objects import Object
from lab.platform.podruntime import ProgramCrashed
from lab.resources import (
    CALICO_NETWORK_POLICIES,
    CILIUM_NETWORK_POLICIES,
    CUSTOM_RESOURCE_DEFINITIONS,
    DAEMON_SETS,
    NETWORK_POLICIES,
    NODES,
    SERVICES,
)
from tests.lab.network.conftest import Scene
from tests.lab.network.test_watch import add_service

NETEXEC = {"name": "main", "image": "agnhost", "args": ["netexec", "--http-port=8080"]}


@pytest.mark.parametrize(
    ("words", "destination", "seconds"),
    [
        (["172.25.1.2:8080", "--timeout=3s", "--protocol=tcp"], Destination("172.25.1.2", 8080), 3.0),
        (["--timeout", "1m30s", "kubernetes.default.svc:443"], Destination("kubernetes.default.svc", 443), 90.0),
        (["example.com:53", "--protocol=udp", "--timeout=500ms"], Destination("example.com", 53, "UDP"), 0.5),
        (["[fd00::1]:80"], Destination("fd00::1", 80), 127.0),
    ],
)
def test_what_is_asked_for(words: list[str], destination: Destination, seconds: float) -> None:
    probe = probe_from(words)

    assert (probe.destination, probe.timeout_seconds) == (destination, seconds)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a:1", "b:2"],
        ["nowhere"],
        ["a:http"],
        ["a:0"],
        ["a:1", "--protocol=icmp"],
        ["a:1", "--timeout=soon"],
        ["a:1", "--verbose"],
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        probe_from(words)


def pod_with(*containers: dict[str, Any], policy: str = "Never") -> Object:
    return {"spec": {"restartPolicy": policy, "containers": list(containers)}}


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (pod_with({"args": ["connect", "a:1"]}), ["a:1"]),
        (pod_with({"command": ["/agnhost", "connect", "a:1"]}), ["a:1"]),
        (pod_with({"args": ["connect", "a:1"]}, policy="Always"), None),
        (pod_with({"args": ["connect", "a:1"]}, {"args": []}), None),
        (pod_with({"args": ["netexec"]}), None),
        (pod_with({}), None),
    ],
)
def test_clients_are_known_by_what_they_run(pod: Object, words: list[str] | None) -> None:
    assert connect_words(pod) == words


async def tried(scene: Scene, node: str, destination: str, *, namespace: str = "shop", **spec: Any) -> str:
    """Have a probe run on a node and return what it says, nothing when it gets through."""
    container = {
        "name": "main",
        "image": "agnhost",
        "args": ["connect", destination, "--timeout=3s"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    labels = {"app": "probe"}
    pod = await scene.add_pod(
        node, namespace=namespace, labels=labels, restartPolicy="Never", containers=[container], **spec
    )
    if not spec.get("hostNetwork"):
        scene.network.attach(pod)
    try:
        await scene.program(pod).start(pod)
    except ProgramCrashed as crash:
        return str(crash)
    finally:
        scene.network.detach(pod)
    return ""


async def server(scene: Scene, node: str, name: str = "server", *, ready: bool = True, **container: Any) -> str:
    """Have a server on a node and return its address."""
    labels = {"app": "server"}
    containers = [{**NETEXEC, **container}]
    if ready:
        pod = await scene.run_pod(node, name=name, namespace="shop", labels=labels, containers=containers)
    else:
        pod = await scene.add_pod(node, name=name, namespace="shop", labels=labels, containers=containers)
    return scene.network.attach(pod)


@pytest.fixture
async def canal(scene: Scene) -> Scene:
    """Two nodes on Canal, cluster DNS on the second."""
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.canal_node("n2", "172.25.2.0/24")
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    spec = {"selector": {"app": "coredns"}, "ports": ports, "clusterIP": "10.240.16.10"}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kube-dns", "namespace": "kube-system"}}
    await scene.client.create(SERVICES, {**body, "spec": spec})
    await scene.run_pod("n2", name="coredns", labels={"app": "coredns"})
    await add_service(scene, "server")
    await scene.until(lambda: scene.mirror.get(SERVICES, "kube-dns", namespace="kube-system"))
    return scene


def address_of_node(scene: Scene, name: str) -> str:
    return node_address(scene.mirror.get(NODES, name))


async def cilium_on(scene: Scene, *nodes: str) -> None:
    await scene.set_cilium_config()
    await scene.operator(nodes[0])
    for node in nodes:
        await scene.agent("cilium", node)


async def test_a_pod_is_reached_across_nodes(canal: Scene) -> None:
    address = await server(canal, "n2")

    assert await tried(canal, "n1", f"{address}:8080") == ""
    assert await tried(canal, "n1", f"{address}:8081") == "REFUSED\n"


async def test_a_pod_that_does_not_run_refuses(canal: Scene) -> None:
    address = await server(canal, "n2", ready=False)

    assert await tried(canal, "n1", f"{address}:8080") == "REFUSED\n"


async def test_a_pod_of_the_other_cni_is_silent(canal: Scene) -> None:
    address = await server(canal, "n2")
    await cilium_on(canal, "n1")

    assert await tried(canal, "n1", f"{address}:8080") == "TIMEOUT\n"


async def test_a_timeout_takes_the_time_that_was_asked_for(canal: Scene) -> None:
    asked: list[float] = []
    clock = canal.network.programs._context.clock  # type: ignore[attr-defined]
    sleep = clock.sleep

    async def noted(seconds: float) -> None:
        asked.append(seconds)
        await sleep(seconds)

    clock.sleep = noted

    assert await tried(canal, "n1", "172.25.77.7:80") == "TIMEOUT\n"

    assert asked == [1.0, 2.0]


async def test_without_the_policy_nothing_of_the_log_is_told(canal: Scene) -> None:
    containers = [{"name": "main", "image": "agnhost", "args": ["connect", "172.25.77.7:80", "--timeout=1s"]}]
    pod = await canal.add_pod("n1", restartPolicy="Never", containers=containers)
    canal.network.attach(pod)

    with pytest.raises(ProgramCrashed, match=r"^$"):
        await canal.program(pod).start(pod)


@pytest.mark.parametrize("name", ["server.shop.svc.cluster.local", "server.shop.svc", "server.shop", "server"])
async def test_a_service_is_reached_by_its_names(canal: Scene, name: str) -> None:
    await server(canal, "n2", ports=[{"containerPort": 80}])

    assert await tried(canal, "n1", f"{name}:80") == ""


async def test_a_service_is_reached_by_its_address(canal: Scene) -> None:
    address = (canal.mirror.get(SERVICES, "server", namespace="shop") or {})["spec"]["clusterIP"]
    assert await tried(canal, "n1", f"{address}:80") == "REFUSED\n"  # no pod yet
    await server(canal, "n2", ports=[{"containerPort": 80}])

    assert await tried(canal, "n1", f"{address}:80") == ""
    assert await tried(canal, "n1", f"{address}:81") == "TIMEOUT\n"


async def test_names_that_nobody_knows(canal: Scene) -> None:
    assert await tried(canal, "n1", "nobody.shop.svc.cluster.local:80") == (
        "DNS: lookup nobody.shop.svc.cluster.local on 10.240.16.10:53: no such host\n"
    )
    assert "no such host" in await tried(canal, "n1", "nowhere.invalid:80")


async def test_on_the_hosts_network_only_the_worlds_names_are_known(canal: Scene) -> None:
    assert await tried(canal, "n1", "example.com:443", hostNetwork=True) == ""
    assert "no such host" in await tried(canal, "n1", "server.shop.svc:80", hostNetwork=True)


async def test_what_is_nearly_an_address_is_a_name(canal: Scene) -> None:
    assert "no such host" in await tried(canal, "n1", "1234:80")


async def test_a_name_needs_a_coredns_that_is_reached(canal: Scene) -> None:
    await cilium_on(canal, "n1")

    answer = await tried(canal, "n1", "server.shop.svc:80")

    assert answer == "DNS: lookup server.shop.svc on 10.240.16.10:53: i/o timeout\n"


async def test_with_node_local_dns_a_name_needs_the_cache_of_the_pods_node(canal: Scene) -> None:
    template = {
        "metadata": {"labels": {"app": "node-local-dns"}},
        "spec": {"containers": [{"name": "x", "image": "x"}]},
    }
    spec = {"selector": {"matchLabels": {"app": "node-local-dns"}}, "template": template}
    metadata = {"name": "node-local-dns", "namespace": "kube-system"}
    await canal.client.create(DAEMON_SETS, {"kind": "DaemonSet", "metadata": metadata, "spec": spec})
    await canal.until(lambda: canal.mirror.all(DAEMON_SETS))
    assert "on 169.254.20.10:53: i/o timeout" in await tried(canal, "n1", "example.com:443")

    await canal.run_pod("n1", labels={"app": "node-local-dns"}, hostNetwork=True)

    assert await tried(canal, "n1", "example.com:443") == ""


async def test_the_api_server_needs_service_rules_on_the_node(canal: Scene) -> None:
    await canal.add_node("n3", pod_cidr="172.25.3.0/24")
    await canal.agent("canal", "n3")

    assert await tried(canal, "n1", "kubernetes.default.svc.cluster.local:443") == ""
    assert await tried(canal, "n1", "10.240.16.1:443") == ""
    assert await tried(canal, "n3", "10.240.16.1:443") == "TIMEOUT\n"


async def test_new_pods_of_a_service_are_missed_by_rules_that_nobody_keeps(canal: Scene) -> None:
    proxies = [pod for pod in canal.mirror.pods_on("n1") if pod["metadata"]["labels"].get("k8s-app") == "kube-proxy"]
    await canal.remove_pod(proxies[0])
    await server(canal, "n2", ports=[{"containerPort": 80}])

    assert await tried(canal, "n1", "server.shop.svc:80") == "TIMEOUT\n"


async def test_the_world_is_reached_by_name_and_address(canal: Scene) -> None:
    assert await tried(canal, "n1", "example.com:443") == ""
    assert await tried(canal, "n1", "203.0.113.7:443") == ""


async def test_a_node_answers_for_its_kubelet_and_for_published_ports(canal: Scene) -> None:
    await server(canal, "n2", ports=[{"containerPort": 8080, "hostPort": 30080}])

    assert await tried(canal, "n1", f"{address_of_node(canal, 'n2')}:10250") == ""
    assert await tried(canal, "n1", f"{address_of_node(canal, 'n2')}:30080") == ""
    assert await tried(canal, "n1", f"{address_of_node(canal, 'n1')}:30080") == "REFUSED\n"
    assert await tried(canal, "n1", "192.168.9.9:30080") == "TIMEOUT\n"


async def test_a_published_port_needs_the_network_of_its_pod(canal: Scene) -> None:
    await server(canal, "n2", ports=[{"containerPort": 8080, "hostPort": 30080}])
    assert await tried(canal, "n1", f"{address_of_node(canal, 'n2')}:30080", hostNetwork=True) == ""

    canal.network.reboot_node("n2")

    assert await tried(canal, "n1", f"{address_of_node(canal, 'n2')}:30080", hostNetwork=True) == "REFUSED\n"


async def test_an_egress_policy_stops_questions_and_connections(canal: Scene) -> None:
    spec: dict[str, Any] = {"podSelector": {"matchLabels": {"app": "probe"}}, "policyTypes": ["Egress"]}
    spec["egress"] = [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443}]}]
    body = {"kind": "NetworkPolicy", "metadata": {"name": "out", "namespace": "shop"}, "spec": spec}
    await canal.client.create(NETWORK_POLICIES, body)
    await canal.until(lambda: canal.mirror.all(NETWORK_POLICIES))

    assert await tried(canal, "n1", "203.0.113.7:443") == ""
    assert await tried(canal, "n1", "203.0.113.7:80") == "TIMEOUT\n"
    assert (await tried(canal, "n1", "example.com:443")).startswith("DNS: ")


async def test_a_policy_of_the_other_cni_stops_to_be_enforced(canal: Scene) -> None:
    await calico_defined(canal)
    spec = {"selector": "app == 'server'", "ingress": [{"action": "Deny"}]}
    body = {"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy", "spec": spec}
    await canal.client.create(CALICO_NETWORK_POLICIES, {**body, "metadata": {"name": "closed", "namespace": "shop"}})
    await canal.until(lambda: canal.mirror.all(CALICO_NETWORK_POLICIES))
    before = await server(canal, "n2", "before")
    assert await tried(canal, "n1", f"{before}:8080") == "TIMEOUT\n"

    await cilium_on(canal, "n1", "n2")
    after = await server(canal, "n2", "after")

    assert await tried(canal, "n1", f"{after}:8080") == ""


async def test_ciliums_policies_are_enforced_once_pods_are_on_cilium(canal: Scene) -> None:
    await cilium_on(canal, "n1", "n2")
    address = await server(canal, "n2")
    spec = {"endpointSelector": {"matchLabels": {"app": "server"}}, "ingress": [{}]}
    body = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "spec": spec}
    assert await tried(canal, "n1", f"{address}:8080") == ""

    await canal.client.create(CILIUM_NETWORK_POLICIES, {**body, "metadata": {"name": "closed", "namespace": "shop"}})
    await canal.until(lambda: canal.mirror.all(CILIUM_NETWORK_POLICIES))

    assert await tried(canal, "n1", f"{address}:8080") == "TIMEOUT\n"


async def calico_defined(scene: Scene) -> None:
    plural, group = CALICO_NETWORK_POLICIES.plural, CALICO_NETWORK_POLICIES.group
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {
            "plural": plural,
            "singular": "networkpolicy",
            "kind": "NetworkPolicy",
            "listKind": "NetworkPolicyList",
        },
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    await scene.client.create(CUSTOM_RESOURCE_DEFINITIONS, {**body, "metadata": {"name": f"{plural}.{group}"}})
