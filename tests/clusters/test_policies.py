from typing import Any

import pytest

from clusters.kinds import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, NETWORK_POLICIES, Kind
from clusters.policies import list_policies
from clusters.steps.survey import list_pods
from migration.errors import OperatorActionNeeded
from migration.models import CniType
from migration.policies import NetworkRanges, findings, policy_changes

GLOBAL_POLICIES = Kind("crd.projectcalico.org", "v1", "globalnetworkpolicies", namespaced=False, custom=True)
CILIUM_POLICIES = Kind("cilium.io", "v2", "ciliumnetworkpolicies", custom=True)


def definition(group, plural, kind, *versions, scope="Namespaced"):
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            # What the API server asks of whoever makes a definition under a name of the Kubernetes community.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [
                {"name": name, "served": served, "storage": storage, "schema": schema}
                for name, served, storage in versions
            ],
        },
    }


async def define(api, *arguments, **fields):
    await api.create(CUSTOM_RESOURCE_DEFINITIONS, definition(*arguments, **fields))


async def make(api, kind, api_version, name, spec, *, object_kind, namespace="", **more):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    body = {"apiVersion": api_version, "kind": object_kind, "metadata": metadata, "spec": spec, **more}
    await api.create(kind, body, namespace=namespace)


def named(policies):
    return sorted(f"{policy.kind} {policy.place}" for policy in policies)


class TestGathering:
    async def test_policies_are_found_with_what_they_say(self, api):
        found = await list_policies(api)

        assert "NetworkPolicy payments/ledger-from-gateway" in named(found.kubernetes)
        assert named(found.calico) == [
            "GlobalNetworkPolicy deny-metadata-service",
            "NetworkPolicy data/cache-from-shop",
        ]
        assert {policy.spec["selector"] for policy in found.calico} == {"all()", "app == 'cache'"}
        assert found.admin == ()

    async def test_namespaces_are_found_with_their_labels(self, api):
        found = await list_policies(api)
        assert set(found.namespaces) == {item["metadata"]["name"] for item in await api.list(NAMESPACES)}
        assert found.namespaces["shop"]["kubernetes.io/metadata.name"] == "shop"

    async def test_kinds_that_are_not_defined_yield_none(self, api):
        assert (await list_policies(api)).cilium == ()

    async def test_policies_of_cilium_are_read_in_the_version_that_is_served(self, opened):
        await define(
            opened.api,
            "cilium.io",
            "ciliumnetworkpolicies",
            "CiliumNetworkPolicy",
            ("v1", False, False),
            ("v2", True, True),
        )
        rules: list[Any] = [{"endpointSelector": {}, "ingress": [{}]}]
        await make(
            opened.api,
            CILIUM_POLICIES,
            "cilium.io/v2",
            "deny",
            rules[0],
            object_kind="CiliumNetworkPolicy",
            namespace="shop",
            specs=rules,
        )

        (found,) = (await list_policies(opened.api)).cilium

        assert (found.kind, found.place, found.spec, found.specs) == (
            "CiliumNetworkPolicy",
            "shop/deny",
            rules[0],
            rules,
        )

    async def test_a_kind_that_is_served_in_no_version_can_not_be_passed_over(self, opened):
        await define(opened.api, "cilium.io", "ciliumnetworkpolicies", "CiliumNetworkPolicy", ("v2", False, True))
        with pytest.raises(OperatorActionNeeded, match=r"ciliumnetworkpolicies.cilium.io serves no version"):
            await list_policies(opened.api)

    async def test_definitions_of_others_are_not_read(self, cluster, opened):
        await define(opened.api, "example.org", "networkpolicies", "NetworkPolicy", ("v1", True, True))
        before = await list_policies(opened.api)
        assert named(before.calico) == [
            "GlobalNetworkPolicy deny-metadata-service",
            "NetworkPolicy data/cache-from-shop",
        ]

    async def test_many_policies_are_read_in_pages(self, opened):
        for number in range(3):
            await make(
                opened.api,
                GLOBAL_POLICIES,
                "crd.projectcalico.org/v1",
                f"more-{number}",
                {"selector": "all()"},
                object_kind="GlobalNetworkPolicy",
            )
        assert len((await list_policies(opened.api)).calico) == 5


async def test_the_lab_s_own_policies_are_judged(opened):
    facts, pods = await list_policies(opened.api), await list_pods(opened.api)
    ranges = NetworkRanges(pods=("172.25.0.0/16",), services=("10.240.16.0/20",))

    found = {change.policy: change for change in policy_changes(facts, pods, ranges, target=CniType.CILIUM)}

    cache = found["Calico NetworkPolicy data/cache-from-shop"]
    assert len(cache.workloads) == 1
    assert cache.workloads[0].startswith("data/")
    assert "open to all ingress traffic afterwards" in cache.reason
    assert len(found["GlobalNetworkPolicy deny-metadata-service"].workloads) > 5
    assert "NetworkPolicy payments/ledger-from-gateway" not in found
    assert {finding.code for finding in findings(found.values())} == {"calico-policy"}


async def test_a_kubernetes_policy_with_a_pod_range_is_judged(opened):
    spec = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "172.25.0.0/16"}}]}]}
    await make(
        opened.api,
        NETWORK_POLICIES,
        "networking.k8s.io/v1",
        "from-pods",
        spec,
        object_kind="NetworkPolicy",
        namespace="shop",
    )
    facts, pods = await list_policies(opened.api), await list_pods(opened.api)

    found = policy_changes(facts, pods, NetworkRanges(pods=("172.25.0.0/16",)), target=CniType.CILIUM)

    (change,) = [one for one in found if one.policy == "NetworkPolicy shop/from-pods"]
    assert change.effect == "changed"
    assert change.workloads == tuple(
        sorted({pod.workload for pod in pods if pod.namespace == "shop" and not pod.finished})
    )
