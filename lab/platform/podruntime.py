"""What the kubelet needs to know of a node's network and of the programs in its containers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lab.objects import Object


class SandboxFailed(Exception):
    """The CNI could not set up a pod's network; the message is the kubelet's event text."""


class ProgramCrashed(Exception):
    """A container's program ended with an error; the message is its last log line."""


class PodNetwork(Protocol):
    """The pod network of one cluster as the kubelets use it."""

    def attach(self, pod: Object) -> str:
        """Give a pod its sandbox on its node and return its address; raises SandboxFailed."""

    def detach(self, pod: Object) -> None:
        """Take a pod's sandbox down. Idempotent."""

    def not_ready_reason(self, node: str) -> str | None:
        """Return why the node's network is not ready (no CNI configuration), None when it is."""

    def on_node_change(self, callback: Callable[[str], None]) -> None:
        """Have the callback called with a node's name when `not_ready_reason` may have changed for it."""

    def forget_node(self, node: str) -> None:
        """Drop the disk and kernel state of a node that was deleted or reinstalled."""

    def reboot_node(self, node: str) -> None:
        """Drop the kernel state of a node, with every sandbox and running program; its disk stays."""

    def annotations(self, pod: Object) -> dict[str, str]:
        """Return what the CNI that made a pod's sandbox notes on the pod."""


class Program(Protocol):
    """What a pod's containers do once they run, where that matters to the platform (CNI agents, kube-proxy, jobs)."""

    async def start(self, pod: Object) -> None:
        """Return when the pod may become ready; raises ProgramCrashed to have it restarted with back-off."""

    async def stop(self, pod: Object) -> None:
        """Called once when the pod terminates, within its grace period."""


class Programs(Protocol):
    """Finds the program of a pod."""

    def find(self, pod: Object) -> Program | None:
        """Return what the pod runs, None for a workload that only has to be there."""
