"""The manifests of deployments/rbac hold exactly the rights that the readiness check asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusters.access import CLUSTER, for_the_view, in_user_cluster, on_seed
from clusters.rights import Access
from migration.models import (
    MigrationRequest,
    OnFailure,
    ProbeOptions,
    ProxyMode,
    RestartOptions,
    RestartStrategy,
    Runbook,
)
from tests.rbac import Atom, atoms_of, read_manifests
from tests.unit.making import make_request

MANIFESTS = Path(__file__).parents[2] / "deployments/rbac"
NAME = "hv2c7xk9tl"
EVICT = RestartOptions(strategy=RestartStrategy.EVICT)
PROBES = ProbeOptions(enabled=True)
ALL = {"rotate_nodes": True, "remove_crds": True, "pods": EVICT, "reverts": "an earlier one", "probes": PROBES}


def atom(access: Access) -> Atom:
    resource = f"{access.resource}/{access.subresource}" if access.subresource else access.resource
    return Atom(verb=access.verb, group=access.group, resource=resource, namespace=access.namespace, name=access.name)


def held(file: str) -> set[Atom]:
    return atoms_of(read_manifests(MANIFESTS / file, **{CLUSTER: NAME}))


def test_the_seed_s_manifest_holds_what_is_asked_for_and_no_more():
    asked = {atom(access) for access in on_seed(NAME, f"cluster-{NAME}", as_admin=True)}

    assert held("seed.yaml") == asked


def test_the_user_cluster_s_manifest_holds_what_is_asked_for_and_no_more():
    requests = [make_request(runbook=runbook, **ALL) for runbook in Runbook]
    asked = {atom(access) for request in requests for access in (*in_user_cluster(request), *for_the_view(request))}

    assert held("user-cluster.yaml") == asked


def test_a_fleet_s_manifest_lets_clusters_be_listed_and_nothing_else():
    assert held("fleet.yaml") == {
        Atom(verb="list", group="kubermatic.k8c.io", resource="clusters", namespace="", name="")
    }


@pytest.mark.parametrize("file", ["seed.yaml", "user-cluster.yaml"])
def test_no_right_is_given_twice(file):
    atoms = held(file)

    assert [str(one) for one in atoms if any(other.allows(one) for other in atoms - {one})] == []


def test_the_administrator_s_kubeconfig_is_asked_for_where_it_is_used():
    lesser = on_seed(NAME, "elsewhere", as_admin=False)

    assert [str(access) for access in lesser if access.resource == "secrets"] == [
        'get secrets "cni-migration-kubeconfig" in elsewhere'
    ]
    more = set(on_seed(NAME, "elsewhere", as_admin=True)) - set(lesser)
    assert [str(access) for access in more] == ['get secrets "admin-kubeconfig" in elsewhere']


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"pods": EVICT}, {"create pods/eviction"}),
        (
            {"probes": PROBES},
            {
                "list namespaces",
                "create namespaces",
                'get namespaces "cni-migration-probes"',
                'watch namespaces "cni-migration-probes"',
                'delete namespaces "cni-migration-probes"',
                "get services",
                "create services",
                "get networkpolicies.networking.k8s.io",
                "create networkpolicies.networking.k8s.io",
                "watch endpointslices.discovery.k8s.io",
            },
        ),
        (
            {"desired_proxy_mode": ProxyMode.EBPF},
            {
                'get daemonsets.apps "kube-proxy" in kube-system',
                'get deployments.apps "cilium-operator" in kube-system',
                'patch deployments.apps "cilium-operator" in kube-system',
                'patch daemonsets.apps "cilium" in kube-system',
                'patch daemonsets.apps "kube-proxy" in kube-system',
            },
        ),
        (
            {"reverts": "m1"},
            {
                "get *.cilium.io",
                "create *.cilium.io",
                "patch nodes",
                "list machines.cluster.k8s.io in kube-system",
            },
        ),
        (
            {"rotate_nodes": True},
            {
                "get machinedeployments.cluster.k8s.io in kube-system",
                "watch machinedeployments.cluster.k8s.io in kube-system",
                "patch machinedeployments.cluster.k8s.io in kube-system",
                "list machines.cluster.k8s.io in kube-system",
                "watch machines.cluster.k8s.io in kube-system",
            },
        ),
    ],
)
def test_what_only_some_requests_need_is_asked_for_them(choice, expected):
    without = set(in_user_cluster(make_request(rotate_nodes=False)))

    found = set(in_user_cluster(make_request(**{"rotate_nodes": False, **choice})))

    assert {str(access) for access in found - without} == expected
    assert without < found


@pytest.mark.parametrize(
    ("runbook", "groups", "count"),
    [
        # Canal v3.31: KKP 2.31, addons/canal.
        (Runbook.CANAL_TO_CILIUM, {"crd.projectcalico.org", "policy.networking.k8s.io"}, 24),
        (Runbook.CILIUM_TO_CANAL, {"cilium.io"}, 24),
    ],
)
def test_definitions_are_deleted_by_name_if_asked_for(runbook, groups, count):
    without = set(in_user_cluster(make_request(runbook=runbook)))

    more = set(in_user_cluster(make_request(runbook=runbook, remove_crds=True))) - without

    assert {(access.verb, access.resource) for access in more} == {("delete", "customresourcedefinitions")}
    assert {access.name.partition(".")[2] for access in more} == groups
    assert len(more) == count


def test_a_run_that_may_be_taken_back_needs_what_the_way_back_needs():
    request = make_request(runbook=Runbook.CANAL_TO_CILIUM, on_failure=OnFailure.REVERT)
    back = make_request(runbook=Runbook.CILIUM_TO_CANAL, reverts="m1")

    assert set(in_user_cluster(back)) < set(in_user_cluster(request))
    assert len(in_user_cluster(request)) == len(set(in_user_cluster(request)))


def needed_to_remove(request: MigrationRequest) -> set[str]:
    removed = ("daemonsets", "configmaps")
    return {
        access.name for access in in_user_cluster(request) if access.verb == "delete" and access.resource in removed
    }


def test_each_runbook_removes_its_own_old_cni_and_no_other():
    assert needed_to_remove(make_request()) == {"canal", "canal-config"}
    assert "canal" not in needed_to_remove(make_request(runbook=Runbook.CILIUM_TO_CANAL))
    assert needed_to_remove(make_request(runbook=Runbook.CHANGE_PROXY_MODE)) == set()


@pytest.mark.parametrize("runbook", list(Runbook))
def test_what_only_dims_the_view_is_not_needed(runbook):
    request = make_request(runbook=runbook)

    assert set(for_the_view(request)) & set(in_user_cluster(request)) == set()
    assert "list persistentvolumes" in {str(access) for access in for_the_view(request)}
