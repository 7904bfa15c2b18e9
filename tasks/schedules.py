"""The schedules of the deployment that a run belongs to, as the Prefect server has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from migration.models import MigrationRequest
from migration.schedules import Schedule, read_schedule
from migration.windows import Maintenance


async def with_schedules(request: MigrationRequest) -> MigrationRequest:
    """Return the request with the active schedules that start runs like it; unchanged without a deployment."""
    deployment_id = runtime.deployment.id
    if deployment_id is None:
        return request
    async with get_client() as client:
        try:
            deployment = await client.read_deployment(UUID(str(deployment_id)))
        except ObjectNotFound:  # deleted since the run was made
            return request
    found = schedules_like(request, deployment.schedules, deployment.parameters)
    return request.model_copy(update={"schedules": found})


def schedules_like(
    request: MigrationRequest, schedules: Iterable[DeploymentSchedule], parameters: Mapping[str, Any]
) -> tuple[Schedule, ...]:
    """Return the active schedules whose runs are for the request's cluster and have its windows."""
    return tuple(
        read_schedule(each.schedule.model_dump(mode="json"), each.slug or "")
        for each in schedules
        if each.active and _is_like(request, {**parameters, **each.parameters})
    )


def _is_like(request: MigrationRequest, parameters: Mapping[str, Any]) -> bool:
    same_cluster = (
        parameters.get("seed", request.cluster.seed) == request.cluster.seed
        and parameters.get("cluster", request.cluster.name) == request.cluster.name
    )
    try:
        maintenance = Maintenance.model_validate(parameters.get("maintenance") or {})
    except ValidationError:  # such a run never begins
        return False
    return same_cluster and maintenance == request.maintenance and not parameters.get("ignore_window")
