"""What a roll-out does to the runs of its clusters: starts them, adopts, holds back, and cancels them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments.flow_runs import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling

from clusters.watching import Tell
from migration.errors import InvalidRequest
from migration.fleet.models import FleetOrder
from migration.fleet.requests import parameters_for
from migration.fleet.runs import ClusterRun
from migration.models import ClusterRef
from tasks.fleet_runs import adopted_by, cluster_run, held_back_by, tag_of
from tasks.patience import patiently


async def require_deployment(order: FleetOrder) -> None:
    """Raise InvalidRequest if there is no deployment that a cluster's run could be started through."""
    name = _deployment(order)

    async def ask() -> None:
        async with get_client() as client:
            await client.read_deployment_by_name(name)

    try:
        await patiently(ask)
    except ObjectNotFound as error:
        raise _no_deployment(order) from error


async def start(order: FleetOrder, cluster: ClusterRef, round_number: int) -> ClusterRun:
    """Leave a run started for this cluster, once per round however often this is called; return it.

    A run that is a part of another one can't be suspended (Prefect 3.8.8, core_policy.py, HandlePausingFlows): where
    each cluster's run asks a person, it stands beside the roll-out's.
    """
    tag = tag_of(order.run_id)
    try:
        run = await patiently(
            lambda: arun_deployment(
                _deployment(order),
                parameters=parameters_for(order, cluster),
                flow_run_name=f"{order.runbook} {cluster}",
                timeout=0,
                as_subflow=not order.migration.approval,
                tags=[tag],
                idempotency_key=f"{tag} {cluster} round {round_number}",
            )
        )
    except ObjectNotFound as error:
        raise _no_deployment(order) from error
    found = cluster_run(order.run_id, run)
    if found is None:
        raise InvalidRequest(f"run {run.id}, which was started for {cluster}, is for no cluster")
    return found


async def adopt(order: FleetOrder, run: FlowRun) -> ClusterRun:
    """Leave somebody else's run tagged as one of this roll-out; return it."""
    tags = [*run.tags, tag_of(order.run_id), adopted_by(order.run_id)]

    async def tell() -> None:
        async with get_client() as client:
            await client.update_flow_run(run.id, tags=tags)

    await patiently(tell)
    found = cluster_run(order.run_id, run.model_copy(update={"tags": tags}))
    assert found is not None  # noqa: S101 - it was found by its cluster
    return found


async def count_as_own(order: FleetOrder, run: ClusterRun) -> ClusterRun:
    """Leave an adopted run counting as one of this roll-out, once it has led to the target; return it.

    From then on the cluster is done, also if somebody takes the migration back.
    """

    async def tell() -> None:
        async with get_client() as client:
            with contextlib.suppress(ObjectNotFound):  # somebody has deleted its record
                tags = (await client.read_flow_run(UUID(run.id))).tags
                left = [tag for tag in tags if tag != adopted_by(order.run_id)]
                await client.update_flow_run(UUID(run.id), tags=left)

    await patiently(tell)
    return run.model_copy(update={"is_own": True})


async def hold_back(order: FleetOrder, run: ClusterRun, why: str) -> None:
    """Leave a run that has disrupted nothing cancelled, and marked as one that counts for nothing.

    The mark comes first: a process that ends in between leaves a run that goes on, not one that counts as failed. If it
    begins in this very moment, it is brought to a safe point as any cancelled run.
    """
    message = (
        f"{run.cluster}: held back, for its roll-out stops: {why}. This run has disrupted nothing. To resume: press "
        "Retry on the roll-out's page once its cause is mended"
    )
    state: State[Any] = Cancelling(message=message)

    async def tell() -> None:
        async with get_client() as client:
            with contextlib.suppress(ObjectNotFound):  # somebody has deleted its record
                tags = (await client.read_flow_run(UUID(run.id))).tags
                await client.update_flow_run(UUID(run.id), tags=sorted({*tags, held_back_by(order.run_id)}))
                answer = await client.set_flow_run_state(UUID(run.id), state)
                if answer.state is not None and answer.state.is_cancelled():
                    # No process had it: Prefect ended it at once, with a message of its own.
                    await client.set_flow_run_state(UUID(run.id), Cancelled(message=message), force=True)

    await patiently(tell)


async def cancel(runs: Iterable[ClusterRun], tell: Tell) -> list[ClusterRun]:
    """Leave these runs being cancelled: each is brought to its cluster's next safe point (flows/landing.py).

    Returns those that are. One for which that doesn't work is told, and keeps nobody from the others.
    """
    cancelled = []
    async with get_client() as client:
        for run in runs:
            state: State[Any] = Cancelling(message="The roll-out that it belongs to was cancelled.")
            try:
                await client.set_flow_run_state(UUID(run.id), state)
            except (ObjectNotFound, httpx.HTTPError) as error:
                tell(f"{run.cluster}: {run.name} could not be cancelled, do it on its page: {error}")
            else:
                tell(f"{run.cluster}: cancels {run.name}, as its roll-out was cancelled")
                cancelled.append(run)
    return cancelled


def _deployment(order: FleetOrder) -> str:
    return f"{order.runbook}/{order.runbook}"


def _no_deployment(order: FleetOrder) -> InvalidRequest:
    return InvalidRequest(
        f"there is no deployment {_deployment(order)}, through which each cluster's run is started: put this project's "
        "deployments on the Prefect server (docs/installation.md), then press Retry"
    )
