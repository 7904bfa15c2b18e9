"""What each kube-proxy mode means for kube-proxy and for Cilium, and which changes make sense.

Source: docs/platform.md 1.2, 4.7, 5.4, 5.5, 6.2.
"""

from __future__ import annotations

import re

from migration.models import CniType, ProxyMode

# kube-proxy's KubeProxyConfiguration, one line `mode: iptables`, as KKP 2.31 writes it (addons/kube-proxy).
_MODE = re.compile(r"^[ \t]*mode:[ \t]*\"?(\w*)", re.MULTILINE)
# Values of cilium-config's kube-proxy-replacement: Cilium before 1.14 said strict, and disabled, probe or partial.
_REPLACING = frozenset({"true", "strict"})


def modes_of(cni: CniType) -> tuple[ProxyMode, ...]:
    """Return the modes that KKP's webhook accepts with a CNI (KKP 2.31, pkg/validation/cluster.go)."""
    return tuple(mode for mode in ProxyMode if mode is not ProxyMode.EBPF or cni is not CniType.CANAL)


def configured_mode(config: str) -> str:
    """Return the mode in kube-proxy's configuration; empty means its default, which is iptables on Linux."""
    found = _MODE.search(config)
    return (found.group(1) if found else "") or ProxyMode.IPTABLES


def replaces_kube_proxy(value: str) -> bool:
    """Tell whether Cilium takes kube-proxy's place by this value of `kube-proxy-replacement`."""
    return value.lower() in _REPLACING
