import pytest

from migration.models import Owner
from migration.probes import ProbeKind, ProbeResult, Seen
from migration.replacement import newly_so
from migration.verification import (
    Baseline,
    bad_nodes,
    broken_before,
    duplicate_addresses,
    owned_pods,
    probe_regressions,
    regressions,
)
from tests.unit.making import make_node, make_pod

ADDED = {"owned_pods", "nodes", "bad_nodes", "duplicates", "api_services", "webhooks", "probes", "ended_pods"}
"""What baselines of earlier versions lack."""


def make_baseline(**changes):
    fields = {
        "ready_pods": {"shop/Deployment/web": 3},
        "desired_pods": {"shop/Deployment/web": 3},
        "services": {"shop/web": 3, "kube-system/kube-dns": 2, "shop/checker": 1},
        "bare_pods": ("shop/shell",),
        "owned_pods": {"data/Cluster/main": 3},
        "nodes": ("n1", "n2", "n3"),
        "api_services": {"v1beta1.metrics.k8s.io": True},
        "webhooks": {"checks/pods.example.test": "shop/checker"},
    }
    return Baseline(**{**fields, **changes})


BEFORE = make_baseline()


def texts(differences):
    return tuple(map(str, differences))


def test_the_same_as_before_is_no_regression():
    assert regressions(BEFORE, BEFORE) == ()


def services(**changes):
    return {"services": {**BEFORE.services, **changes}}


REGRESSIONS = [
    ({"ready_pods": {"shop/Deployment/web": 2}}, "shop/Deployment/web has 2 ready pods (it had 3)"),
    ({"ready_pods": {}}, "shop/Deployment/web has 0 ready pods (it had 3)"),
    (
        {"ready_pods": {"shop/Deployment/web": 1}, "desired_pods": {"shop/Deployment/web": 2}},
        "shop/Deployment/web has 1 ready pods (it had 3)",
    ),
    (services(**{"shop/web": 0}), "Service shop/web has no ready endpoint (it had 3)"),
    (
        services(**{"kube-system/kube-dns": 0}),
        "Cluster DNS has no ready endpoint behind Service kube-system/kube-dns (it had 2)",
    ),
    (
        {"services": {"shop/web": 3, "shop/checker": 1}},
        "Cluster DNS has no ready endpoint behind Service kube-system/kube-dns (it had 2)",
    ),
    (
        services(**{"shop/checker": 0}),
        "Webhook checks/pods.example.test fails closed and its Service shop/checker has no ready endpoint",
    ),
    (
        {"api_services": {"v1beta1.metrics.k8s.io": False}},
        "APIService v1beta1.metrics.k8s.io is not available (it was)",
    ),
    ({"owned_pods": {"data/Cluster/main": 2}}, "data/Cluster/main has 2 ready pods (it had 3)"),
    ({"owned_pods": {}}, "data/Cluster/main has 0 ready pods (it had 3)"),
    ({"bare_pods": ()}, "Pod shop/shell is not ready (it has no controller)"),
    ({"bad_nodes": {"is not Ready": ("n2",)}}, "Node n2 is not Ready"),
    ({"bad_nodes": {"has NetworkUnavailable": ("n3",)}}, "Node n3 has NetworkUnavailable"),
    ({"duplicates": ("172.25.0.7 belongs to a, b",)}, "Address 172.25.0.7 belongs to a, b"),
]


@pytest.mark.parametrize(("changes", "text"), REGRESSIONS)
def test_what_got_worse_is_named_once(changes, text):
    assert texts(regressions(BEFORE, make_baseline(**changes))) == (text,)


HARMLESS = [
    {"ready_pods": {"shop/Deployment/web": 1}, "desired_pods": {"shop/Deployment/web": 1}},
    {"ready_pods": {}, "desired_pods": {}},
    {"ready_pods": {"shop/Deployment/web": 5}, "desired_pods": {"shop/Deployment/web": 5}},
    {"services": {"kube-system/kube-dns": 1, "shop/checker": 1}},
    services(**{"shop/web": 1}),
    services(**{"shop/new": 0}),
    {"webhooks": {}, **services(**{"shop/checker": 1})},
    {"webhooks": {**BEFORE.webhooks, "new/pods": "shop/absent"}},
    {"api_services": {}},
    {"api_services": {**BEFORE.api_services, "v1.new": False}},
    {"owned_pods": {"data/Cluster/main": 4, "data/Cluster/new": 1}},
    {"bare_pods": ("shop/shell", "shop/other")},
    {"bare_pods": (), "ended_pods": ("shop/shell",)},
    {"nodes": ("n4", "n5")},
]


@pytest.mark.parametrize("changes", HARMLESS)
def test_what_people_did_meanwhile_is_no_regression(changes):
    assert regressions(BEFORE, make_baseline(**changes)) == ()


BROKEN = [
    ({"ready_pods": {"shop/Deployment/web": 1}}, "shop/Deployment/web had 1 of 3 pods ready before"),
    (services(**{"shop/web": 0}), "Service shop/web had no ready endpoint before"),
    ({"api_services": {"v1.custom": False}}, "APIService v1.custom was not available before"),
    ({"bad_nodes": {"has DiskPressure": ("n1",)}}, "Node n1 has DiskPressure before"),
    ({"duplicates": ("10.0.0.1 belongs to a, b",)}, "Address 10.0.0.1 belongs to a, b before"),
]


@pytest.mark.parametrize(("changes", "text"), BROKEN)
def test_what_was_broken_before_stays_allowed_to_be(changes, text):
    before = make_baseline(**changes)

    assert regressions(before, before) == ()
    assert texts(broken_before(before)) == (text,)


def test_a_sound_cluster_had_nothing_broken():
    assert broken_before(BEFORE) == ()


def test_a_bad_node_that_was_replaced_excuses_one_that_is_bad_now():
    before = make_baseline(bad_nodes={"is not Ready": ("n2",)})
    now = make_baseline(nodes=("n4", "n5", "n6"), bad_nodes={"is not Ready": ("n4", "n5")})

    assert texts(regressions(before, now)) == ("Node n5 is not Ready",)


@pytest.mark.parametrize(
    ("before", "now", "nodes", "expected"),
    [
        ((), ("a",), ("a", "b"), ("a",)),
        (("a",), ("a",), ("a", "b"), ()),
        (("a",), ("b",), ("a", "b"), ("b",)),
        (("a",), ("b",), ("b", "c"), ()),
        (("a", "b"), ("c",), ("c", "d"), ()),
        ((), (), ("a",), ()),
    ],
)
def test_what_is_newly_so(before, now, nodes, expected):
    assert newly_so(before, now, nodes=nodes) == expected


def test_a_baseline_of_an_earlier_version_is_understood():
    document = BEFORE.model_dump(mode="json", exclude=ADDED)

    earlier = Baseline.model_validate(document)

    assert earlier.ready_pods == BEFORE.ready_pods
    assert regressions(earlier, BEFORE) == ()
    worse = make_baseline(bad_nodes={"is not Ready": ("n1",)}, duplicates=("10.0.0.1 belongs to a, b",))
    assert texts(regressions(earlier, worse)) == ("Node n1 is not Ready", "Address 10.0.0.1 belongs to a, b")


def test_a_baseline_survives_its_storage():
    before = make_baseline(
        bad_nodes={"is not Ready": ("n1",)},
        probes=(ProbeResult(kind=ProbeKind.DNS, source="n1", target="x", seen=Seen.TIMEOUT),),
    )

    assert Baseline.model_validate(before.model_dump(mode="json")) == before


def test_probes_that_failed_before_are_told_of_and_not_blamed():
    failing = ProbeResult(kind=ProbeKind.EGRESS, source="n1", target="192.0.2.1:443", seen=Seen.TIMEOUT)
    before = make_baseline(probes=(failing,))

    assert probe_regressions(before, (failing,)) == ()
    assert texts(broken_before(before)) == (
        "Probe outside address, from n1 to 192.0.2.1:443 saw no answer where an open connection was expected before",
    )


def test_two_pods_with_one_address_are_named():
    pods = [
        make_pod("shop/a", addresses=("172.25.0.7", "fd01::7")),
        make_pod("shop/b", addresses=("172.25.0.7",)),
        make_pod("shop/c", addresses=("172.25.0.8",)),
    ]

    assert duplicate_addresses(pods) == ("172.25.0.7 belongs to shop/a, shop/b",)


@pytest.mark.parametrize("changes", [{"host_network": True}, {"phase": "Succeeded"}, {"mirror": True}])
def test_pods_off_the_pod_network_share_addresses_freely(changes):
    shared = [make_pod("shop/a"), make_pod("shop/b", **changes, owner=Owner(kind="Job", name="x"))]

    assert duplicate_addresses(shared) == ()


def test_pods_without_an_address_are_no_duplicates():
    assert duplicate_addresses([make_pod("shop/a", addresses=()), make_pod("shop/b", addresses=())]) == ()


def test_the_troubles_of_nodes_are_named_unless_they_go():
    nodes = [
        make_node("a"),
        make_node("b", ready=False, bad_conditions=("NetworkUnavailable",)),
        make_node("c", ready=False, deleting=True),
        make_node("d", bad_conditions=("DiskPressure",)),
    ]

    assert bad_nodes(nodes) == {
        "is not Ready": ("b",),
        "has NetworkUnavailable": ("b",),
        "has DiskPressure": ("d",),
    }


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job", "Node"])
def test_pods_of_controllers_that_are_read_themselves_are_not_counted_again(kind):
    assert owned_pods([make_pod(owner=Owner(kind=kind, name="web"))]) == {}


def test_ready_pods_of_other_controllers_are_counted():
    owner = Owner(kind="Cluster", name="main")
    pods = [
        make_pod("data/a", owner=owner),
        make_pod("data/b", owner=owner),
        make_pod("data/c", owner=owner, ready=False),
        make_pod("data/d", owner=owner, deleting=True),
        make_pod("data/e", owner=None),
    ]

    assert owned_pods(pods) == {"data/Cluster/main": 2}
