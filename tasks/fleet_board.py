"""The table of a roll-out and its progress, as artifacts that are kept current. What isn't published fails nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.logging import get_run_logger
from prefect.utilities.urls import url_for

from migration.fleet.models import FleetOrder
from migration.fleet.moves import Statuses
from migration.fleet.reporting import artifact_key, fleet_table, share_done, summary
from migration.fleet.waves import FleetPlan
from tasks import clock

AT_LEAST_EVERY: Final = timedelta(minutes=1)


@dataclass
class Board:
    """Two artifacts of a roll-out's run: made when first shown in a process, and changed in place from then on."""

    order: FleetOrder
    table: UUID | None = None
    progress: UUID | None = None
    shown: object = None
    shown_at: datetime | None = None

    async def show(self, plan: FleetPlan, statuses: Statuses, doing: str, *, force: bool = False) -> None:
        """Leave the artifacts as the clusters stand, if a row or what is done has changed, or a minute has passed."""
        now = clock.now()
        content = (doing, tuple(statuses.values()))
        is_fresh = self.shown_at is not None and now - self.shown_at < AT_LEAST_EVERY
        if not force and content == self.shown and is_fresh:
            return
        text = fleet_table(plan, statuses, doing=doing, now=now, links=run_links(statuses))
        described = f"{self.order.runbook}: {summary(statuses.values())}"
        try:
            self.table = await self._put(self.table, "", "markdown", text, described)
            self.progress = await self._put(self.progress, "progress", "progress", share_done(statuses), described)
        except httpx.HTTPError as error:
            get_run_logger().warning("the fleet's table could not be published, it is tried again: %s", error)
            return
        self.shown, self.shown_at = content, now

    async def _put(self, known: UUID | None, what: str, kind: str, data: Any, described: str) -> UUID:
        async with get_client() as client:
            if known is not None:
                # Not by `update_artifact`: that emits an event with all of the table in it, each time (3.8.8).
                changed = ArtifactUpdate(data=data, description=described).model_dump(mode="json", exclude_unset=True)
                await client.request("PATCH", "/artifacts/{id}", path_params={"id": known}, json=changed)
                return known
            made = await client.create_artifact(
                ArtifactCreate(
                    key=artifact_key(self.order, what),
                    type=kind,
                    data=data,
                    description=described,
                    flow_run_id=UUID(self.order.run_id),
                )
            )
        return made.id


def run_links(statuses: Statuses) -> Mapping[str, str]:
    """Return the pages of the clusters' runs in the UI, by their ids."""
    ids = {status.run_id for status in statuses.values() if status.run_id}
    return {one: link for one in ids if (link := url_for("flow-run", obj_id=one))}
