"""What the chaos suite holds against a cluster after each case: every kind of damage shows, and none is imagined."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from migration.journal import Journal, StoredBackup
from migration.models import Runbook
from migration.verification import Baseline
from tests.chaos.births import Births, Born
from tests.chaos.invariants import Known, Look, failed_badly, taken_back_badly, violations
from tests.chaos.scenarios import BY_NAME, CANAL, CILIUM, GOING_BACK
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
    machines=3,
    nodes=frozenset({"n1", "n2", "n3"}),
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


NOBODY = Born()
KNOWN = Known(
    cluster="lab/abc", before=BEFORE, steps=frozenset({"switch CNI", "remove Cilium's files"}), has_api_trouble=False
)
WAYS = "To resume: start the flow again. To go back: possible."
ON_CILIUM = "the Cluster's spec says cilium 1.19.4, kube-proxy mode iptables; Canal is not there"


def found(after=AFTER, *, scenario=SCENARIO, before=BEFORE, born=NOBODY):
    return list(violations(scenario, before, after, born))


def moved(count):
    return Born(before_rotation=Counter({POD.workload: count}))


def with_nodes(count, *, lost):
    return Born(
        before_rotation=Counter({POD.workload: 1}),
        in_rotation=Counter({POD.workload: count}),
        lost_nodes=Counter({POD.workload: lost}),
    )


def test_a_cluster_that_arrived_breaks_nothing():
    assert found(born=moved(1)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"place": CANAL}, "target"),
        ({"on_old_cni": ("shop/web-1",)}, "pods: not on cilium: shop/web-1"),
        ({"labelled": True}, "label"),
        ({"holder": "run-1"}, "lease: run-1"),
        ({"cordoned": ("n1",)}, "left cordoned: n1"),
        ({"machines": 4}, "4 Machines"),
        ({"nodes": frozenset({"n1", "n2", "n4"})}, "1 were replaced"),
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
    assert "of which 2 were born, at most 1 each" in found(born=moved(2))[0]


def test_a_pod_moves_once_more_with_each_node_that_goes_from_under_it():
    renewed = replace(AFTER, nodes=frozenset({"n4", "n5", "n6"}))

    assert found(renewed, scenario=WITH_NODES, born=with_nodes(2, lost=2)) == []
    assert (
        "lost 1 pods with their nodes, and 2 were born"
        in found(renewed, scenario=WITH_NODES, born=with_nodes(2, lost=1))[0]
    )


def test_a_node_that_goes_excuses_no_second_restart_for_the_cni():
    renewed = replace(AFTER, nodes=frozenset({"n4", "n5", "n6"}))

    assert "at most 1 each" in found(renewed, scenario=WITH_NODES, born=moved(2))[0]


def test_pods_that_came_with_a_cni_are_no_restarts():
    assert found(born=Born(before_rotation=Counter({"kube-system/Deployment/hubble-relay": 2}))) == []


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


def failed(said, *, at=AFTER, known=KNOWN, is_first=True):
    return list(failed_badly(known, at, f"{said} {WAYS}", is_first=is_first))


def test_a_failure_that_tells_step_and_state_is_true():
    assert failed(f"lab/abc: step 'switch CNI' failed: no answer. State: {ON_CILIUM}.") == []
    assert failed(f'lab/abc: step "remove Cilium\'s files" failed: no. State: {ON_CILIUM}.') == []


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (f"no answer. State: {ON_CILIUM}.", "names no step"),
        (f"lab/xyz: step 'switch CNI' failed: no. State: {ON_CILIUM}.", "names no step"),
        (f"lab/abc: step 'the runbook' failed: no. State: {ON_CILIUM}.", "names no step"),
        ("lab/abc: step 'switch CNI' failed: no. State: the Cluster's spec says canal v3.30;.", "something else"),
        ("lab/abc: step 'switch CNI' failed: no. State: nothing was changed by this run.", "nothing was changed"),
        ("lab/abc: step 'switch CNI' failed: no. State: it could not be looked at.", "could be looked at"),
    ],
)
def test_an_untrue_word_of_a_failure_shows(said, word):
    assert any(word in line for line in failed(said)), failed(said)


def test_a_failure_before_anything_was_changed_may_say_so():
    said = "lab/abc: step 'switch CNI' failed: no. State: nothing was changed by this run."

    assert failed(said, at=BEFORE) == []
    assert failed(said, at=replace(BEFORE, journal=Journal(migrations=(DONE,)))) != []
    assert failed(said, is_first=False) == []


def test_api_servers_in_trouble_can_t_be_looked_at():
    said = "lab/abc: step 'switch CNI' failed: no answer. State: it could not be looked at: no answer."

    assert failed(said, known=replace(KNOWN, has_api_trouble=True)) == []


def test_a_failure_that_says_no_way_forward_shows():
    said = f"lab/abc: step 'switch CNI' failed: no answer. State: {ON_CILIUM}."

    assert len(list(failed_badly(KNOWN, AFTER, said, is_first=True))) == 2


def test_a_run_that_says_it_went_back_must_have():
    said = "lab/abc was not migrated: no answer. The run was taken back as asked for, and everything is as before"

    assert list(taken_back_badly(KNOWN, BEFORE, said)) == []
    assert len(list(taken_back_badly(KNOWN, AFTER, said))) == 1
    assert len(list(taken_back_badly(KNOWN, BEFORE, "lab/abc: it failed"))) == 1


def item(uid, node, *, name="web-1"):
    """A pod as an API server gives it."""
    owner = {"kind": "StatefulSet", "name": "web", "controller": True}
    metadata = {"namespace": "shop", "name": name, "uid": uid, "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Running"}}


@pytest.fixture
def births():
    """A pod on a node, before anything happens."""
    noted = Births()
    noted.note_machine({"metadata": {"uid": "m1"}})
    noted.note_pod(item("p1", "n1"))
    noted.begin()
    return noted


def test_a_birth_before_a_new_machine_is_the_cni_s(births):
    births.note_pod(item("p2", "n1"))

    assert births.told(nodes=["n1"]) == moved_one()


def moved_one(**more):
    return Born(before_rotation=Counter({"shop/StatefulSet/web": 1}), **more)


def test_a_birth_after_it_is_for_the_node_that_goes(births):
    births.note_pod(item("p2", "n1"))
    births.begin_rotation({"p2"})
    births.note_pod(item("p3", "n2"))

    one = Counter({"shop/StatefulSet/web": 1})
    assert births.told(nodes=["n2"]) == moved_one(in_rotation=one, lost_nodes=one)


def test_a_pod_that_went_before_lost_no_node(births):
    births.begin_rotation(set())

    assert births.told(nodes=["n2"]) == NOBODY


def test_the_first_machine_that_is_new_begins_the_rotation(births):
    births.note_machine({"metadata": {"uid": "m1"}})
    births.note_pod(item("p2", "n1"))
    births.note_machine({"metadata": {"uid": "m2"}})
    births.note_pod(item("p3", "n1"))

    assert births.told(nodes=["n1"]) == moved_one(in_rotation=Counter({"shop/StatefulSet/web": 1}))


def test_a_run_that_went_back_has_moved_pods_twice_and_says_so_in_its_journal():
    there = make_migration(finished_at=FINISHED)
    back = make_migration("2", kind=Runbook.CILIUM_TO_CANAL, finished_at=FINISHED, reverts=there.id)
    journal = Journal(migrations=(there, back))
    after = replace(BEFORE, journal=journal, nodes=frozenset({"n4", "n5", "n6"}))

    assert found(after, scenario=GOING_BACK, born=moved(2)) == []
    assert found(after, scenario=GOING_BACK, born=moved(3)) != []
    assert (
        "1 new migrations, not 2" in found(replace(after, journal=Journal(migrations=(there,))), scenario=GOING_BACK)[0]
    )
