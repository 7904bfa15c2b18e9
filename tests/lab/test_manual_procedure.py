"""The documented manual migration from Canal to Cilium, typed by an operator with a real kubectl.

Steps as in KKP's guide "Manual CNI migration", with what today's KKP needs besides: a Cilium version that is still
installable, a tunnel port that is not flannel's, and Canal deleted by its label.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.manual_steps import (
    RESTART_PODS,
    pods_without_cilium_endpoint,
    replace_nodes,
    wait_for_cilium,
    wait_for_workloads,
)
from tests.real_kkp import real_kkp
from tests.running_lab import Kubectl, RunningLab, lab_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.kubectl, pytest.mark.timeout(300)]

CILIUM_VERSION = "1.19.4"
# KKP lets the annotation replace the ApplicationDefinition's default values, so they are repeated here.
INITIAL_VALUES = {
    "envoy": {"enabled": False},
    "hubble": {"relay": {"enabled": True}, "ui": {"enabled": True}, "tls": {"auto": {"method": "cronJob"}}},
    "operator": {"replicas": 1},
    "tunnelPort": 8473,
}
CANAL_KINDS = (
    "daemonsets,deployments,poddisruptionbudgets,networkpolicies,configmaps,serviceaccounts",
    "clusterrolebindings,clusterroles",
)


# kubectl waits for a deleted pod by its name, so it would wait for ever if a StatefulSet had the next one there before it
# has looked. At this speed pods take 100 ms to end, and kubectl looks within 20.
SPEED = "20"


@dataclass(frozen=True)
class Migration:
    """What the procedure has left behind."""

    user: Kubectl
    replaced_nodes: set[str]
    outage: dict[str, Any]


@contextlib.contextmanager
def lab_of_one_cluster(folder: Path, server: str) -> Iterator[RunningLab]:
    size = ("--nodes", "3", "--pods", "40", "--speed", SPEED)
    if server == "the lab":
        with lab_process(folder / "lab", "--clusters", "1", *size) as running:
            yield running
    else:
        with real_kkp(folder, *size, workloads_by="kube-controller-manager") as kkp:
            yield kkp.lab


@pytest.fixture(scope="module", params=["the lab", pytest.param("real API servers", marks=pytest.mark.control_plane)])
def migration(request, tmp_path_factory, kubectl_binary) -> Iterator[Migration]:
    folder = tmp_path_factory.mktemp("manual")
    with lab_of_one_cluster(folder, request.param) as running:
        seed = Kubectl(kubectl_binary, running.seed_kubeconfig, folder)
        user = Kubectl(kubectl_binary, running.cluster_kubeconfig(), folder)
        switch_cni(seed, running.cluster_name())
        wait_for_cilium(user)
        user.shell(RESTART_PODS)
        wait_for_workloads(user)
        delete_canal(user)
        outage = running.remote.outage()
        replaced = replace_nodes(user)
        wait_for_workloads(user)
        seed("label", "cluster", running.cluster_name(), "unsafe-cni-migration-")
        yield Migration(user, replaced, outage)


def test_every_pod_on_the_pod_network_is_cilium_s(migration: Migration):
    assert pods_without_cilium_endpoint(migration.user) == set()


def test_nothing_of_canal_is_left_but_its_definitions(migration: Migration):
    for kinds in CANAL_KINDS:
        assert migration.user("get", kinds, "-A", "-l", "kubermatic-addon=canal", "-o", "name") == ""
    assert "canal-" not in migration.user("get", "pods", "-n", "kube-system")
    assert migration.user("get", "crd", "felixconfigurations.crd.projectcalico.org", "-o", "name")


def test_every_node_was_replaced(migration: Migration):
    nodes = set(migration.user("get", "nodes", "-o", "name").split())

    assert len(nodes) == len(migration.replaced_nodes) == 3
    assert not nodes & migration.replaced_nodes


def test_the_bare_pod_is_lost(migration: Migration):
    assert migration.user.run("get", "pod", "-n", "shop", "debug-shell").returncode == 1


def test_the_workloads_were_interrupted(migration: Migration, record_property, request):
    seconds = migration.outage["total_seconds"]
    where = request.node.callspec.params["migration"]
    record_property("measured", f"The manual procedure on {where}, at speed {SPEED}: {seconds:.1f} s of outage")

    assert seconds > 0
    assert migration.outage["not_served_now"] == []


def switch_cni(seed: Kubectl, cluster: str) -> None:
    """Steps 1 and 2: the label, then type and version."""
    seed("label", "cluster", cluster, "unsafe-cni-migration=true")
    seed("annotate", "cluster", cluster, f"kubermatic.io/initial-cni-values-request={json.dumps(INITIAL_VALUES)}")
    change = {"spec": {"cniPlugin": {"type": "cilium", "version": CILIUM_VERSION}}}
    seed("patch", "cluster", cluster, "--type=merge", "-p", json.dumps(change))


def delete_canal(user: Kubectl) -> None:
    """Step 4, by the label that KKP puts on an addon's objects; the definitions stay, with the users' policies."""
    for kinds in CANAL_KINDS:
        user.shell(f"kubectl get {kinds} -A -l kubermatic-addon=canal -o yaml | kubectl delete -f -")
