"""The pod network of one user cluster: puts state, programs, controllers and measurement together. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable

from lab.clock import Clock
from lab.faults import Faults
from lab.network.agents import SYSTEM_NAMESPACE, CanalAgent, CiliumAgent, KubeProxy, NodePrograms
from lab.network.attempts import Attempts
from lab.network.bell import Bell
from lab.network.cilium_operator import CiliumOperator, CiliumOperatorProgram
from lab.network.endpoints import CiliumEndpoints
from lab.network.jobs import CertificateJob, SleepJob, sleep_seconds
from lab.network.nodes import NodeNetworks
from lab.network.outage import OutageReport
from lab.network.probes import ConnectJob, connect_words
from lab.network.reachability import NodeNetwork
from lab.network.sandboxes import Sandbox, Sandboxes, not_ready_reason, notes_on
from lab.network.watch import OutageWatch
from lab.objects import Object, labels_of, namespace_of, uid_of
from lab.platform.podruntime import Program, Programs
from lab.platform.runtime import Controller, Site
from lab.settings import Delays


class ClusterNetwork:
    """The pod network that the kubelets of one cluster use, and what is seen of it from outside."""

    def __init__(self, cluster: str, site: Site, clock: Clock, delays: Delays, faults: Faults) -> None:
        self.cluster = cluster
        self._nodes = NodeNetworks()
        self._sandboxes = Sandboxes(nodes=self._nodes, mirror=site.mirror)
        bell = Bell()
        context = NodePrograms(
            cluster=cluster,
            site=site,
            clock=clock,
            delays=delays,
            faults=faults,
            nodes=self._nodes,
            sandboxes=self._sandboxes,
            bell=bell,
        )
        self._endpoints = CiliumEndpoints(context)
        self._operator = CiliumOperator(site=site, clock=clock, nodes=self._nodes, bell=bell)
        self._watch = OutageWatch(site=site, clock=clock, nodes=self._nodes, sandboxes=self._sandboxes)
        self.programs: Programs = NetworkPrograms(
            context,
            operator=self._operator,
            endpoints=self._endpoints,
            attempts=Attempts(self._watch.connections),
        )
        self.controllers: list[Controller] = [self._endpoints, self._operator, self._watch]

    def attach(self, pod: Object) -> str:
        """Give a pod its sandbox on its node and return its address; raises SandboxFailed."""
        return self._sandboxes.attach(pod)

    def detach(self, pod: Object) -> None:
        """Take a pod's sandbox down. Idempotent."""
        self._sandboxes.detach(pod)

    def not_ready_reason(self, node: str) -> str | None:
        """Return why the node's network is not ready (no CNI configuration), None when it is."""
        return not_ready_reason(self._nodes.of(node).conflists)

    def on_node_change(self, callback: Callable[[str], None]) -> None:
        """Have the callback called with a node's name when `not_ready_reason` may have changed for it."""
        self._nodes.on_conflist_change(callback)

    def forget_node(self, node: str) -> None:
        """Drop the disk and kernel state of a node that was deleted or reinstalled."""
        self._sandboxes.forget(node)
        self._nodes.forget(node)

    def reboot_node(self, node: str) -> None:
        """Drop the kernel state of a node, with every sandbox and running program; its disk stays."""
        self._sandboxes.forget(node)
        self._nodes.reboot(node)
        self._operator.lost(node)

    def remove_cni_configuration(self, node: str, file: str) -> bool:
        """Delete a file of /etc/cni/net.d, as an operator on the node does; False if it was not there."""
        return self._nodes.remove_file(node, file)

    def annotations(self, pod: Object) -> dict[str, str]:
        """Return what the CNI that made a pod's sandbox notes on the pod."""
        sandbox = self._sandboxes.of(uid_of(pod))
        return {} if sandbox is None else notes_on(sandbox)

    def node(self, name: str) -> NodeNetwork:
        """Return the picture of a node's network as it is now."""
        return self._nodes.of(name)

    def sandbox(self, pod_key: str) -> Sandbox | None:
        """Return the sandbox of the pod `namespace/name`."""
        return self._sandboxes.named(pod_key)

    def outage(self) -> OutageReport:
        """Return how long workloads were not served since `reset_outage`, in real seconds."""
        return self._watch.report()

    def reset_outage(self) -> None:
        """Measure the outage from now on."""
        self._watch.reset()

    def reaches(self, source_pod_key: str, target_pod_key: str) -> bool:
        """Tell whether one pod (`namespace/name`) reaches another directly."""
        return self._watch.connections.reaches(source_pod_key, target_pod_key)

    def serves(self, client_pod: str, service: str) -> bool:
        """Tell whether a pod (`namespace/name`) gets an answer from a Service (`namespace/name`)."""
        return self._watch.connections.serves(client_pod, service)


class NetworkPrograms:
    """Finds the programs of the pods that make the network, and of jobs, by the labels of docs/platform.md 6."""

    def __init__(
        self, context: NodePrograms, *, operator: CiliumOperator, endpoints: CiliumEndpoints, attempts: Attempts
    ) -> None:
        def cilium_is_up(node: str) -> None:
            operator.agent_up(node)
            endpoints.agent_up(node)

        self._context = context
        self._attempts = attempts
        self._by_app: dict[str, Program] = {
            "canal": CanalAgent(context),
            "cilium": CiliumAgent(context, on_up=cilium_is_up),
            "kube-proxy": KubeProxy(context),
            "hubble-generate-certs": CertificateJob(context),
        }
        self._operator = CiliumOperatorProgram(context, operator)

    def find(self, pod: Object) -> Program | None:
        """Return what the pod runs, None for a workload that only has to be there."""
        if namespace_of(pod) == SYSTEM_NAMESPACE:
            labels = labels_of(pod)
            if labels.get("io.cilium/app") == "operator":
                return self._operator
            program = self._by_app.get(labels.get("k8s-app", ""))
            if program is not None:
                return program
        words = connect_words(pod)
        if words is not None:
            return ConnectJob(self._context, self._attempts, words)
        seconds = sleep_seconds(pod)
        return None if seconds is None else SleepJob(self._context, seconds)
