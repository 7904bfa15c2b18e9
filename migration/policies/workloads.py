"""The pods of a cluster, grouped by what selectors look at: ten thousand pods are a few hundred groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migration.models import Pod
from migration.policies.labels import NAMESPACE_LABELS, POD_NAMESPACE, unseen_by_cilium
from migration.policies.selectors import NAMESPACE_LABEL, Labels, Selector


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """Pods of one namespace with the same labels; equal only to itself, so that sets of groups are cheap."""

    namespace: str
    labels: Labels
    """The pods' own, and those that Calico and Cilium add."""
    seen_by_cilium: Labels
    host_network: bool
    workloads: frozenset[str]


class Workloads:
    """All pods that run or will run. Pods on the host network are apart: no policy for pods reaches them."""

    def __init__(self, pods: Iterable[Pod], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        alike: defaultdict[tuple[str, bool, tuple[tuple[str, str], ...]], set[str]] = defaultdict(set)
        for pod in pods:
            if not pod.finished:
                alike[pod.namespace, pod.host_network, pod.labels].add(pod.workload)
        self._namespaces = {
            name: _namespace_labels(name, namespaces.get(name, {}))
            for name in {*namespaces, *(namespace for namespace, _, _ in alike)}
        }
        self._parted: dict[tuple[str, bool, frozenset[str]], list[tuple[Labels, list[Group]]]] = {}
        self._by_namespace: defaultdict[tuple[str, bool], list[Group]] = defaultdict(list)
        for (namespace, host_network, labels), workloads in alike.items():
            group = self._group(namespace, labels, host_network=host_network, workloads=frozenset(workloads))
            self._by_namespace[namespace, host_network].append(group)

    def namespaces(self, selector: Selector) -> tuple[str, ...]:
        """Return the namespaces whose own labels match."""
        return tuple(name for name, labels in self._namespaces.items() if selector.matches(labels))

    def of(
        self, selector: Selector, *, namespaces: Iterable[str] | None = None, host_network: bool = False
    ) -> frozenset[Group]:
        """Return the groups that match, in some namespaces or in all."""
        keys = selector.label_keys()
        found: set[Group] = set()
        for name in self._namespaces if namespaces is None else namespaces:
            for labels, groups in self._alike(name, keys, host_network=host_network):
                if selector.matches(labels):
                    found.update(groups)
        return frozenset(found)

    def _alike(
        self, namespace: str, keys: frozenset[str], *, host_network: bool
    ) -> Iterable[tuple[Labels, list[Group]]]:
        """Return a namespace's groups by the labels that decide; policies mostly ask for the same few."""
        if (known := self._parted.get((namespace, host_network, keys))) is not None:
            return known
        parts: defaultdict[tuple[str | None, ...], list[Group]] = defaultdict(list)
        for group in self._by_namespace.get((namespace, host_network), ()):
            parts[tuple(map(group.labels.get, sorted(keys)))].append(group)
        found = [(groups[0].labels, groups) for groups in parts.values()]
        self._parted[namespace, host_network, keys] = found
        return found

    def _group(
        self, namespace: str, labels: tuple[tuple[str, str], ...], *, host_network: bool, workloads: frozenset[str]
    ) -> Group:
        own = dict(labels)
        added = {f"{NAMESPACE_LABELS}{key}": value for key, value in self._namespaces[namespace].items()}
        added |= {
            POD_NAMESPACE: namespace,
            NAMESPACE_LABEL: namespace,
            "projectcalico.org/orchestrator": "k8s",
        }
        return Group(
            namespace=namespace,
            labels=own | added,
            seen_by_cilium={key: value for key, value in own.items() if not unseen_by_cilium(key)} | added,
            host_network=host_network,
            workloads=workloads,
        )


def names_of(groups: Iterable[Group]) -> tuple[str, ...]:
    """Return the workloads of groups, sorted."""
    return tuple(sorted(frozenset[str]().union(*(group.workloads for group in groups))))


def shortened(names: tuple[str, ...], count: int) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - count
    return ", ".join(names[:count]) + (f" and {more} more" if more > 0 else "")


def _namespace_labels(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """Return a namespace's labels with the one that Kubernetes sets, and those that Calico adds."""
    added = {"projectcalico.org/name": name, NAMESPACE_LABEL: name}
    return {"kubernetes.io/metadata.name": name, **labels, **added}
