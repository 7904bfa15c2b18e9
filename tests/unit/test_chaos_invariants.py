"""What the chaos suite holds against a cluster after each case: every kind of damage shows, and none is imagined."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from migration.journal import Journal, StoredBackup
from migration.models import Runbook
from migration.verification import Baseline
from tests.chaos.invariants import Look, violations
from tests.chaos.scenarios import BY_NAME, CANAL, CILIUM
from tests.unit.making import make_migration, make_pod

FINISHED = make_migration().started_at
SCENARIO = BY_NAME["canal-to-cilium"]
WITH_NODES = BY_NAME["canal-to-cilium+nodes"]
POD = make_pod("shop/web-1")
BEFORE = Look(
    network="canal v3.30, kube-proxy mode iptables",
    place=CANAL,
    labelled=False,
    belongings={"Service shop/web": {"spec": 1}, "crd.projectcalico.org/v1 NetworkPolicy data/cache": {"spec": 2}},
    baseline=Baseline(
        ready_pods={"shop/Deployment/web": 1}, desired_pods={"shop/Deployment/web": 1}, services={}, bare_pods=()
    ),
    journal=Journal(),
    holder="",
    cordoned=(),
    machines=2,
    nodes=frozenset({"n1", "n2"}),
    backups={},
    on_old_cni=(),
    pods=(POD,),
)
BACKUP = StoredBackup(name="canal", secrets=("cni-migration-1-canal-0",), sha256="", objects=1)
DONE = make_migration(finished_at=FINISHED, backups=(BACKUP,))
AFTER = replace(
    BEFORE,
    network="cilium 1.19.4, kube-proxy mode iptables",
    place=CILIUM,
    journal=Journal(migrations=(DONE,)),
    backups={"cni-migration-1-canal-0": DONE.id},
)


def found(after=AFTER, *, scenario=SCENARIO, before=BEFORE, made=None):
    return list(violations(scenario, before, after, made or Counter()))


def test_a_cluster_that_arrived_breaks_nothing():
    assert found(made=Counter({POD.workload: 1})) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"place": CANAL}, "target"),
        ({"on_old_cni": ("shop/web-1",)}, "pods: not on cilium: shop/web-1"),
        ({"labelled": True}, "label"),
        ({"holder": "run-1"}, "lease: run-1"),
        ({"cordoned": ("n1",)}, "left cordoned: n1"),
        ({"machines": 3}, "3 Machines"),
        ({"nodes": frozenset({"n1", "n3"})}, "1 were replaced"),
        ({"belongings": {**BEFORE.belongings, "Service shop/web": {"spec": 9}}}, "Service shop/web was changed"),
        ({"belongings": {"Service shop/web": {"spec": 1}}}, "data/cache was lost"),
        ({"baseline": BEFORE.baseline.model_copy(update={"ready_pods": {"shop/Deployment/web": 0}})}, "regression"),
        ({"journal": Journal()}, "0 new migrations"),
        ({"journal": Journal(current=DONE.id, migrations=(make_migration(),))}, "still open"),
        ({"backups": {}}, "which is not there"),
        ({"backups": {**AFTER.backups, "cni-migration-1-canal-1": DONE.id}}, "nothing points to"),
    ],
)
def test_damage_shows(change, word):
    assert any(word in line for line in found(replace(AFTER, **change))), found(replace(AFTER, **change))


def test_a_pod_that_was_restarted_twice_shows():
    assert "of which 2 were born, at most 1 each" in found(made=Counter({POD.workload: 2}))[0]


def test_a_pod_moves_once_more_with_each_node_that_is_replaced():
    renewed = replace(AFTER, nodes=frozenset({"n3", "n4"}))

    assert found(renewed, scenario=WITH_NODES, made=Counter({POD.workload: 3})) == []
    assert len(found(renewed, scenario=WITH_NODES, made=Counter({POD.workload: 4}))) == 1


def test_pods_that_came_with_a_cni_are_no_restarts():
    assert found(made=Counter({"kube-system/Deployment/hubble-relay": 2})) == []


def test_policies_may_go_with_their_definitions_alone():
    without = replace(AFTER, belongings={"Service shop/web": {"spec": 1}})

    assert found(without, scenario=BY_NAME["canal-to-cilium+definitions"]) == []


def test_a_way_back_must_say_what_it_takes_back():
    back, taken = BY_NAME["revert-migration+to-canal"], make_migration(finished_at=FINISHED)
    before = replace(BEFORE, place=CILIUM, journal=Journal(migrations=(taken,)))
    reverse = make_migration("2", kind=Runbook.CILIUM_TO_CANAL, finished_at=FINISHED, reverts=taken.id)
    after = replace(before, place=CANAL, journal=Journal(migrations=(taken, reverse)))
    silent = replace(after, journal=Journal(migrations=(taken, reverse.model_copy(update={"reverts": ""}))))

    assert found(after, scenario=back, before=before) == []
    assert "doesn't say that it takes another one back" in found(silent, scenario=back, before=before)[0]
