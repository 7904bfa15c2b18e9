"""Everything in a user cluster that decides about traffic, narrowed to what the rules of `migration.policies` read.

What kinds there are is asked of the cluster: a definition that isn't there yields nothing, and only a version that is
served can be read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from clusters.api import KubeApi
from clusters.kinds import NAMESPACES, NETWORK_POLICIES
from clusters.steps.custom_resources import definitions_of, kind_of
from migration.policies import Policy, PolicyFacts

# docs/platform.md 6.1: what Canal's addon brings.
CALICO_KINDS: Final = frozenset(
    {
        "networkpolicies",
        "globalnetworkpolicies",
        "stagednetworkpolicies",
        "stagedglobalnetworkpolicies",
        "stagedkubernetesnetworkpolicies",
        "tiers",
        "networksets",
        "globalnetworksets",
        "hostendpoints",
    }
)
ADMIN_KINDS: Final = frozenset({"adminnetworkpolicies", "baselineadminnetworkpolicies"})
# Cilium, pkg/k8s/apis/cilium.io: the kinds that people write. Of CiliumCIDRGroups a policy's own reference is enough.
CILIUM_KINDS: Final = frozenset(
    {
        "ciliumnetworkpolicies",
        "ciliumclusterwidenetworkpolicies",
        "ciliumegressgatewaypolicies",
        "ciliumlocalredirectpolicies",
        "ciliumenvoyconfigs",
        "ciliumclusterwideenvoyconfigs",
        "ciliumloadbalancerippools",
        "ciliuml2announcementpolicies",
        "ciliumbgppeeringpolicies",
        "ciliumbgpclusterconfigs",
    }
)
_READ: Final[Mapping[str, frozenset[str]]] = {
    "crd.projectcalico.org": CALICO_KINDS,
    "policy.networking.k8s.io": ADMIN_KINDS,
    "cilium.io": CILIUM_KINDS,
}


async def list_policies(api: KubeApi) -> PolicyFacts:
    """Return the policies of a user cluster with what they refer to. Raises OperatorActionNeeded for unserved ones."""
    definitions = await definitions_of(api, _READ)
    wanted = [one for one in definitions if one["spec"]["names"]["plural"] in _READ[one["spec"]["group"]]]
    kinds = [kind_of(one) for one in wanted]
    kubernetes, namespaces, *custom = await asyncio.gather(
        api.list(NETWORK_POLICIES), api.list(NAMESPACES), *(api.list(kind) for kind in kinds)
    )
    groups: dict[str, list[Policy]] = {group: [] for group in _READ}
    for definition, found in zip(wanted, custom, strict=True):
        groups[definition["spec"]["group"]] += _narrowed(found, definition["spec"]["names"]["kind"])
    return PolicyFacts(
        kubernetes=tuple(_narrowed(kubernetes, "NetworkPolicy")),
        calico=tuple(groups["crd.projectcalico.org"]),
        cilium=tuple(groups["cilium.io"]),
        admin=tuple(groups["policy.networking.k8s.io"]),
        namespaces={one["metadata"]["name"]: _labels(one["metadata"]) for one in namespaces},
    )


def _narrowed(found: Iterable[Any], kind: str) -> list[Policy]:
    """Lists carry no kind in their items."""
    return [
        Policy(
            kind=kind,
            namespace=one["metadata"].get("namespace", ""),
            name=one["metadata"]["name"],
            spec=one.get("spec"),
            specs=one.get("specs"),
            labels=_labels(one["metadata"]),
        )
        for one in found
    ]


def _labels(metadata: Mapping[str, Any]) -> Mapping[str, str]:
    return metadata.get("labels") or {}
