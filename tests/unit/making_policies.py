"""Policies for the tests of the rules about them, and a small cluster that they select in."""

from __future__ import annotations

import re
from typing import Any

from migration.models import CniType, Owner
from migration.policies import NetworkRanges, Policy, PolicyFacts, policy_changes
from tests.unit.making import make_pod

Json = dict[str, Any]

CANAL, CILIUM = CniType.CANAL, CniType.CILIUM
RANGES = NetworkRanges(pods=("172.25.0.0/16",), services=("10.240.16.0/20",), nodes=("192.168.1.10",))
WEB, CACHE, LEDGER = "shop/Deployment/web", "data/StatefulSet/cache", "payments/Deployment/ledger"
PODS = (
    make_pod("shop/web-1", labels={"app": "web", "pod-template-hash": "5c9d"}),
    make_pod("shop/web-2", labels={"app": "web", "pod-template-hash": "5c9d"}),
    make_pod(
        "data/cache-0",
        labels={"app": "cache", "statefulset.kubernetes.io/pod-name": "cache-0"},
        owner=Owner(kind="StatefulSet", name="cache"),
    ),
    make_pod("payments/ledger-1", labels={"app": "ledger"}, owner=Owner(kind="Deployment", name="ledger")),
    make_pod(
        "kube-system/agent-1", labels={"app": "agent"}, owner=Owner(kind="DaemonSet", name="agent"), host_network=True
    ),
    make_pod("shop/done-1", labels={"app": "web"}, owner=Owner(kind="Job", name="done"), phase="Succeeded"),
)
NAMESPACES = {"shop": {"team": "a"}, "data": {"team": "a"}, "payments": {"team": "b"}, "kube-system": {}}
DENY_ALL = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def kubernetes(spec, namespace="shop", name="frontend"):
    return Policy(kind="NetworkPolicy", namespace=namespace, name=name, spec=spec)


def calico(spec, kind="NetworkPolicy", name="cache", **fields):
    namespace = "" if "Global" in kind or kind in ("Tier", "HostEndpoint") else "data"
    return Policy(kind=kind, namespace=namespace, name=name, spec=spec, **fields)


def cilium(spec, kind="CiliumNetworkPolicy", namespace="data", name="cache", **fields):
    cluster_wide = "Clusterwide" in kind or "Egress" in kind or "Pool" in kind
    return Policy(kind=kind, namespace="" if cluster_wide else namespace, name=name, spec=spec, **fields)


def changes(target: CniType = CILIUM, pods=PODS, ranges=RANGES, cilium_version="1.19.4", **policies):
    facts = PolicyFacts(namespaces=NAMESPACES, **{family: tuple(found) for family, found in policies.items()})
    return policy_changes(facts, pods, ranges, target=target, cilium_version=cilium_version)


def one(*arguments, **policies):
    found = changes(*arguments, **policies)
    assert len(found) == 1, found
    return found[0]


def ingress(*peers, **more):
    return {"podSelector": {}, "ingress": [{"from": list(peers), **more}]}


def egress(*peers, **more):
    return {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": list(peers), **more}]}


def block(cidr, *exceptions):
    return {"ipBlock": {"cidr": cidr, "except": list(exceptions)}}


def assert_says(change, words):
    assert re.search(words, change.reason), change.reason
