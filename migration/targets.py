"""Where a migration leads: the CNI and kube-proxy mode that the cluster shall have at its end."""

from __future__ import annotations

from migration.facts import ClusterFacts
from migration.journal import Journal, Migration
from migration.models import Cni, CniType, MigrationRequest, Network, ProxyMode, Runbook

DEFAULT_PROXY_MODE = ProxyMode.IPTABLES
"""For a cluster that leaves ebpf and whose journal doesn't know what it had before: every node and CNI can do it."""
START = {
    Runbook.CANAL_TO_CILIUM: CniType.CANAL,
    Runbook.CILIUM_TO_CANAL: CniType.CILIUM,
}
"""The CNI from which a runbook sets out; one that changes only the proxy mode sets out from any."""
OPPOSITE = {
    Runbook.CANAL_TO_CILIUM: Runbook.CILIUM_TO_CANAL,
    Runbook.CILIUM_TO_CANAL: Runbook.CANAL_TO_CILIUM,
    Runbook.CHANGE_PROXY_MODE: Runbook.CHANGE_PROXY_MODE,
}
"""The runbook that leads back."""


def desired_network(request: MigrationRequest, cluster: ClusterFacts, journal: Journal) -> Network:
    """Return what the request asks for, with what it leaves open taken from the cluster and its journal.

    Canal can't do without kube-proxy, so a cluster on ebpf gets back the mode that it had on Canal (KKP 2.31,
    pkg/validation/cluster.go).
    """
    cni = request.desired_cni or cluster.cni
    if request.desired_proxy_mode is not None:
        return Network(cni=cni, proxy_mode=request.desired_proxy_mode)
    if cni.type is CniType.CANAL and cluster.proxy_mode == ProxyMode.EBPF:
        return Network(cni=cni, proxy_mode=_mode_on_canal(journal))
    return Network(cni=cni, proxy_mode=cluster.proxy_mode)


def is_same_migration(request: MigrationRequest, migration: Migration) -> bool:
    """Tell whether the request would go on with this migration, and not begin another."""
    wanted_cni = request.desired_cni or migration.desired_cni
    wanted_mode = request.desired_proxy_mode or migration.desired.proxy_mode
    return (
        migration.kind is request.runbook
        and migration.reverts == request.reverts
        and migration.desired == Network(cni=wanted_cni, proxy_mode=wanted_mode)
    )


def is_done(request: MigrationRequest, cluster: ClusterFacts, journal: Journal) -> Migration | None:
    """Return the finished migration after which nothing of the request is left to do."""
    last = journal.last_finished()
    if journal.open_migration() is not None or last is None or last.reverted_by:
        return None
    desired = desired_network(request, cluster, journal)
    if cluster.network != desired or last.desired != desired:
        return None
    return last if request.reverts in ("", last.reverts) else None


def why_nothing_to_do(request: MigrationRequest, cluster: ClusterFacts, journal: Journal) -> str | None:
    """Return why there is nothing to do, None if there is.

    A CNI counts as changed only if a migration of this project ended there: another way of getting there may have left
    the old one behind. A kube-proxy mode is KKP's to see through.
    """
    last = is_done(request, cluster, journal)
    if last is not None:
        return f"{cluster.name} runs {cluster.network} since migration {last.id}: nothing to do"
    has_mode = request.desired_proxy_mode == cluster.proxy_mode and request.desired_cni in (None, cluster.cni)
    if request.runbook is Runbook.CHANGE_PROXY_MODE and has_mode and journal.open_migration() is None:
        return f"{cluster.name} has kube-proxy mode {cluster.proxy_mode}: nothing to do"
    return None


def reverting_request(request: MigrationRequest, migration: Migration) -> MigrationRequest:
    """Return the request that takes a migration back: the opposite runbook to what the cluster had before."""
    mode = ProxyMode(migration.previous_proxy_mode) if migration.previous_proxy_mode else None
    changes = {
        "runbook": OPPOSITE[migration.kind],
        "desired_cni": None if migration.kind is Runbook.CHANGE_PROXY_MODE else migration.previous_cni,
        "desired_proxy_mode": mode,
        "reverts": migration.id,
    }
    return request.model_copy(update=changes)


def previous_version(journal: Journal, cni: CniType) -> Cni | None:
    """Return the CNI of this type that the cluster ran last, as far as its journal remembers."""
    known = [found.previous_cni for found in reversed(journal.migrations) if found.previous_cni.type is cni]
    return known[0] if known else None


def _mode_on_canal(journal: Journal) -> str:
    modes = [
        found.previous_proxy_mode
        for found in reversed(journal.migrations)
        if found.previous_cni.type is CniType.CANAL and found.previous_proxy_mode
    ]
    return modes[0] if modes else DEFAULT_PROXY_MODE
