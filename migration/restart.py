"""Which pods must be restarted to join the new CNI, and in which order. Source: docs/platform.md 5.3 and 6.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migration.facts import EndpointFacts
from migration.models import BarePodChoice, CniType, JobChoice, Pod, RestartOptions

Endpoints = Mapping[str, EndpointFacts]
"""Mapping of `namespace/name` to the CiliumEndpoint of that name."""

# KKP 2.31, user-cluster-controller-manager resources: konnectivity carries all traffic from the API server to pods.
KONNECTIVITY = ("app", "konnectivity-agent")
DNS = (("app", "coredns"), ("k8s-app", "kube-dns"))
# They come and go with Canal (docs/platform.md 10).
CANAL_WORKLOADS = (("k8s-app", "calico-kube-controllers"), ("k8s-app", "canal"))
# They come and go with Cilium (docs/platform.md 6.3).
HUBBLE_WORKLOADS = (("k8s-app", "hubble-relay"), ("k8s-app", "hubble-ui"), ("k8s-app", "hubble-generate-certs"))


@dataclass(frozen=True)
class Wave:
    """Pods that are restarted together; `one_at_a_time` waits for each replacement before the next."""

    name: str
    pods: tuple[Pod, ...]
    one_at_a_time: bool = False
    wait_for_ready: bool = True


@dataclass(frozen=True)
class Skipped:
    """A pod that stays as it is, and why."""

    pod: Pod
    reason: str


@dataclass(frozen=True)
class RestartPlan:
    """The waves in their order, what is left alone by choice, and the pods of Jobs to be waited for."""

    waves: tuple[Wave, ...]
    skipped: tuple[Skipped, ...]
    awaited: tuple[Pod, ...]

    @property
    def count(self) -> int:
        """How many pods will be restarted."""
        return sum(len(wave.pods) for wave in self.waves)


def needs_network(pod: Pod) -> bool:
    """Tell whether a pod lives on the pod network and still runs: only these belong to a CNI."""
    return not (pod.host_network or pod.mirror or pod.finished)


def is_on_cilium(pod: Pod, endpoints: Endpoints) -> bool:
    """Tell whether Cilium has an endpoint for this very pod.

    A StatefulSet's new pod has its predecessor's name, so the endpoint must name the pod's uid or, where it names
    none, share an address with the pod.
    """
    endpoint = endpoints.get(pod.key)
    if endpoint is None:
        return False
    if endpoint.pod_uid:
        return endpoint.pod_uid == pod.uid
    return bool(endpoint.addresses & set(pod.addresses))


def pods_to_move(pods: Iterable[Pod], endpoints: Endpoints, *, target: CniType) -> tuple[Pod, ...]:
    """Return the pods whose sandbox is of the other CNI, without Hubble's, which go with Cilium, and those about to go.

    Canal's own are moved as well: their removal may wait for a window, and until then Cilium would give the address
    that such a pod has from Canal to another pod of its node. A pod without an address has no sandbox yet: whichever
    CNI is configured by then is going to make it. On the way to Canal the endpoints tell as well: Cilium's removal
    leaves those of the pods that it gave their network.
    """
    to_cilium = target is CniType.CILIUM
    return tuple(
        pod
        for pod in pods
        if needs_network(pod)
        and pod.addresses
        and not pod.deleting
        and is_on_cilium(pod, endpoints) is not to_cilium
        and (to_cilium or not _is_any_of(pod, HUBBLE_WORKLOADS))
    )


def plan_restart(
    pods: Iterable[Pod],
    endpoints: Endpoints,
    options: RestartOptions,
    *,
    target: CniType,
    webhook_backends: frozenset[str] = frozenset(),
) -> RestartPlan:
    """Return the plan that moves every pod onto the new CNI. `webhook_backends` holds workloads (`Pod.workload`)."""
    chosen, skipped, awaited = [], [], []
    for pod in pods_to_move(pods, endpoints, target=target):
        reason = _reason_to_skip(pod, options)
        if reason:
            skipped.append(Skipped(pod, reason))
        elif _is_of_job(pod) and options.jobs is JobChoice.WAIT:
            awaited.append(pod)
        else:
            chosen.append(pod)
    return RestartPlan(_waves(chosen, webhook_backends), tuple(skipped), tuple(awaited))


def is_bare(pod: Pod) -> bool:
    """Tell whether no controller would bring the pod back."""
    return pod.owner is None and not pod.mirror


def _reason_to_skip(pod: Pod, options: RestartOptions) -> str | None:
    if is_bare(pod) and options.bare_pods is not BarePodChoice.RECREATE:
        return "no controller would bring it back"
    if _is_of_job(pod) and options.jobs is JobChoice.SKIP:
        return "it belongs to a running Job"
    return None


def _waves(pods: list[Pod], webhook_backends: frozenset[str]) -> tuple[Wave, ...]:
    konnectivity, dns, webhooks, rest = [], [], [], []
    for pod in sorted(pods, key=lambda pod: pod.key):
        if pod.has_label(*KONNECTIVITY) and pod.namespace == "kube-system":
            konnectivity.append(pod)
        elif pod.namespace == "kube-system" and any(pod.has_label(*label) for label in DNS):
            dns.append(pod)
        elif pod.workload in webhook_backends:
            webhooks.append(pod)
        else:
            rest.append(pod)
    waves = (
        Wave("konnectivity-agent", tuple(konnectivity), one_at_a_time=True),
        Wave("cluster DNS", tuple(dns)),
        Wave("backends of admission webhooks", tuple(webhooks)),
        Wave("everything else", tuple(rest), wait_for_ready=False),
    )
    return tuple(wave for wave in waves if wave.pods)


def _is_of_job(pod: Pod) -> bool:
    return pod.owner is not None and pod.owner.kind == "Job"


def _is_any_of(pod: Pod, labels: Iterable[tuple[str, str]]) -> bool:
    return pod.namespace == "kube-system" and any(pod.has_label(*label) for label in labels)
