"""What the CNIs' programs do to their node and to the cluster."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509

from lab.faults import PlatformFault
from lab.network.agents import proxy_mode
from lab.network.reachability import Cni
from lab.objects import name_of, uid_of
from lab.platform.podruntime import ProgramCrashed
from lab.resources import CILIUM_ENDPOINTS, CILIUM_NODES, CUSTOM_RESOURCE_DEFINITIONS, NODES, SECRETS

TAINT = {"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}


async def start(scene, app: str, node: str) -> None:
    pod = await scene.add_pod(node, labels={"k8s-app": app}, hostNetwork=True)
    await scene.program(pod).start(pod)


async def cilium_node(scene, name: str = "n1"):
    await scene.canal_node(name, "172.25.1.0/24")
    await scene.set_cilium_config()
    await scene.operator(name)
    return await scene.agent("cilium", name)


async def test_canal_crashes_on_a_node_without_a_pod_cidr(scene):
    await scene.add_node("n1")

    with pytest.raises(ProgramCrashed, match='node "n1" pod cidr not assigned'):
        await start(scene, "canal", "n1")


async def test_cilium_crashes_beside_flannel_on_the_default_port(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.set_cilium_config(tunnel_port="")
    await scene.operator("n1")

    with pytest.raises(ProgramCrashed, match="cilium_vxlan: address already in use"):
        await start(scene, "cilium", "n1")


async def test_canal_crashes_beside_what_cilium_left_on_the_default_port(scene):
    await scene.add_node("n1", pod_cidr="172.25.1.0/24")
    await scene.set_cilium_config(tunnel_port="8472")
    await scene.operator("n1")
    await scene.remove_pod(await scene.agent("cilium", "n1"))

    with pytest.raises(ProgramCrashed, match="address already in use"):
        await start(scene, "canal", "n1")


async def test_both_agents_run_side_by_side_on_different_ports(scene):
    await cilium_node(scene)

    node = scene.network.node("n1")

    assert set(node.programs) == {"canal", "cilium", "kube-proxy"}
    assert {cni: tunnel.port for cni, tunnel in node.tunnels.items()} == {Cni.CANAL: 8472, Cni.CILIUM: 8473}


@pytest.mark.parametrize("app", ["canal", "cilium"])
async def test_a_crash_loop_fault_crashes_the_agent_of_its_node_only(scene, app):
    await cilium_node(scene)
    await scene.add_node("n2", pod_cidr="172.25.2.0/24")
    scene.faults.add(PlatformFault(trouble="agent-crash-loop", subject="n2", message="verifier: invalid argument"))

    await start(scene, app, "n1")
    with pytest.raises(ProgramCrashed, match="verifier"):
        await start(scene, app, "n2")


async def test_cilium_without_its_config_crashes(scene):
    await scene.add_node("n1")

    with pytest.raises(ProgramCrashed, match="cilium-config"):
        await start(scene, "cilium", "n1")


async def test_the_operator_registers_definitions_and_leaves_them(scene):
    await scene.add_node("n1")
    await scene.set_cilium_config()

    operator = await scene.operator("n1")
    await scene.remove_pod(operator)

    names = {name_of(found) for found in (await scene.client.list(CUSTOM_RESOURCE_DEFINITIONS))[0]}
    assert {"ciliumendpoints.cilium.io", "ciliumnodes.cilium.io", "ciliumnetworkpolicies.cilium.io"} <= names


async def test_every_node_gets_a_cilium_node_with_a_range_of_its_own(scene):
    await cilium_node(scene, "n1")
    await scene.add_node("n2")
    await scene.agent("cilium", "n2")

    found = {name_of(n): n["spec"]["ipam"]["podCIDRs"] for n in (await scene.client.list(CILIUM_NODES))[0]}

    assert found == {"n1": ["172.25.0.0/24"], "n2": ["172.25.1.0/24"]}


async def test_the_cilium_node_goes_with_its_node_and_frees_the_range(scene):
    await cilium_node(scene, "n1")
    await scene.client.delete(NODES, "n1")
    scene.network.forget_node("n1")
    await scene.until(lambda: scene.mirror.get(CILIUM_NODES, "n1") is None)

    await scene.add_node("n2")
    await scene.agent("cilium", "n2")

    assert (await scene.client.get(CILIUM_NODES, "n2"))["spec"]["ipam"]["podCIDRs"] == ["172.25.0.0/24"]


async def test_the_operator_marks_the_node_on_which_cilium_works(scene):
    await cilium_node(scene)

    def is_marked() -> bool:
        conditions = scene.mirror.get(NODES, "n1")["status"].get("conditions", [])
        return any(c.get("reason") == "CiliumIsUp" and c["status"] == "False" for c in conditions)

    await scene.until(is_marked)


async def test_the_taint_stands_until_the_agent_works(scene):
    await scene.add_node("n1")
    await scene.set_cilium_config()
    await scene.operator("n1")
    pod = await scene.add_pod("n1", labels={"k8s-app": "cilium"}, hostNetwork=True)
    await scene.until(lambda: TAINT in scene.mirror.get(NODES, "n1")["spec"].get("taints", []))

    await scene.program(pod).start(pod)

    await scene.until(lambda: TAINT not in scene.mirror.get(NODES, "n1")["spec"].get("taints", []))


async def test_other_taints_stay(scene):
    await scene.add_node("n1")
    other = {"key": "dedicated", "effect": "NoSchedule"}
    await scene.client.patch(NODES, "n1", {"spec": {"taints": [other, TAINT]}})
    await scene.set_cilium_config()
    await scene.operator("n1")

    await scene.agent("cilium", "n1")

    await scene.until(lambda: scene.mirror.get(NODES, "n1")["spec"].get("taints") == [other])


async def test_a_pod_of_cilium_gets_its_endpoint(scene):
    await cilium_node(scene)
    pod = await scene.run_pod("n1", namespace="shop", name="cart", labels={"app": "cart"})
    await scene.until(lambda: scene.mirror.get(CILIUM_ENDPOINTS, "cart", namespace="shop"))

    endpoint = await scene.client.get(CILIUM_ENDPOINTS, "cart", namespace="shop")

    assert endpoint["metadata"]["ownerReferences"][0]["uid"] == uid_of(pod)
    assert endpoint["status"]["state"] == "ready"
    assert endpoint["status"]["networking"]["addressing"] == [{"ipv4": "172.25.0.2"}]
    assert (
        endpoint["status"]["networking"]["node"] == scene.mirror.get(NODES, "n1")["status"]["addresses"][0]["address"]
    )
    assert "k8s:app=cart" in endpoint["status"]["identity"]["labels"]


async def test_pods_with_the_same_labels_share_an_identity(scene):
    await cilium_node(scene)
    for name, app in (("a", "cart"), ("b", "cart"), ("c", "store")):
        await scene.run_pod("n1", namespace="shop", name=name, labels={"app": app, "pod-template-hash": name})
    await scene.until(lambda: len(scene.mirror.all(CILIUM_ENDPOINTS)) == 3)

    a, b, c = (scene.mirror.get(CILIUM_ENDPOINTS, n, namespace="shop")["status"]["identity"]["id"] for n in "abc")

    assert a == b != c


async def test_a_pod_of_canal_gets_no_endpoint(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.set_cilium_config()
    await scene.operator("n1")
    await scene.run_pod("n1", namespace="shop", name="old")

    await scene.agent("cilium", "n1")
    await scene.run_pod("n1", namespace="shop", name="new")

    await scene.until(lambda: scene.mirror.all(CILIUM_ENDPOINTS))
    assert [name_of(found) for found in scene.mirror.all(CILIUM_ENDPOINTS)] == ["new"]


async def test_a_late_endpoint_comes_once_the_trouble_is_over(scene):
    await cilium_node(scene)
    late = scene.faults.add(PlatformFault(trouble="endpoint-late", subject="shop/cart"))
    await scene.run_pod("n1", namespace="shop", name="cart")
    await scene.run_pod("n1", namespace="shop", name="store")
    await scene.until(lambda: scene.mirror.get(CILIUM_ENDPOINTS, "store", namespace="shop"))
    assert scene.mirror.get(CILIUM_ENDPOINTS, "cart", namespace="shop") is None

    scene.faults.clear(late)

    await scene.until(lambda: scene.mirror.get(CILIUM_ENDPOINTS, "cart", namespace="shop"))


async def test_the_endpoint_goes_with_its_pod(scene):
    await cilium_node(scene)
    pod = await scene.run_pod("n1", namespace="shop", name="cart")
    await scene.until(lambda: scene.mirror.all(CILIUM_ENDPOINTS))

    scene.network.detach(pod)

    await scene.until(lambda: not scene.mirror.all(CILIUM_ENDPOINTS))


async def test_an_endpoint_deleted_by_hand_comes_back(scene):
    await cilium_node(scene)
    await scene.run_pod("n1", namespace="shop", name="cart")
    await scene.until(lambda: scene.mirror.all(CILIUM_ENDPOINTS))
    first = uid_of(scene.mirror.all(CILIUM_ENDPOINTS)[0])

    await scene.client.delete(CILIUM_ENDPOINTS, "cart", namespace="shop")

    await scene.until(lambda: {uid_of(found) for found in scene.mirror.all(CILIUM_ENDPOINTS)} - {first})


async def test_a_pod_that_takes_over_a_name_takes_over_the_endpoint(scene):
    await cilium_node(scene)
    old = await scene.run_pod("n1", namespace="shop", name="store-0")
    await scene.until(lambda: scene.mirror.all(CILIUM_ENDPOINTS))
    await scene.remove_pod(old)

    new = await scene.run_pod("n1", namespace="shop", name="store-0")

    def owner() -> str:
        found = scene.mirror.get(CILIUM_ENDPOINTS, "store-0", namespace="shop")
        return found["metadata"]["ownerReferences"][0]["uid"] if found else ""

    await scene.until(lambda: owner() == uid_of(new))


async def test_endpoints_whose_definition_is_deleted_come_back_with_the_agents_next_start(scene):
    agent = await cilium_node(scene)
    await scene.run_pod("n1", namespace="shop", name="cart")
    await scene.until(lambda: scene.mirror.all(CILIUM_ENDPOINTS))
    await scene.client.delete(CUSTOM_RESOURCE_DEFINITIONS, "ciliumendpoints.cilium.io")
    await scene.until(lambda: not scene.mirror.all(CILIUM_ENDPOINTS))
    await scene.program(agent).stop(agent)

    await scene.operator("n1")
    await scene.program(agent).start(agent)

    await scene.until(lambda: scene.mirror.all(CILIUM_ENDPOINTS))


async def test_an_endpoint_of_a_lost_agent_is_collected_by_the_operator(scene):
    agent = await cilium_node(scene)
    pod = await scene.run_pod("n1", namespace="shop", name="cart")
    await scene.until(lambda: scene.mirror.all(CILIUM_ENDPOINTS))
    await scene.remove_pod(agent)

    await scene.remove_pod(pod)

    await scene.until(lambda: not scene.mirror.all(CILIUM_ENDPOINTS))


async def test_kube_proxy_keeps_the_mode_it_started_with(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    await scene.set_proxy_mode("nftables")
    assert scene.network.node("n1").service_rules == {"ipvs": None}

    await scene.agent("kube-proxy", "n1")

    rules = scene.network.node("n1").service_rules
    assert rules["nftables"] is None
    assert rules["ipvs"] is not None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("kind: KubeProxyConfiguration\n    mode: ipvs\nstrictARP: true", "ipvs"),
        ('mode: "iptables"', "iptables"),
        ("kind: KubeProxyConfiguration", "iptables"),
    ],
)
def test_proxy_mode(config: str, expected: str) -> None:
    assert proxy_mode(config) == expected


async def test_cilium_replaces_kube_proxy_only_if_told_so_before_it_started(scene):
    agent = await cilium_node(scene)
    await scene.set_cilium_config(kube_proxy_replacement="true")
    assert "ebpf" not in scene.network.node("n1").service_rules

    await scene.remove_pod(agent)
    await scene.agent("cilium", "n1")

    assert scene.network.node("n1").service_rules["ebpf"] is None


async def test_hubbles_certificates_are_signed_by_ciliums_authority(scene):
    await cilium_node(scene)
    pod = await scene.run_pod("n1", labels={"k8s-app": "hubble-generate-certs"}, restartPolicy="OnFailure")
    program = scene.program(pod)

    await program.start(pod)

    authority = await certificate(scene, "cilium-ca", "ca.crt")
    leaf = await certificate(scene, "hubble-server-certs", "tls.crt")
    leaf.verify_directly_issued_by(authority)
    assert await scene.found(SECRETS, "hubble-relay-client-certs", namespace="kube-system")
    assert program.finishes


async def certificate(scene, secret: str, key: str) -> x509.Certificate:
    found = await scene.client.get(SECRETS, secret, namespace="kube-system")
    return x509.load_pem_x509_certificate(base64.b64decode(found["data"][key]))


async def test_certificates_need_the_pod_network(scene):
    await scene.canal_node("n1", "172.25.1.0/24")
    pod = await scene.add_pod("n1", labels={"k8s-app": "hubble-generate-certs"})

    with pytest.raises(ProgramCrashed, match="i/o timeout"):
        await scene.program(pod).start(pod)


@pytest.mark.parametrize(
    ("policy", "command", "sleeps"),
    [
        ("Never", ["sleep", "30"], True),
        ("OnFailure", ["sleep", "0.5"], True),
        ("Always", ["sleep", "30"], False),
        ("Never", ["sleep", "infinity"], False),
        ("Never", ["serve", "30"], False),
    ],
)
async def test_a_container_that_sleeps_ends(scene, policy, command, sleeps):
    container = {"name": "main", "image": "x", "command": command}
    pod = {
        "metadata": {"name": "p", "namespace": "shop", "uid": "u"},
        "spec": {"restartPolicy": policy, "containers": [container]},
    }

    program = scene.network.programs.find(pod)

    assert (program is not None) is sleeps
    if program is not None:
        await program.start(pod)
        assert program.finishes


async def test_labels_mean_nothing_outside_kube_system(scene):
    await scene.add_node("n1")
    pod = await scene.add_pod("n1", namespace="shop", labels={"k8s-app": "canal"})

    assert scene.network.programs.find(pod) is None


async def test_an_agent_back_up_makes_up_for_missing_endpoints(scene):
    agent = await cilium_node(scene)
    pod = await scene.add_pod("n1", namespace="shop", name="cart")
    scene.network.attach(pod)
    await scene.program(agent).stop(agent)
    assert scene.mirror.get(CILIUM_ENDPOINTS, "cart", namespace="shop") is None

    await scene.program(agent).start(agent)

    await scene.until(lambda: scene.mirror.get(CILIUM_ENDPOINTS, "cart", namespace="shop"))


async def test_the_cilium_node_belongs_to_its_node(scene):
    await cilium_node(scene)

    owner = (await scene.client.get(CILIUM_NODES, "n1"))["metadata"]["ownerReferences"][0]

    assert (owner["kind"], owner["uid"]) == ("Node", uid_of(await scene.client.get(NODES, "n1")))


async def test_an_agent_without_an_operator_gives_up_waiting_for_definitions(scene, monkeypatch):
    monkeypatch.setattr("lab.network.agents._LEAST_REAL_SECONDS", 0.05)
    await scene.add_node("n1")
    await scene.set_cilium_config()

    with pytest.raises(ProgramCrashed, match="ensure that Cilium Operator is running"):
        await start(scene, "cilium", "n1")


async def test_an_exhausted_pool_is_told_in_the_cilium_node(scene, monkeypatch):
    monkeypatch.setattr("lab.network.agents._LEAST_REAL_SECONDS", 0.3)
    await scene.add_node("n1")
    await scene.add_node("n2")
    await scene.set_cilium_config(cluster_pool_ipv4_cidr="10.0.0.0/24")
    await scene.operator("n1")
    await start(scene, "cilium", "n1")

    with pytest.raises(ProgramCrashed, match="to give CiliumNode n2 a pod CIDR"):
        await start(scene, "cilium", "n2")

    told = (await scene.client.get(CILIUM_NODES, "n2"))["status"]["ipam"]["operator-status"]["error"]
    assert told == "no free pod CIDR of length 24 in 10.0.0.0/24"


async def test_a_stale_endpoint_of_the_same_name_is_replaced(scene):
    agent = await cilium_node(scene)
    old = await scene.run_pod("n1", namespace="shop", name="store-0")
    await scene.until(lambda: scene.mirror.all(CILIUM_ENDPOINTS))
    stale = {**scene.mirror.all(CILIUM_ENDPOINTS)[0], "metadata": {"name": "store-1", "namespace": "shop"}}
    await scene.client.create(CILIUM_ENDPOINTS, stale)

    pod = await scene.run_pod("n1", namespace="shop", name="store-1")

    def owners() -> set[str]:
        found = scene.mirror.all(CILIUM_ENDPOINTS)
        return {reference["uid"] for item in found for reference in item["metadata"].get("ownerReferences", ())}

    await scene.until(lambda: owners() == {uid_of(old), uid_of(pod)})
    assert scene.network.node("n1").programs["cilium"] == uid_of(agent)


async def test_a_second_run_keeps_the_authority(scene):
    await cilium_node(scene)
    pod = await scene.run_pod("n1", labels={"k8s-app": "hubble-generate-certs"}, restartPolicy="OnFailure")
    await scene.program(pod).start(pod)
    first = await certificate(scene, "cilium-ca", "ca.crt")
    await scene.client.delete(SECRETS, "hubble-server-certs", namespace="kube-system")

    await scene.program(pod).start(pod)

    assert await certificate(scene, "cilium-ca", "ca.crt") == first
    (await certificate(scene, "hubble-server-certs", "tls.crt")).verify_directly_issued_by(first)
