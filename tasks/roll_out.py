"""A roll-out while it is under way: what there is to be known of its clusters, read anew again and again, and its acts.

Nothing is kept in here alone that matters: what comes after a crash reads the same from Prefect and from the clusters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from prefect.logging import get_run_logger

from clusters.fleet import look_at
from migration.fleet.looks import Look, Need
from migration.fleet.models import FleetApproval, FleetOrder
from migration.fleet.moves import Move, Rules, Statuses, next_move
from migration.fleet.runs import NOT_APPROVED, ClusterRun, Round, round_of
from migration.fleet.states import ClusterState, ClusterStatus, Silence, Silences, status_of, without_an_answer
from migration.fleet.waves import FleetPlan
from migration.models import ClusterRef
from tasks import clock
from tasks.fleet_board import Board
from tasks.fleet_memory import keep_instead, recalled
from tasks.fleet_run_changes import adopt, count_as_own, hold_back, start
from tasks.fleet_runs import all_runs, is_cancelled_roll_out, others_under_way, read_states, runs_under_way

ALL_EVERY: Final = timedelta(minutes=1)
"""How often all runs are asked for, and not only those under way: somebody may have retried one that had failed."""
SILENCES: Final = "fleet-silences"
"""The key under which is kept which clusters give no answer."""
BLIND_LOOKS_EVERY: Final = timedelta(seconds=20)
ELSEWHERE: Final = (Need.MIGRATION, Need.COMPLETION, Need.LEFT_OUT)
"""What is seen of a cluster that is not on the target."""


@dataclass
class RollOut:
    """A roll-out of which this process takes care now."""

    order: FleetOrder
    plan: FleetPlan
    round: Round
    board: Board
    looks: dict[ClusterRef, Look]
    runs: dict[str, ClusterRun] = field(default_factory=dict)
    blind_since: dict[ClusterRef, datetime] = field(default_factory=dict)
    """The clusters whose turn it is and that can't be looked at."""
    confirmed: set[ClusterRef] = field(default_factory=set)
    """The clusters that were looked at since their run ended well."""
    orphans: set[str] = field(default_factory=set)
    """The runs that ended because somebody cancelled the other roll-out that had started them."""
    disrupted: set[ClusterRef] = field(default_factory=set)
    """The clusters whose runs wait in the middle of a migration: they are waited for, also if the roll-out stops."""
    canaries_are_approved: bool = False
    _read_at: datetime | None = None
    _blind_looked_at: datetime | None = None
    kept_silences: dict[ClusterRef, datetime] = field(default_factory=dict)
    _told: dict[ClusterRef, ClusterStatus] = field(default_factory=dict)

    @property
    def has_begun(self) -> bool:
        """Whether it was a cluster's turn: a run was started or adopted, or the cluster gave no answer."""
        return bool(self.runs or self.blind_since)

    def statuses(self) -> Statuses:
        """Return how each cluster stands."""
        now = clock.now()
        by_cluster: dict[ClusterRef, list[ClusterRun]] = {}
        for run in self.runs.values():
            by_cluster.setdefault(run.cluster, []).append(run)
        return {ref: self._status(ref, by_cluster.get(ref, ()), now) for ref in self.looks}

    def move(self) -> Move:
        """Return what is to be done next."""
        asks = self.order.approval is FleetApproval.AFTER_CANARIES and not self.canaries_are_approved
        rules = Rules.of(self.order, asks_after_canaries=asks)
        return next_move(self.plan, self.statuses(), rules, clock.now())

    async def refresh(self) -> None:
        """Have what is known be as it is now."""
        now = clock.now()
        if self._read_at is None or now - self._read_at >= ALL_EVERY:
            self.runs = {run.id: run for run in await all_runs(self.order.run_id)}
            self._read_at = now
        else:
            seen = [run.id for run in self.runs.values() if not run.is_over(now)]
            self.runs |= {run.id: run for run in await runs_under_way(self.order.run_id, seen)}
        await self._confirm()
        await self._look_for_the_blind(now)

    async def show(self, doing: str, *, force: bool = False) -> None:
        """Leave the table as the clusters stand, and the log with what has changed."""
        statuses = self.statuses()
        for ref, status in statuses.items():
            if self._told and _essence(status) != _essence(self._told.get(ref)):
                get_run_logger().info("%s: %s%s", ref, status.state, f": {status.what}" if status.what else "")
        self._told = dict(statuses)
        await self.board.show(self.plan.with_looks(self.looks), statuses, doing, force=force)

    async def begin(self, refs: Sequence[ClusterRef]) -> None:
        """Leave a run under way for each of these clusters that needs one: its own, or one that somebody else started.

        Each is looked at first. What is on its target by now, or can't be looked at, is not started.
        """
        found = await look_at(self.order, refs, get_run_logger().debug)
        for ref, look in found.items():
            self._see(ref, look)
            if look.need is Need.UNKNOWN:
                self.blind_since.setdefault(ref, clock.now())
        await self._keep_silences()
        needy = [ref for ref, look in found.items() if look.need in (Need.MIGRATION, Need.COMPLETION)]
        if not needy:
            return
        others = await others_under_way(self.order)
        for ref in needy:
            other = others.get(ref)
            run = await (adopt(self.order, other) if other else start(self.order, ref, self.round.number))
            get_run_logger().info("%s: %s run %s", ref, "waits for somebody else's" if other else "started", run.name)
            self.runs[run.id] = run

    async def hold_back(self, refs: Sequence[ClusterRef], why: str) -> bool:
        """Leave the runs of those among these clusters cancelled in which nothing was disrupted yet; tells if any was.

        What can't be looked at is looked at the next time: nothing is cancelled on suspicion.
        """
        idle = [ref for ref in refs if ref not in self.disrupted]
        found = await look_at(self.order, idle, get_run_logger().debug)
        held = {ref for ref, look in found.items() if look.need is Need.MIGRATION}
        self.disrupted |= {ref for ref, look in found.items() if look.need not in (Need.MIGRATION, Need.UNKNOWN)}
        for run in [run for run in self.runs.values() if run.cluster in held and run.has_not_begun]:
            self._see(run.cluster, found[run.cluster])
            get_run_logger().info("%s: held back, %s has disrupted nothing yet", run.cluster, run.name)
            await hold_back(self.order, run, why)
        return bool(held)

    async def look_again(self) -> None:
        """Have all clusters of the waves be looked at that no run is under way for: it may be days since they were."""
        busy = {run.cluster for run in self.runs.values() if not run.is_over(clock.now())}
        idle = [ref for wave in self.plan.waves for ref in wave if ref not in busy | self.confirmed]
        for ref, look in (await look_at(self.order, idle, get_run_logger().debug)).items():
            self._see(ref, look)

    def _status(self, ref: ClusterRef, runs: Iterable[ClusterRun], now: datetime) -> ClusterStatus:
        look = self.looks[ref]
        telling = [run for run in runs if not self._has_missed(run, look)]
        status = status_of(ref, telling, look, of=self.round, now=now)
        if status.state is ClusterState.PENDING and ref in self.blind_since:
            return without_an_answer(ref, look, self.blind_since[ref], now)
        return status

    def _has_missed(self, run: ClusterRun, look: Look) -> bool:
        """Tell whether somebody else's run is over and the cluster is not on the target, though nobody decided so.

        Whoever cancels or declines a run decides about its cluster; whoever cancels another roll-out does not.
        """
        led_elsewhere = run.state_type == "COMPLETED" and not run.is_errand
        ended = not run.is_own and (led_elsewhere or run.id in self.orphans)
        return ended and run.cluster in self.confirmed and look.need in ELSEWHERE

    async def _confirm(self) -> None:
        await self._find_orphans()
        over = {run.cluster for run in self.runs.values() if run.state_type == "COMPLETED" or run.id in self.orphans}
        fresh = sorted(over - self.confirmed, key=str)
        for ref, look in (await look_at(self.order, fresh, get_run_logger().debug)).items():
            if look.need is not Need.UNKNOWN:
                self._see(ref, look)
            if look.need is Need.NONE:
                await self._count_adopted(ref)
            self.confirmed.add(ref)

    async def _find_orphans(self) -> None:
        ended = [run for run in self.runs.values() if run.roll_out and not run.is_own and run.id not in self.orphans]
        for run in ended:
            is_over = run.state_type == "CANCELLED" or (run.state_type == "COMPLETED" and run.is_errand)
            if is_over and run.state_name != NOT_APPROVED and await is_cancelled_roll_out(run.roll_out):
                self.orphans.add(run.id)

    async def _count_adopted(self, ref: ClusterRef) -> None:
        for run in list(self.runs.values()):
            if run.cluster == ref and run.state_type == "COMPLETED" and not run.is_own:
                self.runs[run.id] = await count_as_own(self.order, run)

    async def _look_for_the_blind(self, now: datetime) -> None:
        """Look again for clusters that gave no answer; one that does is begun anew."""
        is_early = self._blind_looked_at is not None and now - self._blind_looked_at < BLIND_LOOKS_EVERY
        if not self.blind_since or is_early:
            return
        self._blind_looked_at = now
        for ref, look in (await look_at(self.order, sorted(self.blind_since, key=str), get_run_logger().debug)).items():
            self._see(ref, look)
            if look.need is not Need.UNKNOWN:
                get_run_logger().info(
                    "%s: answers again, and is %s%s", ref, look.need, f": {look.reason}" if look.reason else ""
                )
                del self.blind_since[ref]
        await self._keep_silences()

    async def _keep_silences(self) -> None:
        """Have whoever takes this run up know since when a cluster gives no answer: no run of its tells that."""
        if self.blind_since == self.kept_silences:
            return
        silences = tuple(Silence(ref=ref, since=since) for ref, since in self.blind_since.items())
        text = Silences(round=self.round.number, clusters=silences).model_dump_json()
        await keep_instead(self.order.run_id, SILENCES, text)
        self.kept_silences = dict(self.blind_since)

    def _see(self, ref: ClusterRef, look: Look) -> None:
        before = self.looks[ref]
        sizes = {"nodes": look.nodes or before.nodes, "policies": look.policies or before.policies}
        self.looks[ref] = look.model_copy(update=sizes)


async def open_roll_out(order: FleetOrder, plan: FleetPlan) -> RollOut:
    """Return a roll-out with everything read that there is of it."""
    found = RollOut(
        order=order,
        plan=plan,
        round=round_of(await read_states(order.run_id)),
        board=Board(order),
        looks={member.ref: member.look for member in plan.members},
    )
    text = await recalled(order.run_id, SILENCES)
    if text:
        found.blind_since = Silences.model_validate_json(text).of(found.round.number)
        found.kept_silences = dict(found.blind_since)
    await found.refresh()
    if found.has_begun:
        await found.look_again()
        get_run_logger().info("goes on with %d runs of its clusters, round %d", len(found.runs), found.round.number)
    return found


async def nap(seconds: float) -> None:
    """Return after a while, when it is worth looking again."""
    await asyncio.sleep(max(seconds, 0.0))


def _essence(status: ClusterStatus | None) -> tuple[object, ...]:
    return () if status is None else (status.state, status.what, status.run_id)
