"""Helm values: reading and merging them, and those that KKP enforces for Cilium. Refuses to render anything."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from lab.objects import Object

Values = dict[str, Any]

_DEFAULT_NODE_PORTS = "30000-32767"
NODE_LOCAL_DNS = "169.254.20.10"


def values_of(installation: Object) -> Values:
    """Return the values of an ApplicationInstallation, from its block or its deprecated object."""
    spec = installation.get("spec") or {}
    if spec.get("valuesBlock"):
        return yaml.safe_load(spec["valuesBlock"]) or {}
    return dict(spec.get("values") or {})


def as_block(values: Values) -> str:
    """Return values as the YAML text that KKP stores, keys in order."""
    return yaml.safe_dump(values, sort_keys=True, default_flow_style=False)


def lookup(values: Values, path: str) -> Any:
    """Return the value at a dotted path, None if there is none."""
    found: Any = values
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def merged(values: Values, over: Values) -> Values:
    """Return values with `over` laid on top, maps merged; what `over` does not name stays (docs/platform.md 4.2)."""
    result = copy.deepcopy(values)
    for key, value in over.items():
        held = result.get(key)
        if isinstance(held, dict) and isinstance(value, dict):
            result[key] = merged(held, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def enforced_cilium_values(cluster: Object, present: Values) -> Values:
    """Return the values that KKP lays over whatever the user set.

    Source: KKP pkg/cni/cilium/cilium.go GetAppInstallOverrideValues. `present` is needed because the list of excluded
    local addresses is extended, not replaced.
    """
    network = cluster["spec"]["clusterNetwork"]
    seccomp = {"seccompProfile": {"type": "RuntimeDefault"}}
    values: Values = {
        "podSecurityContext": seccomp,
        "cni": {"exclusive": False},
        "ipam": {"operator": _address_pool(network)},
        "certgen": {"podSecurityContext": seccomp},
        "envoy": {"podSecurityContext": seccomp},
        "operator": {"podSecurityContext": seccomp, "securityContext": seccomp},
        "hubble": {
            "relay": {"podSecurityContext": seccomp},
            "ui": {"securityContext": {**seccomp, "enabled": True}, "frontend": {}, "backend": {}},
        },
    }
    if network.get("ipFamily") == "IPv4+IPv6":
        values["ipv6"] = {"enabled": True}
    if network.get("nodeLocalDNSCacheEnabled", True):
        values["extraConfig"] = {"exclude-local-address": _excluded_addresses(present)}
    return merged(values, _proxy_values(cluster))


def _address_pool(network: Object) -> Values:
    blocks = network["pods"]["cidrBlocks"]
    pool: Values = {"clusterPoolIPv4PodCIDRList": [b for b in blocks if ":" not in b]}
    if (size := network.get("nodeCidrMaskSizeIPv4")) is not None:
        pool["clusterPoolIPv4MaskSize"] = size
    if network.get("ipFamily") == "IPv4+IPv6":
        pool["clusterPoolIPv6PodCIDRList"] = [b for b in blocks if ":" in b]
        if (size := network.get("nodeCidrMaskSizeIPv6")) is not None:
            pool["clusterPoolIPv6MaskSize"] = size
    return pool


def _excluded_addresses(present: Values) -> str:
    own = f"{NODE_LOCAL_DNS}/32"
    listed = str(lookup(present, "extraConfig.exclude-local-address") or "")
    addresses = [item for item in listed.split(",") if item]
    return ",".join(addresses if own in addresses else [*addresses, own])


def _proxy_values(cluster: Object) -> Values:
    if cluster["spec"]["clusterNetwork"].get("proxyMode") != "ebpf":
        return {"kubeProxyReplacement": "false", "sessionAffinity": True, "cni": {"chainingMode": "portmap"}}
    address = cluster.get("status", {}).get("address", {})
    values: Values = {
        "kubeProxyReplacement": "true",
        "k8sServiceHost": address.get("externalName", ""),
        "k8sServicePort": address.get("port", 0),
    }
    ports = lookup(cluster["spec"], "componentsOverride.apiserver.nodePortRange")
    if ports and ports != _DEFAULT_NODE_PORTS:
        values["nodePort"] = {"range": ports.replace("-", ",")}
    return values
