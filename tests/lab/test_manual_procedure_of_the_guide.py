"""The guide's own example with a real kubectl, on KKP 2.20: Canal v3.21 to Cilium v1.11 with ebpf, and back.

Steps as in KKP's guide "Manual CNI migration". Its `kubectl delete -f <manifest from the internet>` and
`helm template | kubectl delete -f -` are done by the label that KKP puts on an addon's objects, as there is no internet
here: what is deleted is the same, Canal's definitions and with them its policies included, Cilium's definitions not.
"""

from __future__ import annotations

import ipaddress
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
from tests.running_lab import Kubectl, RunningLab, eventually, lab_process

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kubectl, pytest.mark.timeout(300)]

ADDON_KINDS = (
    "daemonsets,deployments,poddisruptionbudgets,configmaps,serviceaccounts",
    "clusterrolebindings,clusterroles",
    "customresourcedefinitions",
)
SPEED = "20"


@dataclass(frozen=True)
class There:
    """What was seen on the way from Canal to Cilium."""

    kube_system_before_step_3: set[str]
    without_endpoint: set[tuple[str, str]]
    canal_left: str
    cilium_config: dict[str, str]
    kube_proxy_left: str
    outage: dict[str, Any]


@dataclass(frozen=True)
class Back:
    """What was seen on the way back."""

    user: Kubectl
    cilium_left: str
    on_two_ranges: set[str]
    kube_proxy_mode: str
    outage: dict[str, Any]


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[RunningLab]:
    directory = tmp_path_factory.mktemp("guide") / "lab"
    size = ("--clusters", "1", "--nodes", "3", "--pods", "30", "--speed", SPEED)
    with lab_process(directory, *size, "--kkp", "2.20") as found:
        yield found


@pytest.fixture(scope="module")
def there(running: RunningLab, kubectl_binary, tmp_path_factory) -> There:
    seed, user = kubectls(running, kubectl_binary, tmp_path_factory.mktemp("there"))
    seed("label", "cluster", running.cluster_name(), "unsafe-cni-migration=true")
    patch_cluster(seed, running, cniPlugin={"type": "cilium", "version": "v1.11"})
    wait_for_cilium(user)
    beside = running_apps(user)
    user.shell(RESTART_PODS)
    wait_for_workloads(user)
    without_endpoint = pods_without_cilium_endpoint(user)
    delete_addon(user, "canal")
    agents = uids(user, "k8s-app=cilium")
    patch_cluster(seed, running, clusterNetwork={"proxyMode": "ebpf"})
    eventually(lambda: not agents & uids(user, "k8s-app=cilium"), seconds=60, what="the restart of all Cilium pods")
    wait_for_cilium(user)
    replace_nodes(user)
    wait_for_workloads(user)
    return There(
        beside,
        without_endpoint,
        left_of(user, "canal"),
        user.json("get", "configmap", "cilium-config", "-n", "kube-system")["data"],
        left_of(user, "kube-proxy"),
        running.remote.outage(),
    )


@pytest.fixture(scope="module")
def back(there: There, running: RunningLab, kubectl_binary, tmp_path_factory) -> Back:
    seed, user = kubectls(running, kubectl_binary, tmp_path_factory.mktemp("back"))
    running.remote.reset_outage()
    # Canal doesn't go with ebpf, so the mode changes in the same moment.
    patch_cluster(seed, running, cniPlugin={"type": "canal", "version": "v3.21"}, clusterNetwork={"proxyMode": "ipvs"})
    wait_for_daemon_set(user, "canal")
    delete_addon(user, "cilium")
    user.shell(RESTART_PODS)
    wait_for_workloads(user)
    outage = running.remote.outage()
    replace_nodes(user)
    wait_for_workloads(user)
    config = user.json("get", "configmap", "kube-proxy", "-n", "kube-system")["data"]["config.conf"]
    (mode,) = [line for line in config.splitlines() if line.startswith("mode: ")]
    return Back(user, left_of(user, "cilium"), pods_off_their_node_s_range(user), mode, outage)


def test_both_cnis_run_after_the_switch(there: There):
    assert {"canal", "cilium", "cilium-operator", "calico-kube-controllers"} <= there.kube_system_before_step_3


def test_every_restarted_pod_is_cilium_s(there: There):
    assert there.without_endpoint == set()


def test_nothing_of_canal_is_left(there: There):
    assert there.canal_left == ""


def test_cilium_has_replaced_kube_proxy(there: There):
    assert there.cilium_config["kube-proxy-replacement"] == "strict"
    assert there.kube_proxy_left == ""


def test_the_way_to_cilium_interrupts_and_serves_again(there: There, record_property):
    seconds = there.outage["total_seconds"]
    record_property("measured", f"The guide's example on KKP 2.20, at speed {SPEED}: {seconds:.1f} s of outage")

    assert seconds > 0
    assert there.outage["not_served_now"] == []


def test_nothing_of_cilium_is_left_but_its_definitions(back: Back):
    assert back.cilium_left == ""
    assert back.user("get", "crd", "ciliumendpoints.cilium.io", "-o", "name")


def test_every_pod_is_canal_s_again(back: Back):
    assert back.on_two_ranges == set()


def test_kube_proxy_is_back_with_its_mode(back: Back):
    assert back.kube_proxy_mode == "mode: ipvs"


def test_canal_s_definitions_are_back_without_the_policies_that_went_with_them(back: Back):
    assert back.user("get", "globalnetworkpolicies.crd.projectcalico.org", "-o", "name") == ""


def test_the_way_back_interrupts_and_serves_again(back: Back):
    assert back.outage["total_seconds"] > 0
    assert back.outage["not_served_now"] == []


def kubectls(running: RunningLab, binary, folder) -> tuple[Kubectl, Kubectl]:
    return Kubectl(binary, running.seed_kubeconfig, folder), Kubectl(binary, running.cluster_kubeconfig(), folder)


def patch_cluster(seed: Kubectl, running: RunningLab, **spec: Any) -> None:
    seed("patch", "cluster", running.cluster_name(), "--type=merge", "-p", json.dumps({"spec": spec}))


def wait_for_daemon_set(user: Kubectl, name: str) -> None:
    found = ("get", "daemonset", name, "-n", "kube-system", "--ignore-not-found", "-o", "name")
    eventually(lambda: user(*found), seconds=60, what=f"the DaemonSet {name}")
    user("rollout", "status", f"daemonset/{name}", "-n", "kube-system", "--timeout=60s")


def running_apps(user: Kubectl) -> set[str]:
    pods = user.json("get", "pods", "-n", "kube-system")["items"]
    labels = [pod["metadata"]["labels"] for pod in pods if pod["status"]["phase"] == "Running"]
    return {label.get("k8s-app") or label.get("name", "") for label in labels}


def uids(user: Kubectl, selector: str) -> set[str]:
    found = user.json("get", "pods", "-n", "kube-system", "-l", selector)["items"]
    return {pod["metadata"]["uid"] for pod in found}


def delete_addon(user: Kubectl, addon: str) -> None:
    """Step 4; `xargs -r` passes over kinds of which the addon has none."""
    for kinds in ADDON_KINDS:
        user.shell(
            f"kubectl get {kinds} -A -l kubermatic-addon={addon} --no-headers=true "
            "-o custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name "
            '| sed \'s/<none>/default/\' | awk \'{print "-n "$2" "$1" "$3}\' | xargs -L 1 -r kubectl delete'
        )


def left_of(user: Kubectl, addon: str) -> str:
    return "".join(user("get", kinds, "-A", "-l", f"kubermatic-addon={addon}", "-o", "name") for kinds in ADDON_KINDS)


def pods_off_their_node_s_range(user: Kubectl) -> set[str]:
    """Canal gives pods addresses of their Node's podCIDR, which Cilium doesn't look at."""
    ranges = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in user.json("get", "nodes")["items"]}
    return {
        pod["metadata"]["name"]
        for pod in user.json("get", "pods", "-A")["items"]
        if not pod["spec"].get("hostNetwork")
        and pod["status"]["phase"] == "Running"
        and not is_in(pod["status"]["podIP"], ranges[pod["spec"]["nodeName"]])
    }


def is_in(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)
