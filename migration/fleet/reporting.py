"""What a roll-out tells people: its table, one line on where it is, and how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from pydantic import AwareDatetime

from migration.fleet.models import FleetOrder
from migration.fleet.moves import Statuses
from migration.fleet.states import GOOD, ClusterState, ClusterStatus
from migration.fleet.waves import FleetPlan, Member
from migration.frozen import Frozen
from migration.markdown import cell
from migration.models import Runbook
from migration.text import listing

FIRST: Final = (
    *(ClusterState.FAILED, ClusterState.RUNNING, ClusterState.WAITING, ClusterState.DECLINED, ClusterState.PENDING),
    *(ClusterState.MIGRATED, ClusterState.ALREADY, ClusterState.LEFT_OUT),
)
"""The order of the table: what somebody has to look at comes first."""
_HEAD: Final = ("State", "Cluster", "Name", "Wave", "What", "Time", "Outage", "Nodes", "Platform before", "Run")
TOLD: Final = 20
"""How many failed clusters a message names; the table has all."""
NOBODY: Final = "nothing to do, no cluster that fits the selection is where the runbook begins or in the middle of it"
Outcome = Literal["migrated", "migrated with failures", "stopped"]


class FleetReport(Frozen):
    """How a roll-out ended."""

    runbook: Runbook
    seeds: tuple[str, ...]
    outcome: Outcome
    message: str
    clusters: tuple[ClusterStatus, ...]
    started_at: AwareDatetime
    finished_at: AwareDatetime

    def count(self, state: ClusterState) -> int:
        """Return how many clusters stand like this."""
        return sum(status.state is state for status in self.clusters)


def artifact_key(order: FleetOrder, what: str = "") -> str:
    """Return the key of an artifact of this roll-out, the same for every run over the same seeds."""
    words = "-".join((*order.seeds, order.runbook)).lower()
    slug = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in words)
    return "-".join(part for part in ("fleet", what, slug[:150].strip("-")) if part)


def summary(statuses: Iterable[ClusterStatus]) -> str:
    """Return `12 migrated, 3 running, 1 failed`."""
    counted = Counter(status.state for status in statuses)
    return ", ".join(f"{counted[state]} {state}" for state in FIRST if counted[state]) or "no cluster"


def share_done(statuses: Statuses) -> float:
    """Return how much of the roll-out is over, in percent."""
    return 100.0 * sum(not status.is_open for status in statuses.values()) / max(len(statuses), 1)


def fleet_table(plan: FleetPlan, statuses: Statuses, *, doing: str, now: datetime, links: Mapping[str, str]) -> str:
    """Return the table of a fleet, for people: one line per cluster, linked to its run, and what the roll-out does."""
    members = sorted(plan.members, key=lambda member: FIRST.index(statuses[member.ref].state))
    head = ["| " + " | ".join(_HEAD) + " |", "|" + " --- |" * len(_HEAD)]
    rows = [_row(member, statuses[member.ref], plan, now, links) for member in members]
    said = f"**{cell(doing)}**\n\n{summary(statuses.values())}. Seen at {now:%Y-%m-%d %H:%M:%S} UTC."
    return "\n".join((said, "", *head, *rows))


def _row(member: Member, status: ClusterStatus, plan: FleetPlan, now: datetime, links: Mapping[str, str]) -> str:
    outage = member.look.outage_seconds
    shown = f"{outage:.1f} s" if outage is not None and status.state in GOOD else ""
    cells = (
        str(status.state),
        str(member.ref),
        member.human_readable_name,
        plan.wave_name(member),
        f"{status.what}. To do: {status.advice}" if status.advice else status.what,
        _time(status, now),
        shown,
        str(member.look.nodes or ""),
        member.platform,
    )
    link = links.get(status.run_id, "")
    # With a capital: what prints artifacts in a terminal takes [b52bfe96] for the name of a colour, and leaves it out.
    run = f"[Run {status.run_id[:8]}]({link})" if link else status.run_id[:8]
    return "| " + " | ".join((*(cell(text) for text in cells), run)) + " |"


def _time(status: ClusterStatus, now: datetime) -> str:
    if status.started_at is None:
        return ""
    seconds = ((status.ended_at or now) - status.started_at).total_seconds()
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def end_message(order: FleetOrder, plan: FleetPlan, statuses: Statuses, why_stopped: str = "") -> str:
    """Return how the roll-out ended, naming every cluster that was not migrated, why, and what to do."""
    failed = [status for status in _in_order(plan, statuses) if status.state is ClusterState.FAILED]
    declined = [status for status in _in_order(plan, statuses) if status.state is ClusterState.DECLINED]
    lines = [f"{order.runbook} of {', '.join(order.seeds)}: {summary(statuses.values()) if statuses else NOBODY}."]
    if why_stopped:
        lines.append(f"Stopped: {why_stopped}. Nothing was begun after that.")
    lines += [f"- {_named(status, plan)}: {_sentence(status)}" for status in failed[:TOLD]]
    if len(failed) > TOLD:
        lines.append(f"- and {len(failed) - TOLD} more, in the table")
    out = unforeseen(order, plan, statuses)
    lines += [f"- {_named(status, plan)}: left out, {_sentence(status)}" for status in out[:TOLD]]
    if declined:
        lines.append(f"Not approved: {listing([str(status.ref) for status in declined], count=TOLD)}.")
    if out:
        lines.append("What was left out takes part again in a new run, once its reason is gone.")
    if failed or declined:
        lines.append(
            "To resume: mend the causes, then press Retry on this run's page, or start it again with the same "
            "parameters: clusters that are finished are not touched. To go back: the flow revert-migration, for each."
        )
    return "\n".join(lines)


def unforeseen(order: FleetOrder, plan: FleetPlan, statuses: Statuses) -> Sequence[ClusterStatus]:
    """Return the clusters that were left out though somebody named them, or that had a place in a wave."""
    planned = {member.ref for member in plan.members if member.wave is not None or order.selection.names}
    return [
        status
        for status in _in_order(plan, statuses)
        if status.state is ClusterState.LEFT_OUT and status.ref in planned
    ]


def refusal(doing: str, said: str) -> str:
    """Return why a roll-out ended because a person did not agree."""
    return f"{doing}: not approved by {said}. No cluster was begun since it was asked."


def _named(status: ClusterStatus, plan: FleetPlan) -> str:
    member = next(member for member in plan.members if member.ref == status.ref)
    return f"{status.ref} (canary)" if plan.wave_name(member) == "canary" else str(status.ref)


def _sentence(status: ClusterStatus) -> str:
    return f"{status.what.rstrip('.')}." + (f" To do: {status.advice.rstrip('.')}." if status.advice else "")


def _in_order(plan: FleetPlan, statuses: Statuses) -> Sequence[ClusterStatus]:
    return [statuses[member.ref] for member in plan.members]
