"""Whatever is killed, the migration goes on where it was: the run, its runner, the Prefect server, its database."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
import pytest_asyncio

from clusters.backups import MIGRATION_LABEL
from clusters.journal import read_journal
from clusters.kinds import SECRETS
from migration.journal import NAMESPACE
from tests.clusters.killing import noting_pods
from tests.resuming.stack import RETRY, expire_lease

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
]
PODS = "/namespaces/shop/pods/"
CANAL = "/daemonsets/canal$"
STAY = {"rotate_nodes": False}
CRASHED = {"type": "CRASHED", "name": "Crashed", "message": "no heartbeat"}
BACKUP = re.compile(r"-[0-9a-f]{8}-0$")
"""What tells one backup of the same objects from another: a checksum of them, and the number of the part."""
CHECKPOINTED = ("record baseline", "back up", "remove stale Cilium")


@pytest_asyncio.fixture(loop_scope="module")
async def pods(victim):
    """Note every pod that comes, beside those that were there before."""
    async with noting_pods(victim.api) as history:
        yield history, set(history.pods)


@pytest.mark.parametrize("path", [PODS, CANAL], ids=["moving pods", "removing Canal"])
async def test_a_killed_run_is_taken_up_as_the_same_run_and_does_nothing_twice(stack, victim, usual, pods, path):
    victim.hang_at("DELETE", path, acted=True)
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    await stack.kill_run()
    interrupted = await stack.reaches(run, "Interrupted")
    await expire_lease(victim.api)

    await stack.resume_interrupted()
    over = await stack.ended(run)

    assert over["state"]["type"] == "COMPLETED"
    assert f"lab/{victim.name}: step " in interrupted["state"]["message"]
    assert [name for name in names_of(await stack.states(run)) if name not in ("Pending", "Submitting")] == [
        *("Scheduled", "Running", "Crashed", "Interrupted", "AwaitingRetry", "Running", "Completed")
    ]
    assert_cached(await stack.steps(run))
    await assert_nothing_twice(victim, usual, pods)


async def test_a_killed_run_is_taken_up_though_another_one_came_and_was_cancelled_meanwhile(stack, victim):
    victim.hang_at("DELETE", PODS, acted=True)
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    bystander = await stack.start("canal-to-cilium", victim.name, **STAY)
    await stack.reaches(bystander, "AwaitingClusterLock", seconds=60)
    await stack.set_state(bystander, {"type": "CANCELLING", "name": "Cancelling"})
    await stack.kill_run()
    interrupted = await stack.reaches(run, "Interrupted")
    await expire_lease(victim.api)

    await stack.resume_interrupted()

    assert "resume-interrupted takes the run up within minutes" in interrupted["state"]["message"]
    assert (await stack.ended(run))["state"]["type"] == "COMPLETED"
    assert (await stack.api.flow_run(bystander))["state"]["type"] == "CANCELLED"


async def test_a_run_whose_runner_died_with_it_is_taken_up_by_the_next_runner(stack, victim, usual, pods):
    victim.hang_at("DELETE", PODS, acted=True)
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    processes = stack.processes_of_runs()
    await stack.kill_runner()
    await stack.kill_run(processes)

    # Nobody is left who could tell: what the automation against zombies does after a while is done here at once.
    assert (await stack.api.flow_run(run))["state"]["name"] == "Running"
    await stack.set_state(run, CRASHED)
    await expire_lease(victim.api)
    await stack.start_runner()
    await stack.resume_interrupted()
    over = await stack.ended(run)

    assert over["state"]["type"] == "COMPLETED"
    assert_cached(await stack.steps(run))
    await assert_nothing_twice(victim, usual, pods)


async def test_a_run_goes_on_without_the_prefect_server_and_tells_it_afterwards(stack, victim, usual, pods):
    victim.refuse_for_now("DELETE", CANAL)
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.is_refused()
    await stack.kill_server()
    stack.lab.clear_faults()

    await stack.until(lambda: f"{victim.name}: remove Canal: changed" in stack.runner.output(), what="the step's end")
    await stack.start_server()
    over = await stack.ended(run)

    assert over["state"]["type"] == "COMPLETED"
    assert set(names_of(await stack.states(run))) == {"Scheduled", "Pending", "Submitting", "Running", "Completed"}
    refused = Counter({"delete daemonsets.apps": victim.changes()["delete daemonsets.apps"]})
    await assert_nothing_twice(victim, usual + refused, pods)


async def test_retry_in_the_ui_goes_on_where_a_failed_run_was(stack, victim, usual, pods):
    victim.forbid("DELETE", CANAL)
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    failed = await stack.ended(run)
    assert failed["state"]["type"] == "FAILED"
    stack.lab.clear_faults()

    answer = await stack.set_state(run, RETRY)
    over = await stack.ended(run)

    assert answer["status"] == "ACCEPT"
    assert over["state"]["type"] == "COMPLETED"
    assert_cached(await stack.steps(run))
    forbidden = Counter({"delete daemonsets.apps": 1})
    await assert_nothing_twice(victim, usual + forbidden, pods)


async def test_a_run_that_always_crashes_is_given_up_once(stack, victim):
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    for attempt in (1, 2):
        victim.hang_at("POST", "/selfsubjectaccessreviews$")
        if attempt > 1:
            await stack.resume_interrupted(attempts=2)
        await victim.hangs()
        await stack.kill_run()
        await stack.reaches(run, "Interrupted")
    told = await stack.states(run)

    for _ in range(2):
        await stack.resume_interrupted(attempts=2)
    states = (await stack.states(run))[len(told) :]

    (given_up,) = states
    assert (given_up["name"], given_up["type"]) == ("Interrupted", "CRASHED")
    assert "given up: it crashed 2 times, of 2 attempts" in given_up["message"]
    assert "To resume: find out why it crashes" in given_up["message"]
    assert (await stack.reads("interrupted-runs")).count("given up before") == 1


async def test_a_run_is_left_while_its_cluster_cannot_be_reached_and_when_people_cancelled_it(stack, victim):
    victim.hang_at("DELETE", PODS, acted=True)
    run = await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    await stack.kill_run()
    await stack.reaches(run, "Interrupted")
    victim.forbid("GET", "/configmaps/cni-migration")

    await stack.resume_interrupted()
    left = await stack.api.flow_run(run)
    stack.lab.clear_faults()
    await stack.set_state(run, {"type": "CANCELLED", "name": "Cancelled"})
    await stack.resume_interrupted()

    assert left["state"]["name"] == "Interrupted"
    assert (await stack.api.flow_run(run))["state"]["name"] == "Cancelled"


async def test_a_lone_run_that_is_told_to_end_says_where_its_cluster_stands(stack, victim):
    victim.hang_at("DELETE", PODS)
    alone = ("-m", "tests.flows.run_flow", "canal-to-cilium", victim.name, json.dumps(STAY))
    process = (await stack.children.start("lone run", *alone)).process
    await victim.hangs()

    process.terminate()
    await process.wait()

    newest = {"sort": "START_TIME_DESC", "limit": 1}
    (run,) = await stack.call("POST", "/flow_runs/filter", newest)
    assert run["parameters"]["cluster"] == victim.name
    assert (run["deployment_id"], run["state"]["name"]) == (None, "Interrupted")
    assert "To resume: start the flow again with the same parameters" in run["state"]["message"]
    # No worker could take it up.
    await stack.resume_interrupted()
    assert (await stack.api.flow_run(run["id"]))["state"] == run["state"]


async def test_a_new_run_goes_on_when_prefect_has_lost_everything(stack, victim, usual, pods):
    victim.hang_at("DELETE", CANAL, acted=True)
    await stack.start("canal-to-cilium", victim.name, **STAY)
    await victim.hangs()
    processes = stack.processes_of_runs()
    await stack.kill_runner()
    await stack.kill_run(processes)
    await stack.kill_server()
    stack.forget_everything()
    await stack.start_server()
    await stack.start_runner()
    await expire_lease(victim.api)

    over = await stack.ended(await stack.start("canal-to-cilium", victim.name, **STAY))

    assert over["state"]["type"] == "COMPLETED"
    journal = await read_journal(victim.api)
    assert len(journal.migrations) == 1
    assert journal.open_migration() is None
    await assert_nothing_twice(victim, usual, pods)


def assert_cached(steps):
    assert {step: steps[step] for step in CHECKPOINTED} == dict.fromkeys(CHECKPOINTED, "Cached")


async def assert_nothing_twice(victim, usual, pods):
    """Fail if more was changed than a run without trouble does, or if a workload got more new pods than it had.

    How many pods are deleted says less: one that came up on Canal in the last moment is restarted once as well.
    """
    assert Counter({what: times for what, times in victim.changes().items() if what != "delete pods"}) <= usual
    backups = await victim.api.list(SECRETS, namespace=NAMESPACE, labels=MIGRATION_LABEL)
    kinds = [BACKUP.sub("", backup["metadata"]["name"]) for backup in backups]
    assert len(kinds) == len(set(kinds)) > 0
    history, before = pods
    had = Counter(pod.workload for uid, pod in history.pods.items() if uid in before)
    again = Counter({workload: born for workload, born in history.made_since(before).items() if workload in had})
    assert again <= had


def names_of(states):
    return [state["name"] for state in states]
