"""The security identities of pods on Cilium: one CiliumIdentity for each set of labels. Refuses to collect unused ones.

https://docs.cilium.io/en/stable/internals/security-identities/. Cilium's operator collects those that no endpoint has
used for a while; in the lab they stay, as they do after an uninstall (docs/platform.md 4.6).
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.errors import ApiError
from lab.objects import Object, labels_of, namespace_of
from lab.platform.runtime import Site
from lab.resources import CILIUM_IDENTITIES

FIRST_IDENTITY = 256
"""Those below are reserved."""
_NAMESPACE = "io.kubernetes.pod.namespace"
_CONFLICT = 409


@dataclass(frozen=True)
class Identity:
    """A number, and the labels that it stands for, as `k8s:key=value`."""

    number: int
    labels: tuple[str, ...]


class CiliumIdentities:
    """Every identity that was ever given out; a set of labels keeps its number."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[tuple[str, ...], Identity] = {}

    async def for_pod(self, pod: Object) -> Identity:
        """Return the pod's identity, whose object is there."""
        security_labels = _security_labels(pod)
        labels = tuple(f"{key}={value}" for key, value in sorted(security_labels.items()))
        number = FIRST_IDENTITY + len(self._known)
        identity = self._known.setdefault(labels, Identity(number, labels))
        if self._site.mirror.get(CILIUM_IDENTITIES, str(identity.number)) is None:
            await self._create(identity, namespace_of(pod), security_labels)
        return identity

    async def _create(self, identity: Identity, namespace: str, security_labels: dict[str, str]) -> None:
        body = {
            "apiVersion": CILIUM_IDENTITIES.api_version,
            "kind": CILIUM_IDENTITIES.kind,
            "metadata": {"name": str(identity.number), "labels": {_NAMESPACE: namespace}},
            "security-labels": security_labels,
        }
        try:
            await self._site.client.create(CILIUM_IDENTITIES, body)
        except ApiError as error:
            if error.code != _CONFLICT:
                raise


def _security_labels(pod: Object) -> dict[str, str]:
    """Return the labels that make a pod's identity; those that differ from pod to pod are left out as Cilium does."""
    own = {f"k8s:{key}": value for key, value in labels_of(pod).items() if key not in _NOT_IDENTIFYING}
    return {**own, f"k8s:{_NAMESPACE}": namespace_of(pod)}


# https://docs.cilium.io/en/stable/operations/performance/scalability/identity-relevant-labels/
_NOT_IDENTIFYING = frozenset(
    {"pod-template-hash", "pod-template-generation", "controller-revision-hash", "controller-uid", "job-name"}
    | {"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "batch.kubernetes.io/controller-uid"}
)
