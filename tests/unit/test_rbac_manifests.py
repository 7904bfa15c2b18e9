"""The manifests of deployments/rbac hold exactly the rights that the readiness check asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusters.access import CLUSTER, Access, in_user_cluster, on_seed
from migration.models import RestartOptions, RestartStrategy
from tests.rbac import Atom, atoms_of, read_manifests
from tests.unit.making import make_request

MANIFESTS = Path(__file__).parents[2] / "deployments/rbac"
NAME = "hv2c7xk9tl"
ALL = {"rotate_nodes": True, "remove_crds": True, "pods": RestartOptions(strategy=RestartStrategy.EVICT)}


def atom(access: Access) -> Atom:
    resource = f"{access.resource}/{access.subresource}" if access.subresource else access.resource
    return Atom(verb=access.verb, group=access.group, resource=resource, namespace=access.namespace, name=access.name)


def held(file: str) -> set[Atom]:
    return atoms_of(read_manifests(MANIFESTS / file, **{CLUSTER: NAME}))


def test_the_seed_s_manifest_holds_what_is_asked_for_and_no_more():
    asked = {atom(access) for access in on_seed(NAME, f"cluster-{NAME}", as_admin=True)}

    assert held("seed.yaml") == asked


def test_the_user_cluster_s_manifest_holds_what_is_asked_for_and_no_more():
    asked = {atom(access) for access in in_user_cluster(make_request(**ALL))}

    assert held("user-cluster.yaml") == asked


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
        ({"pods": ALL["pods"]}, {"create pods/eviction"}),
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


def test_definitions_are_deleted_by_name_if_asked_for():
    without = set(in_user_cluster(make_request()))

    more = set(in_user_cluster(make_request(remove_crds=True))) - without

    assert {(access.verb, access.resource) for access in more} == {("delete", "customresourcedefinitions")}
    assert {access.name.partition(".")[2] for access in more} == {"crd.projectcalico.org", "policy.networking.k8s.io"}
    assert len(more) == 24  # Canal v3.31: KKP 2.31, addons/canal
