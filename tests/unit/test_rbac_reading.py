"""How tests read manifests of RBAC and audit events."""

from __future__ import annotations

import pytest

from tests.rbac import Atom, allowing, atom_of_event, atoms_of, denied_events, unused

GROUP = "rbac.authorization.k8s.io"


def role(kind, name, *rules, namespace=""):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "metadata": metadata, "rules": list(rules)}


def binding(role_kind, role_name, account, *, namespace=""):
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "ns"}
    reference = {"apiGroup": GROUP, "kind": role_kind, "name": role_name}
    metadata = {"name": role_name, **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "metadata": metadata, "roleRef": reference, "subjects": [subject]}


def rule(verbs, resources, *names, group=""):
    made = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return {**made, "resourceNames": list(names)} if names else made


def event(verb, resource, *, code=200, **more):
    resource, _, subresource = resource.partition("/")
    found = {"resource": resource, **({"subresource": subresource} if subresource else {}), **more}
    return {"verb": verb, "objectRef": found, "responseStatus": {"code": code}}


def test_a_rule_is_expanded_into_every_verb_resource_and_name():
    manifests = [role("ClusterRole", "r", rule("get list", "a b/c", "x", "y")), binding("ClusterRole", "r", "sa")]

    found = atoms_of(manifests)

    assert {str(atom) for atom in found} == {
        f'{verb} {resource} "{name}"' for verb in ("get", "list") for resource in ("a", "b/c") for name in ("x", "y")
    }


def test_a_binding_decides_where_a_role_holds():
    manifests = [
        role("ClusterRole", "r", rule("get", "a")),
        role("Role", "r", rule("get", "b"), namespace="one"),
        binding("ClusterRole", "r", "sa", namespace="two"),
        binding("Role", "r", "sa", namespace="one"),
    ]

    assert {str(atom) for atom in atoms_of(manifests)} == {"get a in two", "get b in one"}


def test_a_role_that_nobody_is_bound_to_gives_nothing():
    assert atoms_of([role("ClusterRole", "r", rule("get", "a"))]) == set()


def test_the_rights_of_one_user_can_be_told():
    manifests = [
        role("ClusterRole", "r", rule("get", "a")),
        role("ClusterRole", "s", rule("get", "b")),
        binding("ClusterRole", "r", "one"),
        binding("ClusterRole", "s", "two"),
    ]

    assert {str(atom) for atom in atoms_of(manifests, user="system:serviceaccount:ns:two")} == {"get b"}


@pytest.mark.parametrize(
    ("right", "wanted", "allowed"),
    [
        ({}, {}, True),
        ({"verb": "list"}, {}, False),
        ({"verb": "*"}, {}, True),
        ({"group": "apps"}, {}, False),
        ({"group": "*"}, {"group": "apps"}, True),
        ({"resource": "*"}, {}, True),
        ({"resource": "*"}, {"resource": "pods/eviction"}, True),
        ({}, {"resource": "pods/eviction"}, False),
        ({"resource": "pods/eviction"}, {"resource": "pods/eviction"}, True),
        ({"resource": "*/eviction"}, {"resource": "pods/eviction"}, True),
        ({"resource": "*/eviction"}, {}, False),
        ({"resource": "pods/eviction"}, {}, False),
        ({}, {"namespace": "one"}, True),
        ({"namespace": "one"}, {"namespace": "one"}, True),
        ({"namespace": "one"}, {"namespace": "two"}, False),
        ({"namespace": "one"}, {}, False),
        ({}, {"name": "x"}, True),
        ({"name": "x"}, {"name": "x"}, True),
        ({"name": "x"}, {"name": "y"}, False),
        ({"name": "x"}, {}, False),
    ],
)
def test_a_right_allows_what_it_covers(right, wanted, allowed):
    usual = {"verb": "get", "group": "", "resource": "pods"}

    assert Atom(**{**usual, **right}).allows(Atom(**{**usual, **wanted})) is allowed


def test_an_event_is_read_as_what_it_wanted():
    found = atom_of_event(event("create", "pods/eviction", namespace="shop", name="web", apiVersion="v1"))

    assert str(found) == 'create pods/eviction "web" in shop'
    assert atom_of_event({"verb": "get", "requestURI": "/version"}) is None


def test_an_event_names_the_rights_that_allow_it():
    everywhere = Atom(verb="get", group="apps", resource="deployments")
    here = Atom(verb="get", group="apps", resource="deployments", namespace="shop", name="web")
    other = Atom(verb="delete", group="apps", resource="deployments")

    found = event("get", "deployments", apiGroup="apps", namespace="shop", name="web")

    assert allowing(found, {everywhere, here, other}) == {everywhere, here}
    assert allowing({"verb": "get"}, {everywhere}) == set()


def test_a_right_is_unused_while_a_narrower_one_is_enough():
    everywhere = Atom(verb="get", group="", resource="pods")
    here = Atom(verb="get", group="", resource="pods", namespace="shop")

    assert unused([event("get", "pods", namespace="shop", name="a")], {everywhere, here}) == {everywhere}
    assert unused([event("get", "pods", namespace="other", name="a")], {everywhere, here}) == {here}


def test_refused_requests_can_be_told():
    refused = event("get", "pods", code=403)

    assert denied_events([event("get", "pods"), refused, {"verb": "get"}]) == [refused]
