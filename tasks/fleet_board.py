"""The table of a roll-out and its progress, as artifacts that are kept current. What isn't published fails nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    ArtifactFilterType,
)
from prefect.client.schemas.sorting import ArtifactSort
from prefect.logging import get_run_logger
from prefect.utilities.urls import url_for

from clusters.watching import Tell
from migration.fleet.models import FleetOrder
from migration.fleet.moves import Statuses
from migration.fleet.reporting import artifact_key, fleet_table, share_done, summary
from migration.fleet.waves import FleetPlan
from tasks import clock

AT_LEAST_EVERY: Final = timedelta(minutes=1)
STOOD: Final = "As it stood then:\n\n"


@dataclass
class Board:
    """Two artifacts of a roll-out's run: made when first shown, and changed in place from then on by whoever has it."""

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
            if known is None:
                known = await self._made_before(client, what)
            if known is not None:
                # Not by `update_artifact`: that emits an event with all of the table in it, each time (3.8.8).
                changed = ArtifactUpdate(data=data, description=described).model_dump(mode="json", exclude_unset=True)
                try:
                    await client.request("PATCH", "/artifacts/{id}", path_params={"id": known}, json=changed)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != httpx.codes.NOT_FOUND:
                        raise  # else somebody has deleted it
                else:
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

    async def _made_before(self, client: PrefectClient, what: str) -> UUID | None:
        """Return the artifact that a former process of this run has made, if nobody has deleted it."""
        wanted = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(self.order.run_id)]),
            key=ArtifactFilterKey(any_=[artifact_key(self.order, what)]),
        )
        found = await client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
        return found[0].id if found else None


async def show_cancelled(fleet_run_id: str, message: str, runs: Mapping[str, str], tell: Tell) -> None:
    """Leave the table of a roll-out saying that it was cancelled, above how it stood then.

    `runs` maps the id of each run that is being cancelled to its cluster. Works outside of a run, as in its hook.
    """
    links = [f"- {cluster}: {_link(one)}" for one, cluster in sorted(runs.items(), key=lambda found: found[1])]
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(fleet_run_id)]), type=ArtifactFilterType(any_=["markdown"])
    )
    try:
        async with get_client() as client:
            for found in await client.read_artifacts(artifact_filter=wanted):
                before = str(found.data).partition(STOOD)[2] or str(found.data)
                text = "\n\n".join(
                    part for part in ("**Cancelled**", message, "\n".join(links), STOOD + before) if part
                )
                changed = ArtifactUpdate(data=text, description="cancelled")
                body = changed.model_dump(mode="json", exclude_unset=True)
                await client.request("PATCH", "/artifacts/{id}", path_params={"id": found.id}, json=body)
    except httpx.HTTPError as error:
        tell(f"the fleet's table could not be brought up to date: {error}")


def _link(run_id: str) -> str:
    url = url_for("flow-run", obj_id=run_id)
    return f"[Run {run_id[:8]}]({url})" if url else run_id


def run_links(statuses: Statuses) -> Mapping[str, str]:
    """Return the pages of the clusters' runs in the UI, by their ids."""
    ids = {status.run_id for status in statuses.values() if status.run_id}
    return {one: link for one in ids if (link := url_for("flow-run", obj_id=one))}
