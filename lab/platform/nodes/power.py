"""Which nodes are down, and who has to know. Refuses to say how a node gets down or up: the kubelets do that."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

Listener = Callable[[str], None]


class NodePower:
    """The power switch of every node of one cluster."""

    def __init__(self) -> None:
        self._down: set[str] = set()
        self._boot_ids: dict[str, str] = {}
        self._on_change: list[Listener] = []
        self._on_reboot: list[Listener] = []

    def is_down(self, node: str) -> bool:
        """Tell whether the node is being rebooted."""
        return node in self._down

    def boot_id(self, node: str) -> str | None:
        """Return what the kernel of a node that was rebooted calls its boot, None for the first one."""
        return self._boot_ids.get(node)

    def on_change(self, listener: Listener) -> None:
        """Have the listener called with the name of each node that goes down or comes up."""
        self._on_change.append(listener)

    def on_reboot(self, listener: Listener) -> None:
        """Have the listener called with the name of each node that is to reboot."""
        self._on_reboot.append(listener)

    def reboot(self, node: str) -> None:
        """Have the node reboot; nothing happens to one that does so already."""
        if not self.is_down(node):
            for listener in self._on_reboot:
                listener(node)

    def set_down(self, node: str) -> None:
        """Have the node down."""
        self._down.add(node)
        self._tell(node)

    def set_up(self, node: str) -> None:
        """Have the node up, with a boot of its own."""
        self._down.discard(node)
        self._boot_ids[node] = str(uuid4())
        self._tell(node)

    def _tell(self, node: str) -> None:
        for listener in self._on_change:
            listener(node)
