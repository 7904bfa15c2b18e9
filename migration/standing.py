"""Where a cluster stands when a run has ended in an error, and the ways forward from there. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from migration.cilium import RolloutFacts
from migration.errors import LockHeld, LockLost, MigrationError, OperatorActionNeeded, Transient
from migration.facts import ClusterFacts
from migration.frozen import Frozen
from migration.journal import Migration
from migration.models import ClusterRef, CniType, Runbook

ONLY_ANOTHER_TRY: Final = (Transient, OperatorActionNeeded, LockHeld)
CORRECT: Final = "correct what it names, a parameter or the cluster, then start the flow again"


class Standing(Frozen):
    """What an operator has to know after a failure."""

    state: str
    resume: str
    revert: str
    can_revert: bool
    message: str = ""
    """All of it in one text, with what failed; empty if nothing did."""


@dataclass(frozen=True, kw_only=True)
class StandingFacts:
    """What was looked at after the failure; `cluster` is None if the seed gave no answer."""

    migration: Migration | None = None
    """None if not even the journal could be read."""
    cluster: ClusterFacts | None = None
    canal: RolloutFacts | None = None
    cilium: RolloutFacts | None = None
    on_cilium: int | None = None
    """Pods of the pod network with a CiliumEndpoint; None if they could not be counted."""
    on_pod_network: int | None = None


def standing(facts: StandingFacts, error: BaseException) -> Standing:
    """Return the state of the cluster in words, whether the run can be resumed, and whether a revert is possible."""
    obstacle = _obstacle(facts, error)
    revert = f"not now: {obstacle}" if obstacle or facts.migration is None else _how_to_revert(facts, facts.migration)
    return Standing(state=state_of(facts), resume=_resume(error), revert=revert, can_revert=not obstacle)


def failure_message(cluster: ClusterRef, step: str, error: str, found: Standing) -> str:
    """Return all that a notification needs: what failed, where the cluster stands, and the ways forward."""
    parts = (f"{cluster}: step {step!r} failed: {error}", f"State: {found.state}", f"To resume: {found.resume}")
    return ". ".join(part.rstrip(".") for part in (*parts, f"To go back: {found.revert}")) + "."


def stop_message(cluster: ClusterRef, why: str, facts: StandingFacts) -> str:
    """Return where a run was told to end, and how it is gone on with."""
    return (
        f"{cluster}: stopped at a safe point: {why}. State: {state_of(facts)}. To resume: start "
        f"{_flow_of(facts)}. To go back: {standing(facts, MigrationError(why)).revert}."
    )


def landing_message(cluster: ClusterRef, stretch: str, facts: StandingFacts, sent: str) -> str:
    """Return what becomes of a cluster whose run was cancelled in the middle of a stretch; `sent` goes on with it."""
    where = f"in the middle of the {stretch}" if stretch else "and its cluster could not be looked at"
    if not sent:
        return cut_message(cluster, stretch, facts)
    return (
        f"{cluster}: cancelled {where}. Another run brings it to the next safe point and stops there: {sent}. "
        f"State: {state_of(facts)}. To stop at once: cancel that run too. To go on after it: start {_flow_of(facts)}."
    )


def cut_message(cluster: ClusterRef, stretch: str, facts: StandingFacts) -> str:
    """Return where a cluster stands whose run was stopped at once."""
    found = standing(facts, MigrationError("cancelled"))
    return (
        f"{cluster}: stopped at once, in the middle of the {stretch or 'run'}, which is no safe point. "
        f"State: {found.state}. To resume: start {_flow_of(facts)}, and soon. "
        f"To go back: {found.revert}."
    )


def _flow_of(facts: StandingFacts) -> str:
    """Return which flow goes on."""
    if facts.migration is not None and facts.migration.reverts:
        return "the flow revert-migration, which goes on with it"
    return "the flow again with the same parameters"


def failed_before_the_start(error: MigrationError, unfinished: StandingFacts | None = None) -> Standing:
    """Return where a cluster stands whose run ended before it had a migration to go on with.

    `unfinished` is what was seen of a cluster that an earlier run has left in the middle of one.
    """
    if unfinished is not None:
        found = standing(unfinished, error)
        return found.model_copy(update={"state": f"{found.state}; an earlier run left it so, this one changed nothing"})
    return Standing(
        state="nothing was changed by this run",
        resume=_resume(error) if isinstance(error, ONLY_ANOTHER_TRY) else CORRECT,
        revert="there is nothing of this run to take back",
        can_revert=False,
    )


def after_crash(facts: StandingFacts, obstacle: str, resume: str) -> Standing:
    """Return where a cluster stands whose run ended without a word; `obstacle` is why it can't be looked at, if so."""
    found = standing(facts, MigrationError(obstacle))
    changes = {"resume": resume}
    if obstacle:
        changes["state"] = f"it could not be looked at: {obstacle}"
    elif facts.migration is None:
        changes["revert"] = "there is nothing to take back: the run had begun no migration"
    return found.model_copy(update=changes)


def state_of(facts: StandingFacts) -> str:
    """Return where the cluster stands, in words."""
    cluster = facts.cluster
    if cluster is None:
        return "it could not be looked at: its seed or its API server gave no answer"
    parts = [
        f"the Cluster's spec says {cluster.network}",
        _serving("Canal", facts.canal),
        _serving("Cilium", facts.cilium),
    ]
    if facts.on_cilium is not None and facts.on_pod_network is not None:
        parts.append(f"{facts.on_cilium} of {facts.on_pod_network} pods have their network from Cilium")
    return "; ".join(parts) + f"; {_effect(facts)}"


def _serving(name: str, agents: RolloutFacts | None) -> str:
    return f"{name} is not there" if agents is None else f"{name} serves {agents.ready} of {agents.desired} nodes"


def _effect(facts: StandingFacts) -> str:
    """Return what that means for workloads: pods of the two CNIs don't reach each other (docs/platform.md 5.3)."""
    on_cilium, all_pods = facts.on_cilium, facts.on_pod_network
    if on_cilium is None or all_pods is None:
        return "how many pods are on which CNI is not known"
    carriers = (("Canal", all_pods - on_cilium, facts.canal), ("Cilium", on_cilium, facts.cilium))
    gone = [name for name, carried, agents in carriers if carried and agents is None]
    if gone:
        return f"{gone[0]}, which gave those pods their network, is gone: new pods may not start until the run goes on"
    if 0 < on_cilium < all_pods:
        return "pods on Canal and pods on Cilium can't reach each other: go on, or go back, soon"
    return "all pods are on one CNI, and it is there"


def _resume(error: BaseException) -> str:
    if isinstance(error, LockLost):
        return (
            "leave it to the run that holds the cluster's lock, if there is one (Lease kube-system/cni-migration); "
            "else start the flow again with the same parameters: it goes on where it was"
        )
    how = "start the flow again with the same parameters: it goes on where it was"
    if isinstance(error, OperatorActionNeeded):
        return f"do first what the error says, then {how}"
    if isinstance(error, Transient):
        return f"{how}, as soon as the API server answers again"
    if not isinstance(error, MigrationError):
        return f"{how}; if it fails in the same way, this is a fault of the project"
    return f"mend the cause, then {how}"


def _obstacle(facts: StandingFacts, error: BaseException) -> str:
    cluster = facts.cluster
    obstacles = (
        (isinstance(error, LockLost | LockHeld), "another run works on this cluster"),
        (cluster is None, "the cluster can't be reached"),
        (cluster is not None and cluster.deleting, "the cluster is being deleted"),
        (cluster is not None and cluster.paused, "the cluster is paused, so KKP would change nothing"),
        (facts.migration is None, "the journal can't be read"),
        (facts.migration is not None and facts.migration.reverts, "this run takes a migration back already: resume it"),
    )
    return next((reason for holds, reason in obstacles if holds), "")


def _how_to_revert(facts: StandingFacts, migration: Migration) -> str:
    cluster = facts.cluster
    if cluster is not None and cluster.network == migration.previous:
        return "possible, and cheap: the Cluster's spec is as before. Run the flow revert-migration"
    cost = "pods restart once more"
    if migration.kind is Runbook.CHANGE_PROXY_MODE:
        cost = "kube-proxy and Cilium's agents restart once more"
    elif migration.previous_cni.type is CniType.CANAL:
        cost = "pods that are on Cilium restart once more, and nodes have to be replaced"
    return f"possible: run the flow revert-migration, which brings {migration.previous} back ({cost})"
