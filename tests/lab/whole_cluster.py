"""A whole lab in this process, quick, and the steps of an operator who does them in whatever order."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from lab.objects import controller_of, is_being_deleted, is_pod_finished, is_pod_ready, key_of, labels_of, name_of
from lab.resources import (
    APPLICATION_INSTALLATIONS,
    CLUSTERS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    MACHINE_DEPLOYMENTS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICE_ACCOUNTS,
)
from lab.settings import Delays, LabSettings, UserClusterSize
from lab.world import Lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from lab.network import ClusterNetwork
    from lab.objects import Object
    from lab.platform.client import Client
    from lab.platform.runtime import Mirror

SPEED = 200.0
CILIUM_VERSION, CANAL_VERSION = "1.19.4", "v3.30"
DEADLINE_SECONDS = 30.0
DEFAULT_VALUES = {
    "envoy": {"enabled": False},
    "hubble": {"relay": {"enabled": True}, "ui": {"enabled": True}, "tls": {"auto": {"method": "cronJob"}}},
    "operator": {"replicas": 1},
}
CANAL_KINDS = (DAEMON_SETS, DEPLOYMENTS, POD_DISRUPTION_BUDGETS, CONFIG_MAPS, SERVICE_ACCOUNTS)


@dataclass(frozen=True)
class WholeCluster:
    """The only user cluster of a lab."""

    lab: Lab
    name: str
    seed: Client
    client: Client
    mirror: Mirror
    network: ClusterNetwork

    async def until(self, fact: Callable[[], Any], what: str, *, seconds: float = DEADLINE_SECONDS) -> Any:
        """Return what the fact returns as soon as it is true; fails with `what` after the deadline."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (found := fact()):
            assert asyncio.get_running_loop().time() < deadline, f"never happened: {what}"
            await asyncio.sleep(0.01)
        return found

    async def platform_seconds(self, seconds: float) -> None:
        """Let the platform do what it does in this time."""
        await asyncio.sleep(seconds / SPEED)

    async def patch_cluster(self, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> None:
        """Change the Cluster on the seed, unlocked."""
        metadata = {"labels": {"unsafe-cni-migration": "true"}, "annotations": annotations or {}}
        await self.seed.patch(CLUSTERS, self.name, {"metadata": metadata, "spec": spec})

    async def choose_cilium(self, *, proxy_mode: str = "", **values: Any) -> None:
        """Have the Cluster name Cilium, with these initial values beside the defaults."""
        spec: dict[str, Any] = {"cniPlugin": {"type": "cilium", "version": CILIUM_VERSION}}
        if proxy_mode:
            spec["clusterNetwork"] = {"proxyMode": proxy_mode}
        request = json.dumps({**DEFAULT_VALUES, **values})
        await self.patch_cluster(spec, {"kubermatic.io/initial-cni-values-request": request})

    async def choose_canal(self, *, proxy_mode: str = "iptables") -> None:
        """Have the Cluster name Canal."""
        network = {"proxyMode": proxy_mode}
        await self.patch_cluster({"cniPlugin": {"type": "canal", "version": CANAL_VERSION}, "clusterNetwork": network})

    def installation(self) -> Object | None:
        """Return Cilium's ApplicationInstallation."""
        return self.mirror.get(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")

    def ready_condition(self) -> Object:
        """Return its Ready condition, with the generation that it is about."""
        return (((self.installation() or {}).get("status") or {}).get("conditions") or {}).get("Ready") or {}

    async def installed(self) -> None:
        """Return when Cilium's installation has succeeded."""
        await self.until(lambda: self.ready_condition().get("status") == "True", f"Cilium Ready: {self.installation()}")

    async def delete_installation(self) -> Object | None:
        """Delete Cilium's ApplicationInstallation and see it go; returns one that was made again, if it was."""
        found = self.installation() or {}
        await self.client.delete(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")

        def is_gone() -> bool:
            now = self.installation()
            return now is None or now["metadata"]["uid"] != found["metadata"]["uid"]

        await self.until(is_gone, "the ApplicationInstallation goes")
        return self.installation()

    def pods(self, app: str, *, key: str = "k8s-app") -> list[Object]:
        """Return the pods that a label names."""
        return [pod for pod in self.mirror.all(PODS) if labels_of(pod).get(key) == app]

    def is_rolled_out(self, daemon_set: str) -> bool:
        """Tell whether every pod of a DaemonSet of kube-system is there, new, and ready."""
        found = self.mirror.get(DAEMON_SETS, daemon_set, namespace="kube-system") or {}
        status, count = found.get("status") or {}, len(self.mirror.all(NODES))
        is_new = status.get("observedGeneration") == (found.get("metadata") or {}).get("generation")
        counts = ("desiredNumberScheduled", "updatedNumberScheduled", "numberReady")
        return is_new and all(status.get(field) == count for field in counts)

    async def rolled_out(self, daemon_set: str) -> None:
        """Return when the DaemonSet is rolled out."""
        await self.until(lambda: self.is_rolled_out(daemon_set), f"DaemonSet {daemon_set} is rolled out")

    async def restart(self, daemon_set: str) -> None:
        """Restart a DaemonSet's pods as kubectl does, and wait for them."""
        stamp = {"kubectl.kubernetes.io/restartedAt": str(asyncio.get_running_loop().time())}
        template = {"template": {"metadata": {"annotations": stamp}}}
        asked = await self.client.patch(DAEMON_SETS, daemon_set, {"spec": template}, namespace="kube-system")
        generation = asked["metadata"]["generation"]

        def is_known() -> bool:
            known = self.mirror.get(DAEMON_SETS, daemon_set, namespace="kube-system") or asked
            return bool(known["metadata"]["generation"] >= generation and known["status"] != asked["status"])

        await self.until(is_known, f"the restart of DaemonSet {daemon_set} begins")
        await self.rolled_out(daemon_set)

    def pod_network(self) -> list[Object]:
        """Return the pods on the pod network that are neither finished nor going."""
        return [
            pod
            for pod in self.mirror.all(PODS)
            if not pod["spec"].get("hostNetwork") and not is_pod_finished(pod) and not is_being_deleted(pod)
        ]

    async def restart_pods(self, *, wait: bool = True) -> None:
        """Delete all pods on the pod network that a controller makes again."""
        count = len(self.pod_network())
        old = [pod for pod in self.pod_network() if controller_of(pod) is not None]
        for pod in old:
            await self.client.delete(PODS, name_of(pod), namespace=pod["metadata"]["namespace"])
        uids = {pod["metadata"]["uid"] for pod in old}
        await self.until(
            lambda: not uids & {pod["metadata"]["uid"] for pod in self.mirror.all(PODS)}, "the old pods are gone"
        )

        def are_back() -> bool:
            pods = self.pod_network()
            return len(pods) >= count and all(is_pod_ready(pod) for pod in pods)

        if wait:
            await self.until(are_back, "all pods are ready again")

    def cnis(self) -> set[str]:
        """Return the CNIs that made the sandboxes of the pods that a controller made."""
        pods = (pod for pod in self.pod_network() if controller_of(pod) is not None)
        found = (self.network.sandbox(key_of(pod)) for pod in pods)
        return {str(sandbox.place.cni) for sandbox in found if sandbox is not None}

    def files(self) -> set[str]:
        """Return the CNI configuration files that are on any node."""
        return {file for node in self.mirror.all(NODES) for file in self.network.node(name_of(node)).conflists}

    async def delete_canal(self) -> None:
        """Delete what KKP labelled as Canal's, and wait for its agents to go."""
        for resource in CANAL_KINDS:
            found, _ = await self.client.list(resource, label_selector="kubermatic-addon=canal")
            for item in found:
                await self.client.delete(resource, name_of(item), namespace=item["metadata"]["namespace"])
        await self.until(lambda: not self.pods("canal"), "Canal's agents go")

    async def delete_cilium_by_hand(self) -> None:
        """Delete what Helm installed, as `helm template | kubectl delete -f -` does."""
        for resource in CANAL_KINDS:
            found, _ = await self.client.list(resource, label_selector="app.kubernetes.io/managed-by=Helm")
            for item in found:
                await self.client.delete(resource, name_of(item), namespace=item["metadata"]["namespace"])
        await self.until(lambda: not self.pods("cilium"), "Cilium's agents go")

    async def migrate_to_cilium(self, *, proxy_mode: str = "", **values: Any) -> None:
        """Do the whole migration in its right order, but for the nodes."""
        await self.choose_cilium(proxy_mode=proxy_mode, **{"tunnelPort": 8473, **values})
        await self.installed()
        await self.rolled_out("cilium")
        await self.restart_pods()
        await self.delete_canal()

    async def rotate_nodes(self) -> None:
        """Replace every node."""
        before = {name_of(node) for node in self.mirror.all(NODES)}
        restart = {"spec": {"template": {"metadata": {"annotations": {"forceRestart": "1795000000000000000"}}}}}
        await self.client.patch(MACHINE_DEPLOYMENTS, "workers-1", restart, namespace="kube-system")
        await self.until(
            lambda: not before & {name_of(node) for node in self.mirror.all(NODES)}, "all nodes are replaced"
        )

    async def crashes(self, app: str, because: str) -> None:
        """Return when an agent of this app has crashed with a message that contains this."""
        await self.until(lambda: because in self._last_words(app), f"a pod of {app} crashes: {because}")

    def _last_words(self, app: str) -> str:
        reports = [
            report for pod in self.pods(app) for report in (pod.get("status") or {}).get("containerStatuses") or ()
        ]
        ends = [(report.get("lastState") or {}).get("terminated") or {} for report in reports]
        return "\n".join(str(end.get("message", "")) for end in ends)

    async def events(self, reason: str) -> list[Object]:
        """Return the Events with a reason."""
        found, _ = await self.client.list(EVENTS)
        return [event for event in found if event["reason"] == reason]

    async def set_cilium_value(self, path: str, value: Any) -> None:
        """Change one of the values of Cilium's ApplicationInstallation, `section.key`."""
        section, _, key = path.partition(".")
        found = await self.client.get(APPLICATION_INSTALLATIONS, "cilium", namespace="kube-system")
        values = yaml.safe_load(found["spec"]["valuesBlock"])
        values.setdefault(section, {})[key] = value
        change = {"spec": {"valuesBlock": yaml.safe_dump(values)}}
        await self.client.patch(APPLICATION_INSTALLATIONS, "cilium", change, namespace="kube-system")

    def conditions(self, kind: str) -> list[Object]:
        """Return this condition of every node that has it."""
        found = [condition for node in self.mirror.all(NODES) for condition in node["status"]["conditions"]]
        return [condition for condition in found if condition["type"] == kind]


@contextlib.asynccontextmanager
async def whole_cluster(
    folder: Path, *, nodes: int = 2, pods: int = 20, **delays: float
) -> AsyncIterator[WholeCluster]:
    """Run a lab of one settled user cluster on Canal while the block lasts."""
    size = UserClusterSize(nodes=nodes, pods=pods, grace_seconds=1)
    settings = LabSettings(size=size, speed=SPEED, directory=str(folder / "lab"), delays=Delays(**delays))
    async with Lab(settings) as lab:
        await lab.ready()
        cluster = lab.user_clusters[0]
        site = cluster.site
        await site.mirror.follow(APPLICATION_INSTALLATIONS, DAEMON_SETS, NODES, PODS)
        yield WholeCluster(lab, cluster.name, lab._seed.client, site.client, site.mirror, cluster.network)
