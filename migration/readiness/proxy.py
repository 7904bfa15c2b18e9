"""The kube-proxy mode at the end, with the CNI that the cluster has then (docs/platform.md 1.2)."""

from __future__ import annotations

from collections.abc import Iterable

from migration.asking import changes_mode, is_under_way, target
from migration.models import CniType, Finding, MigrationRequest, ProxyMode, Runbook
from migration.proxy_mode import modes_of
from migration.readiness.codes import blocker, warning
from migration.survey import ClusterSurvey
from migration.targets import MODE_ALREADY_SET
from migration.versions import is_before_applications


def mode(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find a mode that the CNI can't have, that KKP would refuse, or that works badly."""
    wanted, subject = target(survey, request), f"Cluster {survey.cluster.name}"
    if wanted.proxy_mode not in _known(survey):
        yield blocker(
            "proxy-mode-unknown",
            subject,
            f"kube-proxy mode {wanted.proxy_mode or 'unset'!r} is none that this KKP has",
            f"Choose one of {', '.join(_known(survey))}.",
        )
    elif wanted.proxy_mode not in modes_of(wanted.cni.type):
        yield blocker(
            "ebpf-on-canal",
            subject,
            f"kube-proxy mode {wanted.proxy_mode} is asked for on {wanted.cni}, which needs kube-proxy",
            f"Choose one of {', '.join(modes_of(wanted.cni.type))}, or migrate to Cilium first.",
        )
    elif wanted.proxy_mode == ProxyMode.EBPF and not survey.cluster.konnectivity:
        yield blocker(
            "ebpf-without-konnectivity",
            subject,
            "Konnectivity is off, and KKP refuses ebpf without it",
            "Switch Konnectivity on (spec.clusterNetwork.konnectivityEnabled) and let the control plane roll.",
        )
    if wanted.cni.type is CniType.CILIUM and wanted.proxy_mode == ProxyMode.IPVS:
        # KKP 2.21 to 2.23 known issues; kubermatic#8767, cilium#18610.
        yield warning(
            "ipvs-with-cilium",
            subject,
            "kube-proxy runs in ipvs mode, with which NodePorts to remote backends fail on Cilium",
            "Ask for another kube-proxy mode in the same run, or change it afterwards.",
        )


def no_change(survey: ClusterSurvey, request: MigrationRequest) -> Iterable[Finding]:
    """Find that the cluster has the mode already that it shall be changed to."""
    if request.runbook is not Runbook.CHANGE_PROXY_MODE or is_under_way(survey, request):
        return
    if not changes_mode(survey, request):
        yield warning(
            MODE_ALREADY_SET,
            f"Cluster {survey.cluster.name}",
            f"it has kube-proxy mode {survey.cluster.proxy_mode} already",
            "The run confirms it, and replaces the nodes, in whose kernels other rules may be left.",
        )


def _known(survey: ClusterSurvey) -> tuple[ProxyMode, ...]:
    """Return the modes of this KKP: nftables came after it had Cilium as an addon (docs/platform.md 11.1)."""
    is_old = is_before_applications(survey.cluster.kubermatic_version)
    return tuple(mode for mode in ProxyMode if not (is_old and mode is ProxyMode.NFTABLES))


RULES = (mode, no_change)
