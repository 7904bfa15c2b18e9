"""Every code of a finding, with how bad it can be. docs/findings.md says what each means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from migration.models import Finding, Severity

_B, _W, _I = Severity.BLOCKER, Severity.WARNING, Severity.INFO

SEVERITIES: Final[Mapping[str, tuple[Severity, ...]]] = {
    # The cluster as a whole.
    "cluster-deleted": (_B,),
    "cluster-paused": (_B,),
    "cluster-unhealthy": (_B,),
    "cluster-updating": (_B,),
    "not-on-canal": (_B,),
    "not-on-cilium": (_B,),
    "other-migration": (_B,),
    "worker-name": (_B,),
    # The way in.
    "another-api-server": (_B,),
    "kubeconfig-expires": (_B, _W),
    "permission-missing": (_B,),
    "platform-unseen": (_W,),
    "view-dimmed": (_W,),
    # The maintenance windows.
    "cluster-window-missing": (_B, _W),
    "schedule-outside-window": (_W,),
    "window-ignored": (_W,),
    "window-never-opens": (_B, _W),
    "window-too-short": (_B, _W),
    # Versions.
    "canal-without-dual-stack": (_B,),
    "no-application-definition": (_B,),
    "version-deprecated": (_I,),
    "version-invalid": (_B,),
    "version-not-installable": (_B,),
    "version-not-offered": (_B,),
    # The kube-proxy mode.
    "ebpf-on-canal": (_B,),
    "ebpf-without-konnectivity": (_B,),
    "ipvs-with-cilium": (_W,),
    "mode-already-set": (_W,),
    "proxy-mode-unknown": (_B,),
    # The network.
    "cilium-chaining": (_W,),
    "dual-stack": (_I,),
    "hubble-blocked": (_W,),
    "multus": (_W,),
    "no-cilium-endpoints": (_B,),
    "node-range-short": (_W,),
    "pod-ranges-short": (_B, _W),
    "pods-move-with-nodes": (_W,),
    "probe-image": (_I,),
    "stale-cilium": (_I,),
    "tunnel-port": (_I,),
    "tunnel-port-clash": (_B,),
    "tunnel-port-moves": (_I,),
    # The CNI that is to go, if KKP didn't install it: migration.manifest_findings.
    "manifest-leaves": (_I,),
    "manifest-matches-nothing": (_W,),
    "manifest-of-another-owner": (_B,),
    "manifest-removes": (_I,),
    "manifest-unusable": (_B,),
    "old-cni-unlabelled": (_B,),
    # Nodes.
    "kernel-known-bad": (_B,),
    "kernel-too-old": (_B,),
    "no-nodes": (_B, _W),
    "node-architecture": (_B,),
    "node-cordoned": (_B, _W),
    "node-not-ready": (_B,),
    "node-tainted": (_I,),
    "node-without-machine": (_W,),
    # Machines.
    "machine-deployment-paused": (_B,),
    "machine-deployment-unfinished": (_B,),
    "no-machine-deployments": (_W,),
    "nodes-keep-cilium": (_B, _W),
    "quota-unseen": (_I,),
    # Admission and aggregation.
    "api-unavailable": (_W,),
    "webhook-down": (_B,),
    "webhook-on-pod-network": (_W,),
    # Workloads.
    "bare-pod": (_B, _W, _I),
    "budget-blocks": (_W,),
    "empty-dir": (_I,),
    "host-ports": (_W, _I),
    "node-storage": (_W,),
    "pod-stuck": (_W,),
    "pod-terminating": (_I,),
    "running-job": (_I,),
    "single-replica": (_W,),
    # Who keeps what changes.
    "gitops-owner": (_W,),
    # Policies: migration.policies decides on each.
    "admin-policy": (_W, _I),
    "calico-policy": (_W, _I),
    "cilium-policy": (_W, _I),
    "policy-changes-meaning": (_W, _I),
}

# A rolling controller-manager, a rotation in progress, pods that are restarted: what an interrupted migration leaves.
# What the replacement of nodes leaves besides (node-cordoned, no-nodes, pod-ranges-short) has other advice then, and is
# softened by its own rule.
CAUSED_BY_A_MIGRATION: Final = frozenset(
    {
        "cluster-unhealthy",
        "machine-deployment-unfinished",
        "node-not-ready",
        "webhook-down",
    }
)


def blocker(code: str, subject: str, seen: str, advice: str) -> Finding:
    """Return a finding that stops a run unless it is accepted by its code."""
    return Finding(code=code, severity=Severity.BLOCKER, subject=subject, seen=seen, advice=advice)


def warning(code: str, subject: str, seen: str, advice: str) -> Finding:
    """Return a finding that somebody should act on."""
    return Finding(code=code, severity=Severity.WARNING, subject=subject, seen=seen, advice=advice)


def info(code: str, subject: str, seen: str, advice: str) -> Finding:
    """Return a finding that somebody should know of."""
    return Finding(code=code, severity=Severity.INFO, subject=subject, seen=seen, advice=advice)
