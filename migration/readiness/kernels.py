"""Kernels that are too old for the new CNI or kube-proxy mode. Source: docs/platform.md 5.9."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from migration.asking import new_cni, target
from migration.facts import NodeFacts
from migration.models import CniType, Finding, MigrationRequest, ProxyMode
from migration.readiness.codes import blocker
from migration.survey import ClusterSurvey
from migration.text import listing
from migration.versions import is_version, parse_version

Kernel = tuple[int, int, int, int]

# Cilium's documentation, "System Requirements", by the first minor for which it holds.
_CILIUM_WANTS: Final = (((1, 18), (5, 10, 0, 0)), ((1, 16), (5, 4, 0, 0)), ((0, 0), (4, 19, 57, 0)))
# The same page: RHEL 8 backported what is needed until 1.17.
_RHEL_8: Final = re.compile(r"(Red Hat|Rocky|AlmaLinux|CentOS|Oracle).* 8(\.|\b)")
_RHEL_8_WANTS: Final = (4, 18, 0, 0)
_LAST_WITH_RHEL_8: Final = (1, 17)
# KKP documentation, known issues: Cilium's verifier error on tail_nodeport_nat_egress_ipv4.
_BAD_CILIUM: Final = (1, 18)
_BAD_OS: Final = "Ubuntu 22.04"
_BAD_KERNEL: Final = (5, 15, 0, 47)
# Kubernetes documentation, "Virtual IPs and Service Proxies", nftables mode.
_NFTABLES_WANTS: Final = (5, 13, 0, 0)
_VERSION: Final = re.compile(r"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(?:-([0-9]+))?")


def kernels(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find kernels that the new CNI or kube-proxy mode does not run on."""
    wanted = target(survey, request)
    if new_cni(request) is CniType.CILIUM and is_version(wanted.cni.version):
        minor = parse_version(wanted.cni.version)[:2]
        yield from _too_old(survey, f"Cilium {wanted.cni.version}", lambda node: _least(minor, node))
        bad = [node for node in survey.nodes if minor == _BAD_CILIUM and _is_known_bad(node)]
        if bad:
            yield blocker(
                "kernel-known-bad",
                _names(bad),
                f"with kernel {bad[0].kernel} of {bad[0].os_image}, agents of Cilium 1.18 crash",
                "Update the kernel first (5.15.0-160 is good, as is Ubuntu 24.04), or choose another version.",
            )
    if wanted.proxy_mode == ProxyMode.NFTABLES and wanted != survey.cluster.network:
        yield from _too_old(survey, "kube-proxy mode nftables", lambda _node: _NFTABLES_WANTS)


def kernel(text: str) -> Kernel | None:
    """Return the numbers of a kernel version (`5.15.0-47-generic`), None for one that has none."""
    match = _VERSION.match(text)
    if match is None:
        return None
    major, minor, patch, build = match.groups(default="0")
    return int(major), int(minor), int(patch), int(build)


def _too_old(survey: ClusterSurvey, what: str, least: Callable[[NodeFacts], Kernel]) -> Iterable[Finding]:
    old = [node for node in survey.nodes if (found := kernel(node.kernel)) is not None and found < least(node)]
    if old:
        wants = ".".join(map(str, least(old[0])[:3]))
        yield blocker(
            "kernel-too-old",
            _names(old),
            f"kernel {old[0].kernel}, and {what} wants {wants} or newer",
            "Update the nodes' operating system first.",
        )


def _least(minor: tuple[int, ...], node: NodeFacts) -> Kernel:
    if minor <= _LAST_WITH_RHEL_8 and _RHEL_8.search(node.os_image):
        return _RHEL_8_WANTS
    return next(least for first, least in _CILIUM_WANTS if minor >= first)


def _is_known_bad(node: NodeFacts) -> bool:
    found = kernel(node.kernel)
    # Newer series of the same release (HWE) are not concerned, nor are older ones, which are too old anyway.
    return (
        found is not None
        and node.os_image.startswith(_BAD_OS)
        and found[:3] == _BAD_KERNEL[:3]
        and found <= _BAD_KERNEL
    )


def _names(nodes: list[NodeFacts]) -> str:
    return f"Node {listing(sorted(node.name for node in nodes))}"


RULES = (kernels,)
