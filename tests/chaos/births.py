"""Every pod of the pod network that is born while a case is held, and for whose sake: the CNI's, or a node's that goes.

A rotation begins by a Machine that wasn't there before, while every node is still open; pods move with their nodes only
after that, and no step moves any for the CNI's sake by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from clusters import narrowing
from clusters.api import KubeApi
from clusters.kinds import MACHINES, NODES, PODS
from clusters.watching import Live, watching
from migration.models import Pod
from migration.restart import needs_network


@dataclass(frozen=True)
class Born:
    """How many pods of each workload were born, and how many had to be for the sake of nodes."""

    before_rotation: Counter[str] = field(default_factory=Counter)
    in_rotation: Counter[str] = field(default_factory=Counter)
    lost_nodes: Counter[str] = field(default_factory=Counter)
    """How many pods were on a node that went: since the rotation began, each is one that may be born anew."""


class Births:
    """Notes pods as they come, and tells in the end what they were born for."""

    def __init__(self) -> None:
        self._known: dict[str, Pod] = {}
        self._there: Callable[[], Iterable[str]] = tuple
        self._nodes: Callable[[], Iterable[str]] = tuple
        self._first: frozenset[str] = frozenset()
        self._gone_before: frozenset[str] = frozenset()
        self._in_rotation: set[str] = set()
        self._machines: set[str] = set()
        self._is_complete = self._is_rotating = False

    @asynccontextmanager
    async def noting(self, api: KubeApi) -> AsyncIterator[None]:
        """Note everything from here to the end of the block."""
        pods, machines = Live(api, PODS, self.note_pod), Live(api, MACHINES, self.note_machine)
        nodes = Live(api, NODES, lambda item: str(item["metadata"]["name"]))
        self._there, self._nodes = pods.values, nodes.values
        async with watching(pods, machines, nodes) as view:
            await view.listed()
            self.begin()
            yield

    def begin(self) -> None:
        """Take what was noted so far for what was there at first."""
        self._first, self._is_complete = frozenset(self._known), True

    def note_pod(self, item: Any) -> str:
        """Note a pod that is there, as it is now; returns its uid."""
        pod = narrowing.pod(item)
        if needs_network(pod):
            if self._is_rotating and pod.uid not in self._known:
                self._in_rotation.add(pod.uid)
            self._known[pod.uid] = pod
        return pod.uid

    def note_machine(self, item: Any) -> str:
        """Note a Machine that is there; the first new one begins the rotation. Returns its uid."""
        uid = str(item["metadata"]["uid"])
        if self._is_complete and uid not in self._machines and not self._is_rotating:
            self.begin_rotation(self._there())
        self._machines.add(uid)
        return uid

    def begin_rotation(self, there: Iterable[str]) -> None:
        """Take the pods that are not there any more for those that went before the rotation."""
        self._is_rotating = True
        self._gone_before = frozenset(self._known.keys() - set(there))

    def told(self, nodes: Iterable[str] | None = None) -> Born:
        """Return who was born; `nodes` are the names of those that are there in the end."""
        there = set(self._nodes() if nodes is None else nodes)
        left = {uid for uid, pod in self._known.items() if pod.node and pod.node not in there}
        born = self._known.keys() - self._first
        return Born(
            self._by_workload(born - self._in_rotation),
            self._by_workload(born & self._in_rotation),
            self._by_workload(left - self._gone_before if self._is_rotating else ()),
        )

    def _by_workload(self, uids: Iterable[str]) -> Counter[str]:
        return Counter(self._known[uid].workload for uid in uids)
