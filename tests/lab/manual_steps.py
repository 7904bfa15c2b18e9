"""Steps of KKP's guide "Manual CNI migration" as an operator types them with a real kubectl."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tests.running_lab import eventually

if TYPE_CHECKING:
    from tests.running_lab import Kubectl

RESTART_PODS = (
    "kubectl get pods --all-namespaces"
    " -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,HOSTNETWORK:.spec.hostNetwork"
    " --no-headers=true | grep '<none>' | awk '{print \"-n \"$1\" \"$2}' | xargs -L 1 -r kubectl delete pod"
)


def wait_for_cilium(user: Kubectl) -> None:
    """Step 2: until all Cilium pods are deployed and running."""
    found = ("get", "daemonset", "cilium", "-n", "kube-system", "--ignore-not-found", "-o", "name")
    eventually(lambda: user(*found), seconds=60, what="the DaemonSet of Cilium")
    user("rollout", "status", "daemonset/cilium", "-n", "kube-system", "--timeout=60s")
    user("rollout", "status", "deployment/cilium-operator", "-n", "kube-system", "--timeout=60s")


def wait_for_workloads(user: Kubectl) -> None:
    """Step 7: until everything that was ready is ready again."""
    for kind in ("deployments", "statefulsets", "daemonsets"):
        for item in user.json("get", kind, "-A")["items"]:
            workload = f"{kind.removesuffix('s')}/{item['metadata']['name']}"
            user("rollout", "status", workload, "-n", item["metadata"]["namespace"], "--timeout=60s")


def replace_nodes(user: Kubectl) -> set[str]:
    """Step 6: a rolling restart of the MachineDeployment, as KKP does it. Returns the nodes there were before."""
    before = set(user("get", "nodes", "-o", "name").split())
    restart = {"spec": {"template": {"metadata": {"annotations": {"forceRestart": str(time.time_ns())}}}}}
    user("patch", "machinedeployment", "workers-1", "-n", "kube-system", "--type=merge", "-p", json.dumps(restart))
    eventually(lambda: not before & set(user("get", "nodes", "-o", "name").split()), seconds=90, what="new nodes")
    return before


def pods_without_cilium_endpoint(user: Kubectl) -> set[tuple[str, str]]:
    endpoints = user.json("get", "ciliumendpoints.cilium.io", "-A")["items"]
    known = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in endpoints}
    return {
        (pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in user.json("get", "pods", "-A")["items"]
        if not pod["spec"].get("hostNetwork") and pod["status"]["phase"] == "Running"
    } - known
