"""The custom resources of Cilium, as its operator registers them: they are not in the chart (docs/platform.md 6.3).

Refuses to know what the objects mean.
"""

from __future__ import annotations

from typing import Any

from lab.network.cilium_schemas import schema_of
from lab.objects import Object

GROUP = "cilium.io"

_Column = tuple[str, str, str]

_ENDPOINT_COLUMNS: tuple[_Column, ...] = (
    ("Security Identity", "integer", ".status.identity.id"),
    ("Endpoint State", "string", ".status.state"),
    ("IPv4", "string", ".status.networking.addressing[0].ipv4"),
    ("IPv6", "string", ".status.networking.addressing[0].ipv6"),
)
_NODE_COLUMNS: tuple[_Column, ...] = (
    ("InternalIP", "string", '.spec.addresses[?(@.type=="InternalIP")].ip'),
    ("Age", "date", ".metadata.creationTimestamp"),
)

_WITH_STATUS = frozenset({"ciliumnodes", "ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies"})

_Row = tuple[str, str, str, str, tuple[str, ...]]
_DEFINITIONS: tuple[_Row, ...] = (
    # version, plural, kind, scope, short names; from pkg/k8s/apis/cilium.io of Cilium 1.19
    ("v2", "ciliumnetworkpolicies", "CiliumNetworkPolicy", "Namespaced", ("cnp", "ciliumnp")),
    ("v2", "ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy", "Cluster", ("ccnp",)),
    ("v2", "ciliumcidrgroups", "CiliumCIDRGroup", "Cluster", ("ccg",)),
    ("v2", "ciliumendpoints", "CiliumEndpoint", "Namespaced", ("cep", "ciliumep")),
    ("v2", "ciliumidentities", "CiliumIdentity", "Cluster", ("ciliumid",)),
    ("v2", "ciliumnodes", "CiliumNode", "Cluster", ("cn", "ciliumn")),
    ("v2", "ciliumnodeconfigs", "CiliumNodeConfig", "Namespaced", ()),
    ("v2", "ciliumlocalredirectpolicies", "CiliumLocalRedirectPolicy", "Namespaced", ("clrp",)),
    ("v2", "ciliumegressgatewaypolicies", "CiliumEgressGatewayPolicy", "Cluster", ("cegp",)),
    ("v2", "ciliumclusterwideenvoyconfigs", "CiliumClusterwideEnvoyConfig", "Cluster", ("ccec",)),
    ("v2", "ciliumenvoyconfigs", "CiliumEnvoyConfig", "Namespaced", ("cec",)),
    ("v2", "ciliumloadbalancerippools", "CiliumLoadBalancerIPPool", "Cluster", ("ippools", "lbippool")),
    ("v2alpha1", "ciliumpodippools", "CiliumPodIPPool", "Cluster", ("cpip",)),
    ("v2alpha1", "ciliuml2announcementpolicies", "CiliumL2AnnouncementPolicy", "Cluster", ("l2announcement",)),
)

REQUIRED_BY_AGENTS = tuple(f"{plural}.{GROUP}" for plural in ("ciliumendpoints", "ciliumidentities", "ciliumnodes"))
"""Definitions without which an agent does not start."""


def cilium_definitions() -> list[Object]:
    """Return the CustomResourceDefinitions that Cilium's operator registers."""
    return [_definition(row) for row in _DEFINITIONS]


def _definition(row: _Row) -> Object:
    version, plural, kind, scope, short_names = row
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "labels": {"io.cilium.k8s.crd.schema.version": "1.32.1"},
        },
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "plural": plural,
                "singular": kind.lower(),
                "kind": kind,
                "listKind": f"{kind}List",
                "shortNames": list(short_names),
                "categories": ["cilium"],
            },
            "versions": [_version(version, plural)],
        },
    }


def _version(name: str, plural: str) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": name,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema_of(plural)},
    }
    if plural in _WITH_STATUS:
        version["subresources"] = {"status": {}}
    columns = {"ciliumendpoints": _ENDPOINT_COLUMNS, "ciliumnodes": _NODE_COLUMNS}.get(plural, ())
    if columns:
        version["additionalPrinterColumns"] = [
            {"name": column, "type": kind, "jsonPath": path} for column, kind, path in columns
        ]
    return version
