"""Where a migration leads: the CNI and kube-proxy mode that the cluster shall have at its end."""

from __future__ import annotations

from migration.errors import InvalidRequest
from migration.facts import ClusterFacts
from migration.journal import Journal, Migration
from migration.models import CniType, MigrationRequest, Network, ProxyMode, Runbook

DEFAULT_PROXY_MODE = ProxyMode.IPTABLES
"""For a cluster that leaves ebpf and whose journal doesn't know what it had before: every node and CNI can do it."""
MODE_ALREADY_SET = "mode-already-set"
"""The finding by whose code an operator asks for the rest of a change that KKP was told by other means."""
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


def way_on(unfinished: Migration) -> str:
    """Return how an unfinished migration comes to its end."""
    if unfinished.reverts:
        return f"it takes migration {unfinished.reverts} back. Start the flow revert-migration, which goes on with it"
    return "finish it first, with the same parameters, or take it back with the flow revert-migration"


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
    own = _own_that_is_over(request, journal)
    if own is not None:
        how = f"was taken back by {own.reverted_by}" if own.reverted_by else "was finished"
        return f"migration {own.id}, which this run worked on, {how} meanwhile: start a new run to migrate again"
    if request.is_errand and journal.open_migration() is None:
        return f"no migration of {cluster.name} is under way any more, so there is no safe point to go to"
    has_mode = request.desired_proxy_mode == cluster.proxy_mode and MODE_ALREADY_SET not in request.accept
    if request.runbook is Runbook.CHANGE_PROXY_MODE and has_mode and journal.open_migration() is None:
        return (
            f"{cluster.name} has kube-proxy mode {cluster.proxy_mode}: nothing to do. To have its nodes replaced all "
            f"the same, accept {MODE_ALREADY_SET}"
        )
    return None


def _own_that_is_over(request: MigrationRequest, journal: Journal) -> Migration | None:
    """Return the migration that this very run worked on before it waited, if that was closed since by others."""
    if journal.open_migration() is not None:
        return None
    own = [found for found in journal.migrations if request.run_id in found.runs and not found.reverts]
    if not own or request.reverts:
        return None
    taken_back_by = journal.find(own[-1].reverted_by)
    # A run that took itself back may be tried again.
    return None if taken_back_by is not None and request.run_id in taken_back_by.runs else own[-1]


def migration_to_take_back(journal: Journal, cluster: ClusterFacts) -> Migration:
    """Return the unfinished migration, or else the one that was finished last; of a revert, the one that it takes back.

    Raises InvalidRequest if there is none, or if the cluster was changed since: a revert must not undo what it doesn't
    know.
    """
    unfinished, last = journal.open_migration(), journal.last_finished()
    newest = unfinished or last
    found = journal.find(newest.reverts) if newest is not None and newest.reverts else newest
    if newest is None or found is None:
        raise InvalidRequest(
            f"the journal of {cluster.name} has no migration that could be taken back: run the flow for the way that "
            "you want to go, canal-to-cilium, cilium-to-canal or change-proxy-mode"
        )
    known = (newest.desired,) if newest.reverts else (newest.desired, newest.previous)
    if unfinished is None and cluster.network not in known:
        raise InvalidRequest(
            f"{cluster.name} was changed to {cluster.network} since migration {newest.id} had left it on "
            f"{newest.desired}: a revert would undo that as well. Run the flow for the way that you want to go"
        )
    return found


def reverting_request(request: MigrationRequest, migration: Migration) -> MigrationRequest:
    """Return the request that takes a migration back: the opposite runbook to what the cluster had before."""
    if migration.previous_proxy_mode not in ("", *ProxyMode):
        raise InvalidRequest(
            f"migration {migration.id} is said to have set out from kube-proxy mode {migration.previous_proxy_mode!r}, "
            "which is none: its journal was edited. Correct it there"
        )
    mode = ProxyMode(migration.previous_proxy_mode) if migration.previous_proxy_mode else None
    changes = {
        "runbook": OPPOSITE[migration.kind],
        "desired_cni": None if migration.kind is Runbook.CHANGE_PROXY_MODE else migration.previous_cni,
        "desired_proxy_mode": mode,
        "reverts": migration.id,
        # What was asked for the other CNI is no wish for this one.
        "remove_crds": False,
        "manifest": "",
    }
    return request.model_copy(update=changes)


def _mode_on_canal(journal: Journal) -> str:
    modes = [
        found.previous_proxy_mode
        for found in reversed(journal.migrations)
        if found.previous_cni.type is CniType.CANAL and found.previous_proxy_mode
    ]
    return modes[0] if modes else DEFAULT_PROXY_MODE
