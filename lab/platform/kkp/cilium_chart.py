"""The Cilium chart as Helm renders it from a set of values. Refuses to install it.

Source: charts 1.13 to 1.19 in kubermatic-mirror/helm-charts (docs/platform.md 6.3). Values that the lab has no use for
change nothing in what is rendered, though they count when Helm compares releases.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from lab.objects import Object
from lab.platform.kkp.rendering import OMIT, render
from lab.platform.kkp.values import Values, lookup
from lab.platform.kkp.versions import minor_of

_DIGESTS = {
    "1.19.4": "sha256:2eb67991eaa9368ba199c2fac2c573cb0ffdeb79184533344f42fc9a7ff6af3c",
    "1.18.10": "sha256:dd573bc2f7213dbd978e564a363ecaad060e9578ed557b92b53e42eeeb0f2294",
    "1.17.16": "sha256:4efb37b791561bc5a2c6d746bdd6f52a9c393623d2426e8c0877cc389610477c",
}
_HOOK_MINORS = range(14, 19)
"""Charts whose certificate Job is a post-install hook that Helm waits for; 1.13 and 1.19 have an ordinary Job."""
_FIRST_WITH_TLS_INTERCEPTION = 17

_CHART_DEFAULTS: Values = {
    "envoy": {"enabled": True},
    "hubble": {"relay": {"enabled": False}, "ui": {"enabled": False}, "tls": {"auto": {"method": "helm"}}},
    "operator": {"replicas": 2},
    "cni": {"exclusive": True, "uninstall": False},
    "kubeProxyReplacement": "false",
    "tunnelPort": 0,
}


@dataclass(frozen=True)
class Chart:
    """What a rendered chart consists of: objects that belong to the release, and those of its post-install hooks."""

    objects: list[Object]
    hooks: list[Object]


def render_cilium(version: str, values: Values, *, release: str, namespace: str) -> Chart:
    """Return the objects of the chart for these values, marked as Helm marks what it owns."""
    minor = minor_of(version)
    is_hook = minor in _HOOK_MINORS
    (job,) = render("certgen-job", {})
    filled = {
        "version": version,
        "image": f"quay.io/cilium/cilium:v{version}" + (f"@{_DIGESTS[version]}" if version in _DIGESTS else ""),
        "config": _config(values),
        "operator_replicas": int(_value(values, "operator.replicas")),
        "api_host": _environment("KUBERNETES_SERVICE_HOST", values.get("k8sServiceHost")),
        "api_port": _environment("KUBERNETES_SERVICE_PORT", values.get("k8sServicePort")),
        "certgen_job": job,
        "certgen_name": "hubble-generate-certs" if is_hook else f"hubble-generate-certs-{_fingerprint(job)}",
        "certgen_annotations": {"helm.sh/hook": "post-install,post-upgrade"} if is_hook else OMIT,
    }
    rendered = render("cilium", filled, _conditions(values, minor))
    hooks = [found for found in rendered if "helm.sh/hook" in (found["metadata"].get("annotations") or {})]
    objects = [found for found in rendered if found not in hooks]
    for found in objects:
        _mark_owned(found, release, namespace)
    return Chart(objects, hooks)


def _mark_owned(found: Object, release: str, namespace: str) -> None:
    metadata = found["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    owner = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **owner}


def _value(values: Values, path: str) -> Any:
    found = lookup(values, path)
    return lookup(_CHART_DEFAULTS, path) if found is None else found


def _conditions(values: Values, minor: int) -> set[str]:
    conditions = {
        "relay": _value(values, "hubble.relay.enabled"),
        "ui": _value(values, "hubble.ui.enabled"),
        "envoy": _value(values, "envoy.enabled"),
        "certgen": _value(values, "hubble.tls.auto.method") == "cronJob",
        "tls-interception": minor >= _FIRST_WITH_TLS_INTERCEPTION,
    }
    return {name for name, holds in conditions.items() if holds}


def _environment(name: str, value: Any) -> Any:
    return OMIT if value in (None, "", 0) else {"name": name, "value": str(value)}


def _fingerprint(job: Object) -> str:
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:10]


def _config(values: Values) -> dict[str, str]:
    """Return the data of ConfigMap cilium-config (docs/platform.md 6.3)."""
    pool = lookup(values, "ipam.operator") or {}
    config = {
        "agent-not-ready-taint-key": "node.cilium.io/agent-not-ready",
        "cluster-name": "default",
        "cluster-pool-ipv4-cidr": " ".join(pool.get("clusterPoolIPv4PodCIDRList") or ("10.0.0.0/8",)),
        "cluster-pool-ipv4-mask-size": str(pool.get("clusterPoolIPv4MaskSize", 24)),
        "cni-exclusive": json.dumps(bool(_value(values, "cni.exclusive"))),
        "enable-ipv4": "true",
        "enable-ipv6": json.dumps(bool(lookup(values, "ipv6.enabled"))),
        "enable-policy": "default",
        "identity-allocation-mode": "crd",
        "ipam": "cluster-pool",
        "kube-proxy-replacement": str(_value(values, "kubeProxyReplacement")),
        "remove-cilium-node-taints": "true",
        "routing-mode": "tunnel",
        "set-cilium-is-up-condition": "true",
        "set-cilium-node-taints": "true",
        "tunnel-protocol": "vxlan",
        "write-cni-conf-when-ready": "/host/etc/cni/net.d/05-cilium.conflist",
    }
    if lookup(values, "ipv6.enabled"):
        config["cluster-pool-ipv6-cidr"] = " ".join(pool.get("clusterPoolIPv6PodCIDRList") or ())
        config["cluster-pool-ipv6-mask-size"] = str(pool.get("clusterPoolIPv6MaskSize", 120))
    return {**config, **_optional_config(values)}


def _optional_config(values: Values) -> dict[str, str]:
    optional = {
        "tunnel-port": str(values.get("tunnelPort") or ""),
        "cni-chaining-mode": str(lookup(values, "cni.chainingMode") or ""),
        "cni-uninstall": "true" if _value(values, "cni.uninstall") else "",
        "node-port-range": str(lookup(values, "nodePort.range") or ""),
    }
    extra = {key: str(value) for key, value in (values.get("extraConfig") or {}).items()}
    return {**{key: value for key, value in optional.items() if value}, **extra}
