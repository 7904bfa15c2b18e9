"""Deployed runs, brought into any state through the API as their workers would: causes of notifications."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from prefect.client.schemas.objects import State, StateDetails, StateType
from prefect.states import Pending

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

SEED = "lab"


@dataclass(frozen=True)
class DeployedRuns:
    """Makes runs of flows of any name, which never run."""

    client: PrefectClient

    async def start(
        self,
        cluster: str,
        *,
        flow: str = "canal-to-cilium",
        tags: tuple[str, ...] = (),
        state: State[Any] | None = None,
    ) -> FlowRun:
        """Return a run of a deployment of this flow; without a state, one that its worker has taken up."""
        flow_id = await self.client.create_flow_from_name(flow)
        name = "-".join(("by-hand", *tags))
        deployment = await self.client.create_deployment(flow_id, name, tags=list(tags), enforce_parameter_schema=False)
        parameters = {"seed": SEED, "cluster": cluster}
        return await self.client.create_flow_run_from_deployment(
            deployment, parameters=parameters, name=f"{flow} {SEED}/{cluster}", state=state or Pending()
        )

    async def start_alone(self, cluster: str, *, flow: str = "canal-to-cilium") -> FlowRun:
        """Return a run that has no deployment."""
        flow_id = await self.client.create_flow_from_name(flow)
        parameters = {"seed": SEED, "cluster": cluster}
        response = await self.client.request(
            "POST", "/flow_runs/", json={"flow_id": str(flow_id), "name": f"{flow} {cluster}", "parameters": parameters}
        )
        return await self.client.read_flow_run(response.json()["id"])

    async def reach(
        self, run: FlowRun, name: str, *, of: StateType, message: str | None = None, details: StateDetails | None = None
    ) -> datetime:
        """Leave the run in this state; returns when that was."""
        state = State[Any](type=of, name=name, message=message, state_details=details or StateDetails())
        await self.client.set_flow_run_state(run.id, state, force=True)
        return datetime.now(UTC)

    async def state_of(self, run: FlowRun) -> str:
        """Return the name of the run's state."""
        found = await self.client.read_flow_run(run.id)
        return str(found.state.name if found.state else None)

    async def beat(self, run: FlowRun, *, flow: str = "canal-to-cilium") -> datetime:
        """Give a sign of life as `BaseFlowRunEngine._emit_flow_run_heartbeat` of Prefect 3.8.8 does."""
        now = datetime.now(UTC)
        related = [
            {"id": f"prefect.flow.{run.flow_id}", "role": "flow", "name": flow},
            {"id": f"prefect.deployment.{run.deployment_id}", "role": "deployment"},
        ]
        event = {
            "id": str(uuid4()),
            "occurred": now.isoformat(),
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name},
            "related": [{f"prefect.resource.{label}": value for label, value in each.items()} for each in related],
            "payload": {},
        }
        await self.client.request("POST", "/events", json=[event])
        return now
