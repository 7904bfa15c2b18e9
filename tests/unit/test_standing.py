from datetime import timedelta

import pytest

from migration.cilium import RolloutFacts
from migration.errors import (
    DeadlineExceeded,
    LockHeld,
    LockLost,
    OperatorActionNeeded,
    PlatformFailed,
    Unreachable,
)
from migration.models import Runbook
from migration.standing import StandingFacts, standing
from tests.unit.making import CANAL, CILIUM, make_cluster, make_migration

FAILED = PlatformFailed("Helm gave up")
ON_CILIUM = make_cluster(cni=CILIUM)


def agents(ready=2, desired=2):
    return RolloutFacts(generation=1, observed_generation=1, desired=desired, updated=desired, ready=ready)


def make_facts(**changes):
    fields = {
        "migration": make_migration(),
        "cluster": ON_CILIUM,
        "canal": agents(),
        "cilium": agents(),
        "on_cilium": 0,
        "on_pod_network": 9,
    }
    return StandingFacts(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster": None}, "it could not be looked at"),
        ({}, "the Cluster's spec says cilium 1.19.4, kube-proxy mode iptables"),
        ({"canal": agents(ready=1)}, "Canal serves 1 of 2 nodes"),
        ({"cilium": None}, "Cilium is not there"),
        ({"on_cilium": 4}, "4 of 9 pods have their network from Cilium"),
        ({"on_cilium": None}, "how many pods are on which CNI is not known"),
        ({"on_pod_network": None}, "how many pods are on which CNI is not known"),
        ({"on_cilium": 4}, "pods on Canal and pods on Cilium can't reach each other"),
        ({"on_cilium": 0}, "all pods are on one CNI, and it is there"),
        ({"on_cilium": 9, "canal": None}, "all pods are on one CNI, and it is there"),
        ({"on_cilium": 0, "canal": None}, "Canal, which gave those pods their network, is gone"),
        ({"on_cilium": 9, "cilium": None}, "Cilium, which gave those pods their network, is gone"),
        ({"on_cilium": 4, "cilium": None}, "Cilium, which gave those pods their network, is gone"),
        ({"on_cilium": 4, "canal": None}, "Canal, which gave those pods their network, is gone"),
        ({"on_cilium": 0, "on_pod_network": 0, "canal": None}, "all pods are on one CNI"),
    ],
)
def test_the_state_is_told_in_words(changes, words):
    assert words in standing(make_facts(**changes), FAILED).state


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FAILED, "mend the cause, then start the flow again with the same parameters"),
        (DeadlineExceeded("x", timedelta(1), "y"), "mend the cause, then start the flow again"),
        (OperatorActionNeeded("reboot"), "do first what the error says"),
        (Unreachable("no answer"), "as soon as the API server answers again"),
        (LockLost("other"), "leave it to the run that holds the cluster's lock"),
        (ValueError("oops"), "this is a fault of the project"),
    ],
)
def test_how_to_go_on_depends_on_the_error(error, words):
    assert words in standing(make_facts(), error).resume


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({}, LockLost("x"), "another run works on this cluster"),
        ({}, LockHeld("x"), "another run works on this cluster"),
        ({"cluster": None}, FAILED, "the cluster can't be reached"),
        ({"cluster": make_cluster(deleting=True)}, FAILED, "the cluster is being deleted"),
        ({"cluster": make_cluster(paused=True)}, FAILED, "the cluster is paused, so KKP would change nothing"),
        ({"migration": None}, FAILED, "the journal can't be read"),
        ({"migration": make_migration(reverts="m0")}, FAILED, "this run takes a migration back already: resume it"),
    ],
)
def test_what_stands_in_the_way_of_a_revert_is_named(changes, error, reason):
    found = standing(make_facts(**changes), error)

    assert not found.can_revert
    assert found.revert == f"not now: {reason}"


BACK = make_migration(kind=Runbook.CILIUM_TO_CANAL, previous_cni=CILIUM, desired_cni=CANAL)
MODE = make_migration(kind=Runbook.CHANGE_PROXY_MODE, desired_cni=CANAL, desired_proxy_mode="ipvs")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster": make_cluster()}, "possible, and cheap"),
        ({}, "pods that are on Cilium restart once more, and nodes have to be replaced"),
        ({"migration": BACK, "cluster": make_cluster()}, "brings cilium 1.19.4, kube-proxy mode iptables back (pods"),
        ({"migration": BACK}, "possible, and cheap"),
        ({"migration": MODE, "cluster": make_cluster(proxy_mode="ipvs")}, "kube-proxy and Cilium's agents restart"),
        ({"migration": MODE, "cluster": make_cluster()}, "possible, and cheap"),
    ],
)
def test_what_a_revert_costs_is_told(changes, words):
    found = standing(make_facts(**changes), FAILED)

    assert found.can_revert
    assert words in found.revert
    assert "revert-migration" in found.revert
