import pytest

from migration.models import Owner
from migration.verification import Baseline, bad_nodes, broken_before, duplicate_addresses, regressions
from tests.unit.making import make_node, make_pod


def make_baseline(**changes):
    fields = {
        "ready_pods": {"shop/Deployment/web": 3},
        "desired_pods": {"shop/Deployment/web": 3},
        "services": {"shop/web": 3},
        "bare_pods": ("shop/shell",),
    }
    return Baseline(**{**fields, **changes})


BEFORE = make_baseline()


def test_the_same_as_before_is_no_regression():
    assert regressions(BEFORE, BEFORE) == ()


REGRESSIONS = [
    ({"ready_pods": {"shop/Deployment/web": 2}}, "shop/Deployment/web has 2 ready pods (it had 3)"),
    ({"ready_pods": {}}, "shop/Deployment/web has 0 ready pods (it had 3)"),
    (
        {"ready_pods": {"shop/Deployment/web": 1}, "desired_pods": {"shop/Deployment/web": 2}},
        "shop/Deployment/web has 1 ready pods (it had 3)",
    ),
    ({"services": {"shop/web": 0}}, "Service shop/web has no ready endpoint (it had 3)"),
    ({"bare_pods": ()}, "Pod shop/shell is not ready (it has no controller)"),
]


@pytest.mark.parametrize(("changes", "text"), REGRESSIONS)
def test_what_got_worse_is_named(changes, text):
    assert regressions(BEFORE, make_baseline(**changes)) == (text,)


HARMLESS = [
    {"ready_pods": {"shop/Deployment/web": 1}, "desired_pods": {"shop/Deployment/web": 1}},
    {"ready_pods": {}, "desired_pods": {}},
    {"ready_pods": {"shop/Deployment/web": 5}, "desired_pods": {"shop/Deployment/web": 5}},
    {"services": {}},
    {"services": {"shop/web": 1}},
    {"services": {"shop/web": 3, "shop/new": 0}},
    {"bare_pods": ("shop/shell", "shop/other")},
    {"bare_pods": (), "ended_pods": ("shop/shell",)},
]


@pytest.mark.parametrize("changes", HARMLESS)
def test_what_people_did_meanwhile_is_no_regression(changes):
    assert regressions(BEFORE, make_baseline(**changes)) == ()


def test_what_was_broken_before_stays_allowed_to_be():
    before = make_baseline(ready_pods={"shop/Deployment/web": 1}, services={"shop/web": 0})
    now = make_baseline(ready_pods={"shop/Deployment/web": 1}, services={"shop/web": 0})

    assert regressions(before, now) == ()
    assert broken_before(before) == ("shop/Deployment/web had 1 of 3 pods ready before",)


def test_a_sound_cluster_had_nothing_broken():
    assert broken_before(BEFORE) == ()


def test_a_baseline_of_an_earlier_version_is_understood():
    document = BEFORE.model_dump(mode="json", exclude={"ended_pods"})

    assert Baseline.model_validate(document) == BEFORE


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


def test_nodes_that_are_not_ready_are_named_unless_they_go():
    nodes = [make_node("a"), make_node("b", ready=False), make_node("c", ready=False, deleting=True)]

    assert bad_nodes(nodes) == ("Node b is not Ready",)
