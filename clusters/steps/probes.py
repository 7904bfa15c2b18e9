"""One round of probes: pods of our own that try the network, in a namespace of their own that goes with them.

A round can end at any moment: what it leaves is removed by the next. Refuses to touch a namespace that isn't ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from clusters.journal import LABELS
from clusters.kinds import NAMESPACES
from clusters.seed import OpenedCluster
from clusters.steps.probe_pods import PROBES_NAMESPACE
from clusters.steps.probe_round import try_out
from clusters.steps.survey import list_nodes
from clusters.watching import Live, watching
from migration.errors import MigrationError, OperatorActionNeeded, Transient
from migration.models import ProbeOptions
from migration.probes import ProbeResult, plan_round

CLEAR_SECONDS: Final = 60.0
ROUND_TRIES: Final = 2


@dataclass(frozen=True)
class ProbeRound:
    """What a round has shown, or why there was none."""

    results: tuple[ProbeResult, ...] = ()
    left_out: tuple[str, ...] = ()
    """Nodes beyond those that were probed."""
    problem: str = ""
    leftovers: str = ""
    """Why something of the round may still be there."""


async def run_probes(opened: OpenedCluster, migration_id: str, options: ProbeOptions) -> ProbeRound:
    """Return what the network lets pods do now, or why nobody can say; nothing of the round is left."""
    nodes = [node.name for node in await list_nodes(opened.api) if node.ready and not (node.cordoned or node.deleting)]
    plan = plan_round(nodes, egress=options.egress)
    if not plan.probes:
        return ProbeRound(problem="no node takes pods")
    opened.tell(f"probing the network: {len(plan.servers)} pods that answer, {len(plan.probes)} that ask")
    results: tuple[ProbeResult, ...] = ()
    problem = leftovers = ""
    for attempt in range(ROUND_TRIES):
        try:
            await clear_probes(opened)
        except MigrationError as error:
            return ProbeRound((), plan.left_out, str(error))
        try:
            results, problem = await try_out(opened.api, migration_id, options, plan), ""
        except MigrationError as error:
            problem = str(error)
            if isinstance(error, Transient) and attempt < ROUND_TRIES - 1:
                continue
        finally:
            leftovers = await clear_probes_quietly(opened)
        break
    return ProbeRound(results, plan.left_out, problem, leftovers)


async def clear_probes(opened: OpenedCluster) -> None:
    """Leave nothing of any round of probes. Raises OperatorActionNeeded if somebody else's namespace has our name."""
    found = await opened.api.find(NAMESPACES, PROBES_NAMESPACE)
    if found is None:
        return
    metadata = found["metadata"]
    if not LABELS.items() <= (metadata.get("labels") or {}).items():
        raise OperatorActionNeeded(
            f"namespace {PROBES_NAMESPACE} was not made by this project (it lacks the label "
            f"{next(iter(LABELS))}): probes would run in it. Remove it, or start again without probes"
        )
    if "deletionTimestamp" not in metadata:
        await opened.api.delete(NAMESPACES, PROBES_NAMESPACE, uid=metadata["uid"])
    namespaces: Live[str] = Live(
        opened.api, NAMESPACES, lambda item: item["metadata"]["uid"], fields=f"metadata.name={PROBES_NAMESPACE}"
    )

    def ending() -> str | None:
        return f"namespace {PROBES_NAMESPACE} to go" if metadata["uid"] in namespaces.values() else None

    async with watching(namespaces) as view:
        await view.until(
            ending,
            what=f"namespace {PROBES_NAMESPACE} to go",
            deadline=timedelta(seconds=CLEAR_SECONDS),
            tell=lambda _: None,
            advice="Its conditions tell what keeps it, often an APIService that is not available.",
        )


async def clear_probes_quietly(opened: OpenedCluster) -> str:
    """Leave nothing of any round of probes if that is possible; returns why it is not."""
    try:
        await clear_probes(opened)
    except MigrationError as error:
        opened.tell(f"probes could not be removed: {error}")
        return str(error)
    return ""
