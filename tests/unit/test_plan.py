"""The dry run's plan: what would be done, told by the functions that do it."""

from __future__ import annotations

import inspect
import json
import re

import pytest

from flows import runbooks
from migration.manifest_findings import ManifestFacts, OldCniFacts
from migration.models import BarePodChoice, CniType, JobChoice, Owner, ProxyMode, RestartOptions, Runbook
from migration.plan import NAMED_OBJECTS, NAMED_PODS, plan
from migration.plan_steps import planned_steps
from migration.survey import ApplicationValues, CniFacts, OwnedObject
from tests.unit.making import make_cluster, make_node, make_pod
from tests.unit.readiness_cases import FREE_VALUES, Case, on_cilium, pods, to_canal, to_cilium, to_mode

AGENT = make_pod("kube-system/konnectivity-1", labels={"app": "konnectivity-agent"})
DNS = make_pod("kube-system/coredns-1", labels={"app": "coredns"})
JOB = make_pod("batch/report-1", owner=Owner(kind="Job", name="report"))
ALL = {"remove_crds": True}


def planned(case: Case):
    return plan(case.survey, case.request)


def tasks_of(runbook) -> list[str]:
    return re.findall(r"await (?!safe_point)(\w+)\(run", inspect.getsource(runbook))


@pytest.mark.parametrize(
    ("case", "runbook"),
    [
        (to_cilium(ALL), runbooks.canal_to_cilium),
        (to_canal(ALL), runbooks.cilium_to_canal),
        (to_mode(ProxyMode.EBPF), runbooks.change_proxy_mode),
    ],
    ids=list(Runbook),
)
def test_the_steps_are_those_of_the_runbook_in_its_order(case, runbook):
    found = [step.task for step in planned_steps(case.survey, case.request)]

    assert found == [*tasks_of(runbook), "verify", "finish_migration"]


def test_to_cilium_the_label_comes_first_then_the_cni_then_the_nodes():
    case = to_cilium({"tunnel_port": 9000}, helm_defaults={"operator": {"replicas": 1}})

    patches = planned(case).patches

    assert [patch.object for patch in patches] == [
        "Cluster hv2c7xk9tl on seed lab",
        "Cluster hv2c7xk9tl on seed lab",
        "MachineDeployment kube-system/workers",
        "Cluster hv2c7xk9tl on seed lab",
    ]
    assert patches[0].body == {"metadata": {"labels": {"unsafe-cni-migration": "true"}}}
    assert patches[1].body["spec"] == {"cniPlugin": {"type": "cilium", "version": "1.19.4"}}
    values = json.loads(patches[1].body["metadata"]["annotations"]["kubermatic.io/initial-cni-values-request"])
    assert values == {"operator": {"replicas": 1}, "tunnelPort": 9000}
    assert "forceRestart" in patches[2].body["spec"]["template"]["metadata"]["annotations"]
    assert patches[3].body == {"metadata": {"labels": {"unsafe-cni-migration": None}}}


def test_a_label_that_was_there_is_left_alone():
    case = to_cilium({"rotate_nodes": False}, cluster=make_cluster(labels=frozenset({"unsafe-cni-migration"})))

    assert [set(patch.body) for patch in planned(case).patches] == [{"metadata", "spec"}]


def test_to_cilium_the_proxy_mode_follows_when_canal_is_gone():
    case = to_cilium({"desired_proxy_mode": ProxyMode.EBPF})

    specs = [patch.body.get("spec") for patch in planned(case).patches[1:3]]

    assert specs == [
        {"cniPlugin": {"type": "cilium", "version": "1.19.4"}},
        {"clusterNetwork": {"proxyMode": "ebpf"}},
    ]


def test_to_canal_both_change_in_one_patch_after_cilium_was_prepared():
    application = ApplicationValues(values={"cni": {"chainingMode": "portmap"}}, resource_version="7")
    case = to_canal(application=application, **on_cilium(proxy_mode="ebpf"))

    first, _, third, *_ = planned(case).patches

    assert first.object == "ApplicationInstallation kube-system/cilium"
    assert first.body == {
        "metadata": {"resourceVersion": "7"},
        "spec": {"values": {"cni": {"chainingMode": "portmap", "uninstall": True}, "tunnelPort": 8473}},
    }
    assert third.body["spec"] == {
        "cniPlugin": {"type": "canal", "version": "v3.30"},
        "clusterNetwork": {"proxyMode": "iptables"},
    }


def test_values_stay_in_the_key_that_has_them():
    case = to_canal(application=ApplicationValues(values={"a": 1}, in_block=True))

    assert "valuesBlock" in planned(case).patches[0].body["spec"]


def test_what_is_prepared_already_is_not_patched():
    values = {**FREE_VALUES, "cni": {**FREE_VALUES["cni"], "uninstall": True}}
    case = to_canal(application=ApplicationValues(values=values))

    assert [patch.object.split()[0] for patch in planned(case).patches] == [
        *("Cluster", "Cluster", "MachineDeployment", "Cluster")
    ]


def test_pods_are_named_in_the_order_of_their_restart():
    case = to_cilium(**pods(make_pod(), DNS, AGENT, JOB))

    found = planned(case)

    assert [(wave.name, wave.pods, wave.one_at_a_time) for wave in found.waves] == [
        ("konnectivity-agent", (AGENT.key,), True),
        ("cluster DNS", (DNS.key,), False),
        ("everything else", ("shop/web-1",), False),
    ]
    assert found.restarts == 3
    assert found.awaited == (JOB.key,)


def test_what_is_left_alone_is_named_with_the_reason():
    options = RestartOptions(bare_pods=BarePodChoice.SKIP, jobs=JobChoice.SKIP)
    case = to_cilium({"pods": options}, **pods(make_pod(owner=None), JOB))

    assert planned(case).skipped == (
        "shop/web-1: no controller would bring it back",
        "batch/report-1: it belongs to a running Job",
    )


def test_names_are_bounded_and_counts_are_not():
    many = tuple(make_pod(f"shop/web-{number:04}") for number in range(5000))
    objects = tuple(OwnedObject(kind="ConfigMap", place=f"kube-system/{number}") for number in range(300))

    found = planned(to_cilium(canal=CniFacts(objects=objects), **pods(*many)))

    assert found.restarts == 5000
    assert len(found.waves[0].pods) == NAMED_PODS
    assert len(found.removals) == NAMED_OBJECTS
    assert found.more_removals == 100


def test_to_canal_the_pods_of_cilium_are_restarted():
    other = make_pod("shop/other")
    case = to_canal(**pods(make_pod(), other))

    assert planned(case).waves[0].pods == ("shop/web-1",)


def test_no_pod_is_restarted_where_pods_move_with_their_nodes():
    case = to_canal(application=ApplicationValues(values={}), **on_cilium(proxy_mode="ebpf"))

    found = planned(case)

    assert found.waves == ()
    assert "uninstall" not in str(found.patches[0].body)


def test_only_the_old_cni_s_objects_are_removed_and_what_the_manifest_names():
    canal = CniFacts(objects=(OwnedObject(kind="DaemonSet", place="kube-system/canal"),))
    cilium = CniFacts(objects=(OwnedObject(kind="DaemonSet", place="kube-system/cilium"),))
    manifest = ManifestFacts(source="x", objects=("ConfigMap kube-system/canal-config",))

    away = planned(to_cilium(canal=canal, cilium=cilium, old_cni=OldCniFacts(old_cni=CniType.CANAL, manifest=manifest)))
    back = planned(to_canal(canal=canal, cilium=cilium))
    stays = planned(to_mode(ProxyMode.EBPF, canal=canal, cilium=cilium))

    assert [found.place for found in away.removals] == ["kube-system/canal", "kube-system/canal-config"]
    assert [found.kind for found in back.removals] == ["ApplicationInstallation", "DaemonSet"]
    assert stays.removals == ()


def test_every_node_has_its_fate():
    nodes = (make_node("b", owned_by_machine=False), make_node("a"))

    rotated = planned(to_cilium(nodes=nodes)).nodes
    kept = planned(to_cilium({"rotate_nodes": False}, nodes=nodes)).nodes

    assert [(node.name, node.fate) for node in rotated] == [("a", "replaced"), ("b", "to be rebooted by hand")]
    assert {node.fate for node in kept} == {"stays"}
