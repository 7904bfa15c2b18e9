"""The outage of every runbook at the demo's speed, by the flow and as the documented procedure does it with kubectl.

Run by hand as `python -m tests.bench.outages`, on an idle machine, some five minutes: it prints the table of the README.
The lab's network tells for how long a workload could not be reached by one that calls it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prefect.testing.utilities import prefect_test_harness

from clusters.connections import ENVIRONMENT_VARIABLE
from flows.canal_to_cilium import canal_to_cilium
from flows.change_proxy_mode import change_proxy_mode
from flows.cilium_to_canal import cilium_to_canal
from migration.models import ProxyMode
from tests.lab.manual_steps import RESTART_PODS, replace_nodes, wait_for_cilium, wait_for_workloads
from tests.programs import find_kubectl
from tests.running_lab import Kubectl, RunningLab, eventually, lab_process

SIZE: Final = ("--clusters", "2", "--nodes", "3", "--pods", "60", "--speed", "20")
INITIAL_VALUES: Final = {
    "envoy": {"enabled": False},
    "hubble": {"relay": {"enabled": True}, "ui": {"enabled": True}, "tls": {"auto": {"method": "cronJob"}}},
    "operator": {"replicas": 1},
    "tunnelPort": 8473,
}
HELM_KINDS: Final = (
    "daemonsets,deployments,cronjobs,jobs,services,configmaps,roles,rolebindings,serviceaccounts",
    "clusterrolebindings,clusterroles",
)
ADDON_KINDS: Final = (
    "daemonsets,deployments,poddisruptionbudgets,networkpolicies,configmaps,serviceaccounts",
    "clusterrolebindings,clusterroles",
)


@dataclass(frozen=True)
class Operator:
    """Somebody who follows the documented procedure by hand, without a pause for thought."""

    lab: RunningLab
    seed: Kubectl
    user: Kubectl
    cluster: str

    def patch(self, spec: dict[str, Any], **annotations: str) -> None:
        """Label the Cluster and change its spec."""
        metadata = {"labels": {"unsafe-cni-migration": "true"}, "annotations": annotations}
        patch = json.dumps({"metadata": metadata, "spec": spec})
        self.seed("patch", "cluster", self.cluster, "--type=merge", "-p", patch)

    def delete(self, kinds: tuple[str, ...], label: str) -> None:
        """Delete what carries a label, which is what the manifest of the procedure would name."""
        self.user("delete", kinds[0], "-n", "kube-system", "-l", label, "--wait=false", timeout=120)
        self.user("delete", kinds[1], "-l", label, "--wait=false", timeout=120)

    def rolled(self, name: str) -> None:
        """Wait until a DaemonSet is there and rolled out."""
        found = ("get", "daemonset", name, "-n", "kube-system", "--ignore-not-found", "-o", "name")
        eventually(lambda: self.user(*found), seconds=120, what=f"the DaemonSet {name}")
        self.user("rollout", "status", f"daemonset/{name}", "-n", "kube-system", "--timeout=120s", timeout=130)

    def to_cilium(self) -> None:
        """Canal to Cilium, with what today's KKP needs besides: a free tunnel port."""
        values = json.dumps(INITIAL_VALUES)
        annotation = {"kubermatic.io/initial-cni-values-request": values}
        self.patch({"cniPlugin": {"type": "cilium", "version": "1.19.4"}}, **annotation)
        wait_for_cilium(self.user)
        self.user.shell(RESTART_PODS, timeout=300)
        wait_for_workloads(self.user)
        self.delete(ADDON_KINDS, "kubermatic-addon=canal")
        replace_nodes(self.user)
        wait_for_workloads(self.user)

    def to_canal(self) -> None:
        """Cilium to Canal, in the guide's order: what `helm template` renders is deleted, then the pods restart."""
        self.patch({"cniPlugin": {"type": "canal", "version": "v3.30"}})
        self.rolled("canal")
        self.delete(HELM_KINDS, "app.kubernetes.io/managed-by=Helm")
        self.user.shell(RESTART_PODS, timeout=300)
        replace_nodes(self.user)
        wait_for_workloads(self.user)

    def to_mode(self, mode: ProxyMode) -> Callable[[], None]:
        """Change the kube-proxy mode, restart kube-proxy, replace the nodes."""

        def act() -> None:
            self.patch({"clusterNetwork": {"proxyMode": str(mode)}})
            if mode is ProxyMode.EBPF:
                gone = ("get", "daemonset", "kube-proxy", "-n", "kube-system", "--ignore-not-found", "-o", "name")
                eventually(lambda: not self.user(*gone), seconds=120, what="kube-proxy to go")
                self.rolled("cilium")
            else:
                self.rolled("kube-proxy")
                self.user("rollout", "restart", "daemonset/kube-proxy", "-n", "kube-system")
                self.rolled("kube-proxy")
            replace_nodes(self.user)
            wait_for_workloads(self.user)

        return act


@dataclass(frozen=True)
class Leg:
    """One runbook: how it is done by hand and by the flow."""

    name: str
    by_hand: Callable[[], None]
    by_the_flow: Callable[[], Awaitable[Any]]


async def measure(lab: RunningLab, operator: Operator, cluster: str) -> list[tuple[str, float, float]]:
    """Return for each runbook the seconds of outage by hand, in one cluster, and by the flow, in the other."""
    modes = (ProxyMode.IPVS, ProxyMode.EBPF, ProxyMode.IPTABLES)
    legs = (
        Leg("Canal to Cilium", operator.to_cilium, lambda: canal_to_cilium("lab", cluster)),
        *(Leg(f"kube-proxy mode {mode}", operator.to_mode(mode), flow_to_mode(cluster, mode)) for mode in modes),
        Leg("Cilium to Canal", operator.to_canal, lambda: cilium_to_canal("lab", cluster, "v3.30")),
    )
    rows = []
    for leg in legs:
        by_hand = await _outage(lab, operator.cluster, asyncio.to_thread(leg.by_hand))
        by_the_flow = await _outage(lab, cluster, leg.by_the_flow())
        sys.stderr.write(f"  {leg.name}: by hand {by_hand:.1f} s, by the flow {by_the_flow:.1f} s\n")
        rows.append((leg.name, by_hand, by_the_flow))
    return rows


def flow_to_mode(cluster: str, mode: ProxyMode) -> Callable[[], Awaitable[Any]]:
    """Return the flow's way to a kube-proxy mode."""
    return lambda: change_proxy_mode("lab", cluster, mode)


async def _outage(lab: RunningLab, cluster: str, action: Awaitable[Any]) -> float:
    lab.remote.reset_outage(cluster)
    await action
    return float(lab.remote.outage(cluster)["total_seconds"])


def main() -> int:
    """Print the table; returns the exit status."""
    kubectl = find_kubectl()
    if kubectl is None:
        sys.stderr.write("bench: there is no kubectl: `make kubectl` builds one\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="outages-") as name:
        folder = Path(name)
        with lab_process(folder / "lab", *SIZE) as lab, prefect_test_harness(server_startup_timeout=120):
            os.environ[ENVIRONMENT_VARIABLE] = str(lab.connections)
            seed = Kubectl(kubectl.resolve(), lab.seed_kubeconfig, folder)
            user = Kubectl(kubectl.resolve(), lab.cluster_kubeconfig(0), folder)
            operator = Operator(lab, seed, user, lab.cluster_name(0))
            rows = asyncio.run(measure(lab, operator, lab.cluster_name(1)))
    lines = [f"| {name} | {by_hand:.1f} s | {by_the_flow:.1f} s |" for name, by_hand, by_the_flow in rows]
    sys.stdout.write("\n".join(["| Runbook | By hand | By the flow |", "| --- | --- | --- |", *lines, ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
