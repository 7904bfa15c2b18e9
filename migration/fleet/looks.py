"""What was seen of a cluster when a roll-out looked at it, and whether it therefore has to be migrated."""

from __future__ import annotations

from enum import StrEnum

from migration.facts import ClusterFacts
from migration.fleet.models import FleetOrder
from migration.fleet.requests import request_for
from migration.frozen import Frozen
from migration.journal import Journal, Migration
from migration.models import ClusterRef, CniType, MigrationRequest, Network, Runbook
from migration.safe_points import is_disruptive
from migration.targets import desired_network, is_done, is_same_migration
from migration.targets import why_nothing_to_do as why_done

PAUSED = "cluster-paused"
"""The readiness finding that says the same."""


class Need(StrEnum):
    """Whether a cluster has to be migrated."""

    MIGRATION = "to be migrated"
    COMPLETION = "in the middle of this migration"
    NONE = "on its target already"
    LEFT_OUT = "left out"
    UNKNOWN = "can't be looked at"


class Look(Frozen):
    """What was seen of a cluster. Without an answer, all but `need` and `reason` say nothing."""

    need: Need
    reason: str = ""
    """Why it needs no migration, is left out, or can't be looked at."""
    nodes: int = 0
    policies: tuple[str, ...] = ()
    """The kinds of policies in use: kubernetes, calico, cilium, admin."""
    previous_cni_version: str = ""
    """Of the open migration."""
    outage_seconds: float | None = None
    """Of the last migration; None if there was none."""


def judged(
    order: FleetOrder, cluster: ClusterFacts, journal: Journal, *, nodes: int = 0, policies: tuple[str, ...] = ()
) -> Look:
    """Return whether a cluster that was seen like this has to be migrated."""
    need, reason = _need(order, cluster, journal)
    unfinished, last = journal.open_migration(), journal.last_finished()
    return Look(
        need=need,
        reason=reason,
        nodes=nodes,
        policies=policies,
        previous_cni_version=unfinished.previous_cni.version if unfinished else "",
        outage_seconds=round(sum(step.outage_seconds for step in last.steps), 2) if last and not unfinished else None,
    )


def unseen(reason: str) -> Look:
    """Return the look at a cluster that gave no answer."""
    return Look(need=Need.UNKNOWN, reason=reason)


def _need(order: FleetOrder, cluster: ClusterFacts, journal: Journal) -> tuple[Need, str]:
    request = request_for(order, ClusterRef(seed=order.seeds[0], name=cluster.name))
    if cluster.deleting:
        return Need.LEFT_OUT, "it is being deleted"
    unfinished = journal.open_migration()
    if unfinished is not None:
        return _of_open(unfinished, ours=is_same_migration(request, unfinished))
    if is_done(request, cluster, journal) is not None:
        return Need.NONE, str(why_done(request, cluster, journal))
    if (taken_back := _taken_back(order, cluster, journal, request)) is not None:
        told = f"migration {taken_back.id} was taken back by a run of its own"
        return Need.LEFT_OUT, f"{told}: put the cluster into selection.names to migrate it again"
    if cluster.paused and PAUSED not in order.migration.accept:
        return Need.LEFT_OUT, f"it is paused, so KKP would change nothing: resume it, or accept {PAUSED}"
    return _of_network(order, cluster, desired_network(request, cluster, journal))


def _taken_back(
    order: FleetOrder, cluster: ClusterFacts, journal: Journal, request: MigrationRequest
) -> Migration | None:
    """Return the migration of this kind that somebody took back, as the last thing that was done to the cluster.

    A run that took itself back after a failure was no decision against the migration.
    """
    last = journal.last_finished()
    undone = journal.find(last.reverts) if last is not None and last.reverts else None
    if last is None or undone is None or not is_same_migration(request, undone):
        return None
    is_named = any(name.rpartition("/")[2] == cluster.name for name in order.selection.names)
    by_itself = bool(set(last.runs) & set(undone.runs))
    return None if is_named or by_itself else undone


def _of_open(unfinished: Migration, *, ours: bool) -> tuple[Need, str]:
    if ours and is_disruptive(unfinished):
        return Need.COMPLETION, f"migration {unfinished.id} is unfinished"
    if ours:
        return Need.MIGRATION, ""
    told = f"another migration is open: {unfinished.id}, {unfinished.kind} to {unfinished.target}"
    return Need.LEFT_OUT, f"{told}. Finish it with its own flow, or take it back with revert-migration"


def _of_network(order: FleetOrder, cluster: ClusterFacts, desired: Network) -> tuple[Need, str]:
    if order.runbook is Runbook.CHANGE_PROXY_MODE:
        if cluster.cni.type is CniType.NONE:
            return Need.LEFT_OUT, "it has no CNI that this project knows"
        done = cluster.network == desired
        return (Need.NONE, f"it has kube-proxy mode {cluster.proxy_mode}") if done else (Need.MIGRATION, "")
    if cluster.cni.type is order.start:
        return Need.MIGRATION, ""
    if cluster.network == desired:
        return Need.NONE, f"it runs {cluster.network}, though not by a migration that its journal knows"
    return Need.LEFT_OUT, f"it runs {cluster.network}, and {order.runbook} sets out from {order.start}"
