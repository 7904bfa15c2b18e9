"""What policies of every kind let through, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from lab.network.flows import Flow, Peer
from lab.network.policies import are_labels_selected
from lab.network.policy_book import PolicyBook
from lab.network.reachability import Cni, Place
from lab.platform.runtime import Change
from lab.resources import (
    CALICO_GLOBAL_NETWORK_POLICIES,
    CALICO_NETWORK_POLICIES,
    CILIUM_CLUSTERWIDE_NETWORK_POLICIES,
    CILIUM_NETWORK_POLICIES,
    NETWORK_POLICIES,
    Resource,
)


def peer(
    namespace: str = "shop",
    *,
    cni: Cni | None = Cni.CANAL,
    node: str = "n1",
    address: str = "172.25.0.9",
    **labels: str,
) -> Peer:
    if cni is None:
        return Peer(address=address, place=Place(node, None))
    team = {"team": namespace}
    return Peer(namespace=namespace, namespace_labels=team, labels=labels, address=address, place=Place(node, cni))


WORLD = Peer(address="203.0.113.80")
API_SERVER = Peer(address="203.0.113.1", is_api_server=True)


def book(*written: tuple[Resource, dict[str, Any]], namespace: str = "shop") -> PolicyBook:
    found = PolicyBook()
    for index, (resource, fields) in enumerate(written):
        metadata = {"name": f"p{index}", **({"namespace": namespace} if resource.namespaced else {})}
        found.note(resource, Change("ADDED", {"metadata": metadata, **fields}, None))
    return found


def policy(**spec: Any) -> tuple[Resource, dict[str, Any]]:
    return NETWORK_POLICIES, {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], **spec}}


def egress_policy(*rules: dict[str, Any]) -> tuple[Resource, dict[str, Any]]:
    return policy(policyTypes=["Egress"], egress=list(rules))


def calico(**spec: Any) -> tuple[Resource, dict[str, Any]]:
    return CALICO_NETWORK_POLICIES, {"spec": spec}


def calico_global(**spec: Any) -> tuple[Resource, dict[str, Any]]:
    return CALICO_GLOBAL_NETWORK_POLICIES, {"spec": spec}


def cilium(**spec: Any) -> tuple[Resource, dict[str, Any]]:
    return CILIUM_NETWORK_POLICIES, {"spec": {"endpointSelector": {}, **spec}}


def cilium_clusterwide(**spec: Any) -> tuple[Resource, dict[str, Any]]:
    return CILIUM_CLUSTERWIDE_NETWORK_POLICIES, {"spec": {"endpointSelector": {}, **spec}}


def sources(*allowed: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"from": list(allowed)}]


TARGET = peer(app="store", address="172.25.0.20")
FRONTEND = {"podSelector": {"matchLabels": {"app": "frontend"}}}
TEAM_PAYMENTS = {"namespaceSelector": {"matchLabels": {"team": "payments"}}}


@pytest.mark.parametrize(
    ("policies", "source", "expected"),
    [
        ([], peer(), True),
        ([policy()], peer(), False),
        ([policy(ingress=[{}])], peer(), True),
        ([policy(ingress=[{"ports": [{"port": 80}]}])], peer(), True),
        ([policy(podSelector={"matchLabels": {"app": "other"}})], peer(), True),
        ([policy(policyTypes=["Egress"])], peer("data"), True),
        ([policy(ingress=sources(FRONTEND))], peer(app="frontend"), True),
        ([policy(ingress=sources(FRONTEND))], peer(app="cart"), False),
        ([policy(ingress=sources(FRONTEND))], peer("payments", app="frontend"), False),
        ([policy(ingress=sources(TEAM_PAYMENTS))], peer("payments"), True),
        ([policy(ingress=sources(TEAM_PAYMENTS | FRONTEND))], peer("payments", app="cart"), False),
        ([policy(ingress=sources(TEAM_PAYMENTS, FRONTEND))], peer("payments", app="cart"), True),
        ([policy(), policy(ingress=sources(FRONTEND))], peer(app="frontend"), True),
        # a node reaches its own pods whatever is said; another node only by address
        ([policy()], peer(cni=None, node="n1"), True),
        ([policy()], peer(cni=None, node="n2"), False),
        (
            [policy(ingress=sources({"ipBlock": {"cidr": "10.1.0.0/16"}}))],
            peer(cni=None, node="n2", address="10.1.0.7"),
            True,
        ),
        # Canal matches pods by address, too
        ([policy(ingress=sources({"ipBlock": {"cidr": "172.25.0.0/16"}}))], peer(), True),
        ([policy(ingress=sources({"ipBlock": {"cidr": "172.25.0.0/16", "except": ["172.25.0.8/30"]}}))], peer(), False),
        # a policy that makes no sense is none
        ([policy(ingress=sources({"ipBlock": {"cidr": "everywhere"}}))], peer(), True),
    ],
)
def test_ingress(policies: list[Any], source: Peer, expected: bool) -> None:
    assert book(*policies).allows(Flow(source, TARGET)) is expected


@pytest.mark.parametrize(
    ("rules", "target", "port", "expected"),
    [
        ([], peer("data"), None, False),
        ([{}], peer("data"), 80, True),
        ([{"ports": [{"port": 80}]}], peer("data"), 80, True),
        ([{"ports": [{"port": 80}]}], peer("data"), 81, False),
        ([{"ports": [{"port": 80, "endPort": 90}]}], peer("data"), 81, True),
        ([{"ports": [{"port": 80, "protocol": "UDP"}]}], peer("data"), 80, False),
        ([{"to": [{"namespaceSelector": {"matchLabels": {"team": "data"}}}]}], peer("data"), 80, True),
        ([{"to": [{"podSelector": {}}]}], peer("data"), 80, False),
        ([{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}], WORLD, 443, True),
        ([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}], WORLD, 443, False),
    ],
)
@pytest.mark.parametrize("cni", list(Cni))
def test_egress(rules: list[dict[str, Any]], target: Peer, port: int | None, expected: bool, cni: Cni) -> None:
    assert book(egress_policy(*rules)).allows(Flow(peer(cni=cni), target, port)) is expected


ALLOW_FRONTEND = {"action": "Allow", "source": {"selector": "app == 'frontend'"}}
DENY_ALL, ALLOW_ALL = {"action": "Deny"}, {"action": "Allow"}


@pytest.mark.parametrize(
    ("policies", "source", "port", "expected"),
    [
        ([calico(selector="all()", ingress=[ALLOW_FRONTEND])], peer(app="frontend"), None, True),
        ([calico(selector="all()", ingress=[ALLOW_FRONTEND])], peer(app="cart"), None, False),
        ([calico(selector="all()", ingress=[ALLOW_FRONTEND])], peer("data", app="frontend"), None, False),
        ([calico(selector="app == 'other'", ingress=[DENY_ALL])], peer(), None, True),
        ([calico(selector="all()", types=["Egress"], egress=[])], peer("data"), None, True),
        # the first rule that fits decides, of the policy with the lowest order
        ([calico(selector="all()", ingress=[DENY_ALL, ALLOW_ALL])], peer(), None, False),
        ([calico(order=20, selector="all()", ingress=[DENY_ALL]), calico(order=10, ingress=[ALLOW_ALL])], peer(), 1, True),
        ([calico(order=5, ingress=[{"action": "Pass"}]), calico(order=10, ingress=[DENY_ALL])], peer(), None, True),
        # among Kubernetes' policies, which have order 1000
        ([policy(), calico(order=10, ingress=[ALLOW_ALL])], peer(), None, True),
        ([policy(ingress=[{}]), calico(order=10, ingress=[DENY_ALL])], peer(), None, False),
        ([policy(ingress=[{}]), calico(ingress=[DENY_ALL])], peer(), None, True),
        # ports: without one asked for, a denial of some is none of all
        ([calico(ingress=[{"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}}])], peer(), 80, True),
        ([calico(ingress=[{"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}}])], peer(), 81, False),
        ([calico(ingress=[{"action": "Allow", "destination": {"ports": ["80:90"]}}])], peer(), 81, True),
        ([calico(ingress=[{"action": "Deny", "destination": {"ports": [80]}}, ALLOW_ALL])], peer(), None, True),
        ([calico(ingress=[{"action": "Allow", "protocol": "UDP"}])], peer(), 80, False),
        # who
        ([calico(ingress=[{"action": "Allow", "source": {"namespaceSelector": "team == 'data'"}}])], peer("data"), 1, True),
        ([calico(ingress=[{"action": "Allow", "source": {"nets": ["172.25.0.0/16"]}}])], peer(), None, True),
        ([calico(ingress=[{"action": "Allow", "source": {"notNets": ["172.25.0.0/16"]}}])], peer(), None, False),
        ([calico(ingress=[{"action": "Allow", "source": {"serviceAccounts": {"names": ["x"]}}}])], peer(), None, False),
        # for the whole cluster
        ([calico_global(selector="projectcalico.org/namespace == 'shop'", ingress=[DENY_ALL])], peer(), None, False),
        ([calico_global(selector="all()", namespaceSelector="team == 'data'", ingress=[DENY_ALL])], peer(), None, True),
        ([calico_global(selector="all()", ingress=[ALLOW_FRONTEND])], peer("data", app="frontend"), None, True),
        ([calico_global(selector="all()", preDNAT=True, ingress=[DENY_ALL])], peer(), None, True),
        # what is not understood is not enforced
        ([calico(selector="app is 'store'", ingress=[DENY_ALL])], peer(), None, True),
    ],
)  # fmt: skip
def test_calicos_policies_on_canal(policies: list[Any], source: Peer, port: int | None, expected: bool) -> None:
    assert book(*policies).allows(Flow(source, TARGET, port)) is expected


@pytest.mark.parametrize(
    ("labels", "selector", "expected"),
    [
        ({"app": "cart"}, "app == 'cart'", True),
        ({"app": "cart"}, 'app != "cart"', False),
        ({}, "app != 'cart'", True),
        ({"app": "cart"}, "has(app) && !has(tier)", True),
        ({"app": "cart"}, "app in {'cart', 'store'}", True),
        ({"app": "cart"}, "app not in {'cart'}", False),
        ({"app": "cart"}, "!(app == 'store' || app == 'cart')", False),
        ({"app": "cart"}, "all()", True),
        ({"app": "cart"}, "global()", False),
        ({"app": "cart"}, "", True),
    ],
)
def test_calicos_selectors(labels: dict[str, str], selector: str, expected: bool) -> None:
    target = Peer(namespace="shop", labels=labels, place=Place("n1", Cni.CANAL))
    is_selected = not book(calico(selector=selector, ingress=[DENY_ALL])).allows(Flow(peer("data"), target))
    assert is_selected is expected


POD, OTHER_NODE = peer(cni=Cni.CILIUM, app="store"), peer(cni=None, node="n2", address="192.168.0.2")
FROM_FRONTEND = {"fromEndpoints": [{"matchLabels": {"app": "frontend"}}]}
FROM_PAYMENTS = {"fromEndpoints": [{"matchLabels": {"k8s:io.kubernetes.pod.namespace": "payments"}}]}
FROM_TEAM = {"fromEndpoints": [{"matchLabels": {"k8s:io.cilium.k8s.namespace.labels.team": "payments"}}]}
ON_80 = {"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}


@pytest.mark.parametrize(
    ("policies", "source", "port", "expected"),
    [
        ([cilium(ingress=[{}])], "shop", None, False),
        ([cilium(ingress=[])], "shop", None, True),
        ([cilium(ingress=[{"fromEndpoints": [{}]}])], "shop", None, True),
        ([cilium(ingress=[{"fromEndpoints": [{}]}])], "data", None, False),
        ([cilium(ingress=[FROM_FRONTEND])], "shop", None, False),
        ([cilium(endpointSelector={"matchLabels": {"k8s:app": "other"}}, ingress=[{}])], "shop", None, True),
        ([cilium(ingress=[FROM_PAYMENTS])], "payments", None, True),
        ([cilium(ingress=[FROM_TEAM])], "payments", None, True),
        ([cilium(ingress=[FROM_TEAM])], "shop", None, False),
        ([cilium_clusterwide(ingress=[{"fromEndpoints": [{}]}])], "data", None, True),
        ([cilium(ingress=[ON_80])], "data", 80, True),
        ([cilium(ingress=[ON_80])], "data", 81, False),
        # a denial beats what allows, Kubernetes' policies add to Cilium's
        ([cilium(ingress=[{"fromEntities": ["all"]}]), cilium(ingressDeny=[FROM_PAYMENTS])], "payments", None, False),
        ([cilium(ingressDeny=[{**FROM_PAYMENTS, **ON_80}], ingress=[{"fromEntities": ["all"]}])], "payments", 81, True),
        ([cilium(ingress=[{}]), policy(ingress=[{}])], "data", None, True),
        # entities
        ([cilium(ingress=[{"fromEntities": ["world"]}])], "shop", None, False),
        ([cilium(ingress=[{"fromEntities": ["cluster"]}])], "shop", None, True),
    ],
)
def test_ciliums_policies_on_cilium(policies: list[Any], source: str, port: int | None, expected: bool) -> None:
    assert book(*policies).allows(Flow(peer(source, cni=Cni.CILIUM), POD, port)) is expected


@pytest.mark.parametrize(
    ("rule", "target", "expected"),
    [
        ({"toEntities": ["world"]}, WORLD, True),
        ({"toEntities": ["world"]}, OTHER_NODE, False),
        ({"toEntities": ["host"]}, OTHER_NODE, False),
        ({"toEntities": ["host"]}, peer(cni=None, node="n1"), True),
        ({"toEntities": ["remote-node"]}, OTHER_NODE, True),
        ({"toEntities": ["kube-apiserver"]}, API_SERVER, True),
        ({"toEntities": ["kube-apiserver"]}, WORLD, False),
        ({"toCIDR": ["203.0.113.0/24"]}, WORLD, True),
        ({"toCIDRSet": [{"cidr": "203.0.113.0/24", "except": ["203.0.113.80/32"]}]}, WORLD, False),
        # never by address within the cluster (docs/platform.md 5.6)
        ({"toCIDR": ["0.0.0.0/0"]}, peer("data", cni=Cni.CILIUM), False),
        ({"toCIDR": ["0.0.0.0/0"]}, OTHER_NODE, False),
        ({"toFQDNs": [{"matchName": "example.com"}]}, WORLD, False),
    ],
)
def test_ciliums_egress(rule: dict[str, Any], target: Peer, expected: bool) -> None:
    assert book(cilium(egress=[rule])).allows(Flow(POD, target)) is expected


@pytest.mark.parametrize(
    ("written", "read_by"),
    [
        (calico(ingress=[DENY_ALL]), Cni.CANAL),
        (calico_global(selector="all()", ingress=[DENY_ALL]), Cni.CANAL),
        (cilium(ingress=[{}]), Cni.CILIUM),
        (cilium_clusterwide(ingress=[{}]), Cni.CILIUM),
    ],
)
@pytest.mark.parametrize("cni", list(Cni))
def test_each_cni_reads_its_own_policies_only(written: Any, read_by: Cni, cni: Cni) -> None:
    is_allowed = book(written).allows(Flow(peer("data", cni=cni), peer(cni=cni)))
    assert is_allowed is (cni is not read_by)


@pytest.mark.parametrize("source", [peer("data", cni=Cni.CILIUM), OTHER_NODE])
def test_cilium_never_matches_what_is_in_the_cluster_by_address(source: Peer) -> None:
    open_to_all = policy(ingress=sources({"ipBlock": {"cidr": "0.0.0.0/0"}}))

    assert not book(open_to_all).allows(Flow(source, POD))
    assert book(open_to_all).allows(Flow(WORLD, POD))


def test_the_host_network_is_under_no_policy() -> None:
    assert book(policy()).allows(Flow(peer(), peer(cni=None)))
    assert book(egress_policy()).allows(Flow(peer(cni=None), peer("data")))


def test_a_policy_that_is_gone_is_not_enforced() -> None:
    found = book(policy())
    assert not found.allows(Flow(peer(), TARGET))
    gone = {"metadata": {"name": "p0", "namespace": "shop"}, "spec": {}}
    found.note(NETWORK_POLICIES, Change("DELETED", gone, None))

    assert found.allows(Flow(peer(), TARGET))


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ["a", "b"], True),
        ("In", ["c"], False),
        ("NotIn", ["a"], False),
        ("NotIn", ["c"], True),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
        ("Unheard", ["a"], False),
    ],
)
def test_match_expressions(operator: str, values: list[str] | None, expected: bool) -> None:
    selector = {"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]}

    assert are_labels_selected(selector, {"tier": "a"}) is expected
