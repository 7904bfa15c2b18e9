"""NetworkPolicies, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from lab.network.policies import Peer, allows_ingress, are_labels_selected
from lab.network.reachability import Cni, Place


def peer(
    namespace: str = "shop",
    *,
    cni: Cni | None = Cni.CANAL,
    node: str = "n1",
    address: str = "172.25.0.9",
    **labels: str,
) -> Peer:
    team = {"team": namespace}
    return Peer(namespace=namespace, namespace_labels=team, labels=labels, address=address, place=Place(node, cni))


def policy(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"], **spec}}


def sources(*allowed: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"from": list(allowed)}]


TARGET = peer(app="store")
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
        ([policy(policyTypes=["Egress"])], peer(), True),
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
    ],
)
def test_ingress(policies: list[dict[str, Any]], source: Peer, expected: bool) -> None:
    assert allows_ingress(policies, source=source, target=TARGET) is expected


def test_cilium_never_matches_pods_by_address() -> None:
    open_to_pods = policy(ingress=sources({"ipBlock": {"cidr": "172.25.0.0/16"}}))
    source, target = peer(cni=Cni.CILIUM), peer(cni=Cni.CILIUM, app="store")

    assert not allows_ingress([open_to_pods], source=source, target=target)


def test_the_host_network_is_under_no_policy() -> None:
    assert allows_ingress([policy()], source=peer(), target=peer(cni=None))


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
