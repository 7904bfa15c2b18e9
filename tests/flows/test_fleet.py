"""Roll-outs over many clusters, through a Prefect server and a runner as processes of their own, on two labs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import pytest_asyncio

from lab.remote import RemoteLab
from tests.resuming.stack import RETRY, SLOWNESS, killable_stack
from tests.running_lab import lab_process

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

FLEET = "migrate-fleet/migrate-fleet"
SIZE = ("--nodes=1", "--pods=4", "--grace-seconds=0", "--speed=200")
QUICK = {"rotate_nodes": False}
BACKUPS = "/namespaces/kube-system/secrets"
PODS = "/namespaces/[^/]+/pods/"
CANCELLING = {"type": "CANCELLING", "name": "Cancelling"}
ENDS_OF_TWO_ROUNDS = Counter({"Failed": 1, "Completed": 1, "Cancelled": 4})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fleet")
    with lab_process(directory / "other", "--clusters=1", *SIZE) as other:
        async with killable_stack(directory / "stack", "--clusters=14", *SIZE) as found:
            text = (other.connections / "lab.kubeconfig").read_text()
            (found.directory / "connections" / "other.kubeconfig").write_text(text)
            yield found


async def roll_out(stack, names, *, seeds=("lab",), **parameters):
    given = {"seeds": seeds, "selection": {"names": names}, "migration": QUICK, **parameters}
    return await stack.api.start_run(FLEET, parameters={"runbook": "canal-to-cilium", **given})


async def children(stack, run):
    """Return the runs of a roll-out's clusters, the first one first."""
    body = {"flow_runs": {"tags": {"all_": [f"fleet:{run}"]}}, "sort": "START_TIME_ASC"}
    found = await stack.call("POST", "/flow_runs/filter", body)
    return sorted(found, key=lambda each: each["created"])


async def until_runs(stack, run, holds, *, seconds=150):
    """Return once this holds of the runs of a roll-out's clusters."""
    ends = time.monotonic() + seconds * SLOWNESS
    while not holds(found := await children(stack, run)):
        states = [(each["name"], each["state"]["name"]) for each in found]
        assert time.monotonic() < ends, f"{states}:\n{stack.runner.output()[-4000:]}"
        await asyncio.sleep(0.2)


def clusters_of(runs):
    return Counter(run["parameters"]["cluster"] for run in runs)


def process_of(stack, run):
    """Return the process in which a run is."""
    [found] = [pid for pid in stack.processes_of_runs() if run in Path(f"/proc/{pid}/environ").read_text()]
    return found


async def table(stack, seeds="lab"):
    return await stack.reads(f"fleet-{seeds}-canal-to-cilium")


async def test_a_dry_run_tells_the_readiness_of_all_seeds_in_one_table_and_starts_nothing(stack):
    run = await stack.api.start_run(FLEET, parameters={"seeds": ["lab", "other"], "dry_run": True})

    state = (await stack.ended(run, seconds=150))["state"]

    assert state["name"] == "Ready"
    assert "canal-to-cilium of lab, other: 15 ready" in state["message"]
    text = await stack.reads("fleet-readiness-lab-other-canal-to-cilium")
    assert text.count("| ready |") == 15
    assert await children(stack, run) == []


async def test_a_canary_that_fails_stops_it_a_retry_touches_only_that_one_and_a_soak_holds_no_process(stack):
    # Whatever the providers of the three are, two of them or all alike or none: the first by name is a canary.
    names = sorted(stack.unused.pop() for _ in range(3))
    waves = {"canaries": 2, "soak_minutes": 30, "concurrent": 2}
    broken = stack.lab.add_fault("request", "403", server=names[0], method="POST", path=BACKUPS, times=None)
    run = await roll_out(stack, names, waves=waves)

    state = (await stack.ended(run, seconds=150))["state"]

    begun = clusters_of(await children(stack, run))
    assert state["name"] == "BudgetExhausted"
    assert begun[names[0]] == 1
    assert len(begun) == 2
    assert f"- lab/{names[0]} (canary): step 'record baseline' failed: user cluster" in state["message"]
    assert "1 failed, 1 not begun, 1 migrated" in await table(stack)
    stack.lab.clear_faults(broken)

    await stack.set_state(run, RETRY)
    waiting = await stack.reaches(run, "Soaking", seconds=150)

    assert "1 not begun, 2 migrated" in waiting["state"]["message"]
    assert clusters_of(await children(stack, run)) == begun + Counter([names[0]])
    await stack.until(lambda: not stack.processes_of_runs(), what="the end of the run's process")
    await stack.set_state(run, CANCELLING)
    assert (await stack.api.flow_run(run))["state"]["type"] == "CANCELLED"
    stack.unused += sorted(set(names) - set(begun))


async def test_a_killed_roll_out_goes_on_with_the_runs_there_are_and_ends_within_its_budget(stack):
    names = [stack.unused.pop() for _ in range(3)]
    stack.lab.add_fault("request", "403", server=names[0], method="POST", path=BACKUPS, times=None)
    run = await roll_out(
        stack,
        names,
        waves={"canaries": 0, "concurrent": 2},
        failure_budget=1,
        approval="before the first wave",
    )
    asking = await stack.asks(run, seconds=120)
    assert await children(stack, run) == []
    await stack.call("POST", f"/flow_runs/{run}/resume", {"run_input": {"decision": "go on", "name": "Kim"}})
    await until_runs(stack, run, lambda found: any(each["state"]["name"] == "Running" for each in found))

    os.kill(process_of(stack, run), signal.SIGKILL)
    interrupted = await stack.reaches(run, "Interrupted", seconds=120)
    await stack.resume_interrupted()
    state = (await stack.ended(run, seconds=120))["state"]

    assert asking["state"]["state_details"]["run_input_keyset"]
    assert "the clusters' own runs go on by themselves" in interrupted["state"]["message"]
    assert state["name"] == "MigratedWithFailures"
    assert f"- lab/{names[0]}: step 'record baseline' failed" in state["message"]
    assert clusters_of(await children(stack, run)) == Counter(names)
    stack.lab.clear_faults()
    stack.unused.append(names[0])


async def test_a_roll_out_that_stops_holds_back_what_has_not_begun(stack):
    names = sorted(stack.unused.pop() for _ in range(3))
    stack.lab.add_fault("request", "403", server=names[0], method="POST", path=BACKUPS, times=None)
    run = await roll_out(stack, names, waves={"canaries": 0, "concurrent": 3}, migration={**QUICK, "approval": True})
    await stack.reaches(run, "AwaitingClusters", seconds=150)
    of = {each["parameters"]["cluster"]: each["id"] for each in await children(stack, run)}
    await answer(stack, of[names[0]], "go on")
    await stack.ended(of[names[0]])

    await stack.resume_interrupted()
    state = (await stack.ended(run, seconds=120))["state"]

    assert state["name"] == "BudgetExhausted"
    assert "1 failed, 2 not begun" in await table(stack)
    for name in names[1:]:
        held = (await stack.api.flow_run(of[name]))["state"]
        assert held["type"] == "CANCELLED"
        assert f"lab/{name}: held back, for its roll-out stops: 1 cluster failed" in held["message"]
    tables = await stack.call("POST", "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    assert sorted(each["type"] for each in tables) == ["markdown", "progress"]

    stack.lab.clear_faults()
    await stack.set_state(run, RETRY)
    await until_runs(stack, run, lambda found: clusters_of(found) == Counter(names * 2))
    await stack.reaches(run, "AwaitingClusters", seconds=150)
    await stack.set_state(run, CANCELLING)
    await stack.resume_interrupted()

    # The first one was approved before, and so is migrated by now; the others wait for a person, and are ended.
    await until_runs(stack, run, lambda found: Counter(each["state"]["name"] for each in found) == ENDS_OF_TWO_ROUNDS)
    stack.unused += names[1:]


async def test_whoever_declines_or_cancels_a_run_that_was_adopted_has_decided_about_its_cluster(stack):
    names = sorted(stack.unused.pop() for _ in range(2))
    by_hand = [await stack.start("canal-to-cilium", name, approval=True, **QUICK) for name in names]
    for one in by_hand:
        await stack.asks(one, seconds=120)
    run = await roll_out(stack, names, waves={"canaries": 0}, failure_budget=1)
    await stack.reaches(run, "AwaitingClusters", seconds=150)
    await answer(stack, by_hand[0], "end")
    await stack.ended(by_hand[0])
    await stack.set_state(by_hand[1], CANCELLING)

    await stack.resume_interrupted()
    state = (await stack.ended(run, seconds=120))["state"]

    assert state["name"] == "MigratedWithFailures"
    assert "1 failed, 1 not approved" in await table(stack)
    assert [each["id"] for each in await children(stack, run)] == by_hand
    stack.unused += names


async def answer(stack, run, decision):
    """Answer what a suspended run asks."""
    await stack.call("POST", f"/flow_runs/{run}/resume", {"run_input": {"decision": decision, "name": "Kim"}})


async def test_a_cancelled_roll_out_lands_what_it_has_begun_and_another_one_touches_only_what_is_left(stack):
    names = [stack.unused.pop() for _ in range(4)]
    for name in names:
        stack.lab.add_fault("request", "timeout", server=name, method="DELETE", path=PODS)
    run = await roll_out(stack, names, waves={"canaries": 2, "concurrent": 1})
    await stack.until(lambda: len(stack.lab.faults()) < len(names), what="the request that hangs", seconds=150)
    [left] = clusters_of(await children(stack, run))
    others = [name for name in names if name != left]
    stack.lab.clear_faults()

    await stack.set_state(run, CANCELLING)
    state = (await stack.reaches(run, "CANCELLED", seconds=120))["state"]

    assert f"no further cluster is begun. On their way to their next safe points: lab/{left}" in state["message"]
    assert (await table(stack)).startswith("**Cancelled**")
    await until_runs(
        stack, run, lambda found: [each["state"]["name"] for each in found] == ["Cancelled", "StoppedAtSafePoint"]
    )

    adopted = others[0]
    stack.lab.add_fault("request", "503", server=adopted, method="POST", path=BACKUPS, times=None)
    [other] = {cluster["name"] for cluster in RemoteLab(stack.directory.parent / "other").state()["clusters"]}
    selection = {"names": [*(f"lab/{name}" for name in (left, *others)), f"other/{other}"]}
    again = await roll_out(
        stack, (), seeds=("lab", "other"), selection=selection, waves={"canaries": 0, "concurrent": 5}
    )
    by_hand = await stack.start("canal-to-cilium", adopted, **QUICK)
    await until_runs(stack, again, lambda found: by_hand in [each["id"] for each in found])
    stack.lab.clear_faults()
    ended = await stack.ended(again, seconds=150)

    assert ended["state"]["name"] == "Migrated", ended["state"]["message"]
    assert clusters_of(await children(stack, again)) == Counter([left, *others, other])
    assert "5 migrated" in await table(stack, "lab-other")


async def test_what_goes_on_after_a_roll_out_was_cancelled_while_it_waited_is_landed_all_the_same(stack):
    name = stack.unused.pop()
    run = await roll_out(stack, [name], waves={"canaries": 0}, migration={**QUICK, "approval": True})
    await stack.reaches(run, "AwaitingClusters", seconds=150)
    await stack.until(lambda: not stack.processes_of_runs(), what="the end of the run's process")
    await stack.set_state(run, CANCELLING)
    assert (await stack.api.flow_run(run))["state"]["type"] == "CANCELLED"
    stack.lab.add_fault("request", "timeout", server=name, method="DELETE", path=PODS)
    [child] = await children(stack, run)
    await stack.call("POST", f"/flow_runs/{child['id']}/resume", {"run_input": {"decision": "go on", "name": "Kim"}})
    await stack.until(lambda: not stack.lab.faults(), what="the request that hangs", seconds=120)

    await stack.resume_interrupted()

    await until_runs(
        stack, run, lambda found: [each["state"]["name"] for each in found] == ["Cancelled", "StoppedAtSafePoint"]
    )


async def test_a_roll_out_that_crashed_while_it_was_cancelled_begins_nothing_more_and_lands_its_clusters(stack):
    names = sorted(stack.unused.pop() for _ in range(2))
    stack.lab.add_fault("request", "timeout", server=names[0], method="DELETE", path=PODS)
    run = await roll_out(stack, names, waves={"canaries": 0, "concurrent": 1})
    await stack.until(lambda: not stack.lab.faults(), what="the request that hangs", seconds=150)
    [child] = await children(stack, run)
    processes = stack.processes_of_runs()
    await stack.kill_runner()
    for each in (run, child["id"]):
        await stack.set_state(each, CANCELLING)
    await stack.kill_run(processes)
    for each in (run, child["id"]):
        await stack.set_state(each, {"type": "CRASHED", "name": "Crashed", "message": "it is gone"}, force=True)
    await stack.start_runner()

    await stack.resume_interrupted()

    assert (await stack.api.flow_run(run))["state"]["type"] == "CANCELLED"
    await until_runs(
        stack, run, lambda found: [each["state"]["name"] for each in found] == ["Cancelled", "StoppedAtSafePoint"]
    )
    assert clusters_of(await children(stack, run)) == Counter([names[0]] * 2)
    stack.unused.append(names[1])


async def test_since_when_a_cluster_gives_no_answer_is_known_to_whoever_takes_the_roll_out_up(stack):
    name = stack.unused.pop()
    run = await roll_out(stack, [name], waves={"canaries": 0}, approval="before the first wave")
    await stack.asks(run, seconds=120)
    silence = stack.lab.add_fault("request", "403", server=name, path="/", times=None)
    await stack.call("POST", f"/flow_runs/{run}/resume", {"run_input": {"decision": "go on", "name": "Kim"}})
    await stack.reaches(run, "Running", seconds=60)
    before = await kept_silences(stack, run)

    os.kill(process_of(stack, run), signal.SIGKILL)
    await stack.reaches(run, "Interrupted", seconds=120)
    await stack.resume_interrupted()
    await stack.until(lambda: "goes on with 0 runs" in stack.runner.output(), what="the run that was taken up")
    after = await kept_silences(stack, run)
    stack.lab.clear_faults(silence)
    state = (await stack.ended(run, seconds=150))["state"]

    assert before == after
    assert state["name"] == "Migrated"


async def kept_silences(stack, run):
    """Return which clusters give no answer since when, once a roll-out has noted any."""
    for _ in range(600):
        answer = await stack.http.get(f"/flow_runs/{run}/input/fleet-silences")
        if answer.is_success:
            return answer.json()
        await asyncio.sleep(0.1)
    raise AssertionError("nothing was noted")


async def test_a_roll_out_by_kkp_s_rest_api_migrates_its_clusters_as_one_by_the_seed_does(stack):
    names = sorted(stack.unused.pop() for _ in range(2))
    before = sum(stack.lab.requests()["lab"].values())
    run = await roll_out(stack, names, seeds=("lab-api",), waves={"canaries": 1, "soak_minutes": 0, "concurrent": 1})

    state = (await stack.ended(run, seconds=300))["state"]

    assert state["name"] == "Migrated", state["message"]
    assert clusters_of(await children(stack, run)) == Counter(names)
    assert "2 migrated" in await table(stack, "lab-api")
    assert sum(stack.lab.requests()["lab"].values()) == before
