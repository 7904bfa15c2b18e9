"""A run that is cancelled as in the UI: its cluster is brought to the next safe point, unless it is cancelled twice."""

from __future__ import annotations

from uuid import UUID

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from clusters.journal import read_journal
from clusters.kinds import DAEMON_SETS, LEASES
from clusters.steps.survey import list_cilium_endpoints, list_pods
from migration.models import CniType
from migration.restart import pods_to_move
from tasks.crashed_runs import crashed_run, take_up
from tests.resuming.stack import RETRY, expire_lease

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

CANCELLING = {"type": "CANCELLING", "name": "Cancelling"}
STAY = {"rotate_nodes": False}


async def cancel(stack, run):
    await stack.set_state(run, CANCELLING)
    return (await stack.reaches(run, "CANCELLED", seconds=60))["state"]


async def run_after(stack, run):
    """Return the run that goes on to the next safe point after a cancelled one, None if there is none."""
    body = {"flow_runs": {"tags": {"all_": ["to-the-next-safe-point"]}}, "sort": "START_TIME_DESC"}
    found = await stack.call("POST", "/flow_runs/filter", body)
    cluster = (await stack.api.flow_run(run))["parameters"]["cluster"]
    mine = [each["id"] for each in found if each["parameters"]["cluster"] == cluster and each["id"] != run]
    assert len(mine) < 2
    return mine[0] if mine else None


async def holder(api):
    return (await api.get(LEASES, "cni-migration", namespace="kube-system"))["spec"]["holderIdentity"]


async def test_a_cancelled_run_is_followed_by_one_that_stops_at_the_next_safe_point(victim, stack):
    victim.hang_at("DELETE", "/namespaces/[^/]+/pods/")
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()

    state = await cancel(stack, run)

    assert f"lab/{victim.name}: cancelled in the middle of the move to the new CNI" in state["message"]
    assert "State: the Cluster's spec says cilium 1.19.4" in state["message"]
    assert f"/runs/flow-run/{await run_after(stack, run)}" in state["message"]
    errand = await stack.ended(await run_after(stack, run))
    assert errand["state"]["name"] == "StoppedAtSafePoint"
    assert "the removal of the old CNI has not begun" in errand["state"]["message"]
    assert (
        pods_to_move(await list_pods(victim.api), await list_cilium_endpoints(victim.api), target=CniType.CILIUM) == ()
    )
    assert await victim.api.find(DAEMON_SETS, "canal", namespace="kube-system") is not None
    assert await holder(victim.api) == ""
    assert (await read_journal(victim.api)).open_migration() is not None

    again = await stack.ended(await stack.start("canal-to-cilium", victim.name, **STAY))

    assert again["state"]["type"] == "COMPLETED"
    assert (await stack.api.flow_run(run))["state"]["message"] == state["message"]
    assert (await read_journal(victim.api)).open_migration() is None


async def test_whoever_cancels_twice_stops_at_once(victim, stack):
    victim.hang_at("DELETE", "/namespaces/[^/]+/pods/")
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    await stack.set_state(run, CANCELLING)
    victim.hang_at("DELETE", "/namespaces/[^/]+/pods/")
    await stack.reaches(run, "CANCELLED", seconds=60)
    errand = await run_after(stack, run)
    await victim.hangs()

    state = await cancel(stack, errand)

    assert "stopped at once, in the middle of the move to the new CNI, which is no safe point" in state["message"]
    assert "To resume: start the flow again with the same parameters, and soon" in state["message"]
    assert await run_after(stack, errand) in (None, run)
    assert await holder(victim.api) == ""


async def test_a_cancelled_run_whose_worker_died_over_it_is_landed_and_not_taken_up_again(victim, stack):
    victim.hang_at("DELETE", "/namespaces/[^/]+/pods/")
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    processes = stack.processes_of_runs()
    await stack.kill_runner()
    await stack.set_state(run, CANCELLING)
    await stack.kill_run(processes)
    await stack.set_state(run, {"type": "CRASHED", "name": "Crashed", "message": "as a heartbeat tells it"}, force=True)
    await stack.start_runner()

    await stack.resume_interrupted()

    state = (await stack.api.flow_run(run))["state"]
    assert state["type"] == "CANCELLED"
    assert f"lab/{victim.name}: cancelled in the middle of the move to the new CNI" in state["message"]
    assert (await stack.ended(await run_after(stack, run)))["state"]["name"] == "StoppedAtSafePoint"
    assert await victim.api.find(DAEMON_SETS, "canal", namespace="kube-system") is not None


@pytest.mark.parametrize("moment", ["taken up", "retried by a person", "its worker gone"])
async def test_a_run_that_is_cancelled_while_no_process_has_it_is_landed(victim, stack, moment):
    victim.hang_at("DELETE", "/namespaces/[^/]+/pods/")
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    processes = stack.processes_of_runs()
    if moment != "its worker gone":
        await stack.kill_run(processes)
        await stack.reaches(run, "Interrupted")
    await stack.kill_runner()
    if moment == "taken up":
        with temporary_settings({PREFECT_API_URL: f"{stack.http.base_url}"}):
            crashed = await crashed_run(UUID(run))
            assert crashed
            assert await take_up(crashed, "as resume-interrupted does")
        await stack.set_state(run, CANCELLING)
        assert (await stack.api.flow_run(run))["state"]["type"] == "CANCELLED"
    else:
        if moment == "its worker gone":
            await stack.kill_run(processes)
        else:
            await stack.set_state(run, RETRY)
        await stack.set_state(run, CANCELLING)
        # What Prefect's server does after five minutes, in its words.
        given_up = {"type": "CANCELLED", "name": "Cancelled", "message": "Flow run cancellation timed out"}
        await stack.set_state(run, given_up, force=True)
    await expire_lease(victim.api)
    await stack.start_runner()

    over = await stack.resume_interrupted()

    state = (await stack.api.flow_run(run))["state"]
    assert state["type"] == "CANCELLED"
    assert f"lab/{victim.name}: cancelled in the middle of the move to the new CNI" in state["message"]
    assert "1 cancelled without anybody seeing to it" in over["state"]["message"]
    errand = await run_after(stack, run)
    assert (await stack.ended(errand))["state"]["name"] == "StoppedAtSafePoint"

    await stack.resume_interrupted()

    assert await run_after(stack, run) == errand
    assert (await stack.states(run))[-1]["id"] == state["id"]


async def test_a_cancelled_run_that_nobody_can_land_keeps_no_other_from_it(victim, stack):
    """Its deployment is gone, so nobody can be sent; what is said then is the truth."""
    victim.hang_at("DELETE", "/namespaces/[^/]+/pods/")
    found = await stack.call("GET", "/deployments/name/canal-to-cilium/canal-to-cilium")
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    processes = stack.processes_of_runs()
    await stack.kill_runner()
    await stack.kill_run(processes)
    await stack.set_state(run, {"type": "CANCELLED", "name": "Cancelled"}, force=True)
    await expire_lease(victim.api)
    await stack.call("DELETE", f"/deployments/{found['id']}")
    # A deployment of this name that has another id: the runner makes it as it starts.
    await stack.start_runner()

    over = await stack.resume_interrupted()

    assert over["state"]["type"] == "COMPLETED"
    assert "stopped at once, in the middle of" in (await stack.api.flow_run(run))["state"]["message"]


async def test_a_run_cancelled_where_nothing_was_disrupted_yet_ends_there(victim, stack):
    victim.hang_at("POST", "/namespaces/kube-system/secrets")
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()

    state = await cancel(stack, run)

    assert "stopped at a safe point: it was cancelled" in state["message"]
    assert await run_after(stack, run) is None
    assert await holder(victim.api) == ""


async def test_a_bystander_that_is_cancelled_sends_nobody_and_leaves_the_others_migration_alone(victim, stack):
    victim.hang_at("DELETE", "/namespaces/[^/]+/pods/")
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    bystander = await stack.start("change-proxy-mode", victim.name, proxy_mode="ipvs", **STAY)
    await stack.reaches(bystander, "AwaitingClusterLock", seconds=60)

    await cancel(stack, bystander)

    assert await run_after(stack, bystander) is None
    assert (await stack.ended(run, seconds=90))["state"]["type"] == "COMPLETED"
    assert [found.kind for found in (await read_journal(victim.api)).migrations] == ["canal-to-cilium"]


async def test_stopping_at_safe_points_goes_through_a_migration_stretch_by_stretch(victim, stack):
    ends = []
    for _ in range(4):
        over = await stack.ended(
            await stack.start("canal-to-cilium", victim.name, stop_at_safe_point=True, **STAY), seconds=90
        )
        ends.append(over["state"]["name"])
        if over["state"]["name"] == "Completed":
            break

    assert ends == ["StoppedAtSafePoint"] * 3 + ["Completed"]
    assert (await read_journal(victim.api)).open_migration() is None
