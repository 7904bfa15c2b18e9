"""The documented manual migration from Canal to Cilium, typed by an operator with a real kubectl.

Steps as in KKP's guide "Manual CNI migration", with what today's KKP needs besides: a Cilium version that is still
installable, a tunnel port that is not flannel's, and Canal deleted by its label.
"""

from __future__ import annotations

import json
import sys

import pytest

from tests.running_lab import RunningLab, eventually, lab_process

pytestmark = [pytest.mark.kubectl, pytest.mark.timeout(300)]

CILIUM_VERSION = "1.19.4"
# KKP lets the annotation replace the ApplicationDefinition's default values, so they are repeated here.
INITIAL_VALUES = {
    "envoy": {"enabled": False},
    "hubble": {"relay": {"enabled": True}, "ui": {"enabled": True}, "tls": {"auto": {"method": "cronJob"}}},
    "operator": {"replicas": 1},
    "tunnelPort": 8473,
}
RESTART_PODS = (
    "kubectl get pods --all-namespaces"
    " -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,HOSTNETWORK:.spec.hostNetwork"
    " --no-headers=true | grep '<none>' | awk '{print \"-n \"$1\" \"$2}' | xargs -L 1 -r kubectl delete pod"
)
CANAL_KINDS = (
    "daemonsets,deployments,poddisruptionbudgets,networkpolicies,configmaps,serviceaccounts",
    "clusterrolebindings,clusterroles",
)


@pytest.fixture
def own_lab(tmp_path):
    with lab_process(tmp_path / "lab", "--clusters", "1", "--nodes", "3", "--pods", "40", "--speed", "100") as running:
        yield running


@pytest.fixture
def seed(own_lab, new_kubectl):
    return new_kubectl(own_lab.seed_kubeconfig)


@pytest.fixture
def user(own_lab, new_kubectl):
    return new_kubectl(own_lab.cluster_kubeconfig())


def test_an_operator_with_kubectl_migrates_a_cluster_from_canal_to_cilium(own_lab: RunningLab, seed, user, capsys):
    switch_cni(seed, own_lab.cluster_name())
    wait_for_cilium(user)
    user.shell(RESTART_PODS)
    wait_for_workloads(user)
    delete_canal(user)
    seed("label", "cluster", own_lab.cluster_name(), "unsafe-cni-migration-")

    assert pods_without_cilium_endpoint(user) == set()
    for kinds in CANAL_KINDS:
        assert user("get", kinds, "-A", "-l", "kubermatic-addon=canal", "-o", "name") == ""
    eventually(lambda: "canal-" not in user("get", "pods", "-n", "kube-system"), what="no Canal pod")
    assert user("get", "daemonset", "cilium", "-n", "kube-system", "-o", "name")

    outage = own_lab.remote.outage()
    with capsys.disabled():
        sys.stdout.write(f"\nThe manual procedure at speed 100: {outage['total_seconds']:.1f} s of outage\n")


def test_the_manual_procedure_loses_a_bare_pod_and_interrupts_the_workloads(own_lab: RunningLab, seed, user):
    switch_cni(seed, own_lab.cluster_name())
    wait_for_cilium(user)
    user.shell(RESTART_PODS)
    wait_for_workloads(user)

    assert user.run("get", "pod", "-n", "shop", "debug-shell").returncode == 1
    assert own_lab.remote.outage()["total_seconds"] > 0


def test_nodes_are_replaced_by_a_rolling_restart_of_the_machine_deployment(own_lab: RunningLab, seed, user):
    switch_cni(seed, own_lab.cluster_name())
    wait_for_cilium(user)
    user.shell(RESTART_PODS)
    wait_for_workloads(user)
    delete_canal(user)
    before = set(user("get", "nodes", "-o", "name").split())

    restart = {"spec": {"template": {"metadata": {"annotations": {"forceRestart": "1795000000000000000"}}}}}
    user("patch", "machinedeployment", "workers-1", "-n", "kube-system", "--type=merge", "-p", json.dumps(restart))

    eventually(lambda: not before & set(user("get", "nodes", "-o", "name").split()), seconds=60, what="new nodes")
    wait_for_workloads(user)
    assert pods_without_cilium_endpoint(user) == set()


def switch_cni(seed, cluster: str) -> None:
    """Steps 1 and 2: the label, then type and version."""
    seed("label", "cluster", cluster, "unsafe-cni-migration=true")
    seed("annotate", "cluster", cluster, f"kubermatic.io/initial-cni-values-request={json.dumps(INITIAL_VALUES)}")
    change = {"spec": {"cniPlugin": {"type": "cilium", "version": CILIUM_VERSION}}}
    seed("patch", "cluster", cluster, "--type=merge", "-p", json.dumps(change))


def wait_for_cilium(user) -> None:
    """Step 2: until all Cilium pods are deployed and running."""
    found = ("get", "daemonset", "cilium", "-n", "kube-system", "--ignore-not-found", "-o", "name")
    eventually(lambda: user(*found), seconds=60, what="the DaemonSet of Cilium")
    user("rollout", "status", "daemonset/cilium", "-n", "kube-system", "--timeout=60s")
    user("rollout", "status", "deployment/cilium-operator", "-n", "kube-system", "--timeout=60s")


def wait_for_workloads(user) -> None:
    """Step 7: until everything that was ready is ready again."""
    for kind in ("deployments", "statefulsets", "daemonsets"):
        for item in user.json("get", kind, "-A")["items"]:
            workload = f"{kind.removesuffix('s')}/{item['metadata']['name']}"
            user("rollout", "status", workload, "-n", item["metadata"]["namespace"], "--timeout=60s")


def delete_canal(user) -> None:
    """Step 4, by the label that KKP puts on an addon's objects; the definitions stay, with the users' policies."""
    for kinds in CANAL_KINDS:
        user.shell(f"kubectl get {kinds} -A -l kubermatic-addon=canal -o yaml | kubectl delete -f -")


def pods_without_cilium_endpoint(user) -> set[tuple[str, str]]:
    endpoints = user.json("get", "ciliumendpoints.cilium.io", "-A")["items"]
    known = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in endpoints}
    return {
        (pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in user.json("get", "pods", "-A")["items"]
        if not pod["spec"].get("hostNetwork") and pod["status"]["phase"] == "Running"
    } - known
