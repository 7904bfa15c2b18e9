"""What a person does in Prefect's UI, by clicking, and that it truly happens: start, plan, watch, approve, retry, cancel."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from clusters.api import open_api
from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.journal import read_journal
from clusters.seed import open_seed

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

STAY = {"rotate_nodes": False}


@pytest.fixture(autouse=True)
def _connections(stack, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(stack.directory / "connections"))


async def cni_of(cluster):
    async with open_seed("lab") as seed:
        return str((await seed.cluster(cluster)).cni)


async def journal_of(stack, cluster):
    async with open_api(stack.kubeconfig(cluster), where=f"user cluster {cluster}") as api:
        return await read_journal(api)


async def test_a_migration_is_started_by_the_form_and_watched_to_its_end(person, stack, cluster):
    await person.opens_the_form_of("canal-to-cilium")
    await person.fills_in("Connection", "lab")
    await person.fills_in("Cluster ID", "Shop Production")
    await person.clicks("Submit")
    await person.sees("'Shop Production' does not match")
    await person.keeps("form-refuses", at=person.label("Connection"))

    await person.fills_in("Cluster ID", cluster)
    await person.fills_in("Cilium version", "1.18.6")
    await person.chooses("kube-proxy mode", "ipvs")
    await person.switches("Replace nodes")
    await person.chooses("Strategy", "evict")
    await person.fills_in("Pods at a time", "20")
    await person.keeps("form-pods", at=person.label("Strategy"))
    run = await person.submits()

    await person.sees_state("Running")
    await person.sees(re.compile("Beginning flow run"))
    await person.keeps("run-running")
    await person.sees_state("Completed", seconds=90)
    await person.looks_at("Task Runs")
    await person.sees(re.compile("^(verify|finish migration|report)"))
    await person.looks_at("Artifacts")
    await person.sees(f"migration-report-{cluster}")
    await person.keeps("run-artifacts")

    asked = (await stack.api.flow_run(run))["parameters"]
    assert (asked["pods"]["strategy"], asked["pods"]["concurrency"]) == ("evict", 20)
    assert await cni_of(cluster) == "cilium 1.18.6"
    migration = (await journal_of(stack, cluster)).last_finished()
    assert migration is not None
    assert await person.page.locator("canvas").count(), "the graph of the run is missing"


async def test_a_migration_is_planned_for_later(person, stack, cluster):
    start = (datetime.now(UTC) + timedelta(days=2)).replace(hour=22, minute=30, second=0, microsecond=0)
    await person.opens_the_form_of("canal-to-cilium")
    await person.fills_in("Connection", "lab")
    await person.fills_in("Cluster ID", cluster)
    await person.chooses("kube-proxy mode", "ebpf")
    await person.switches("Ask for approval")
    await person.keeps("form", at=person.page.get_by_text("Parameters", exact=True).first)
    await person.plans_the_start(start)
    await person.keeps("form-later", at=person.page.get_by_role("button", name="Submit"))

    run = await person.submits()

    await person.sees_state("Scheduled")
    await person.keeps("run-scheduled")
    planned = await stack.api.flow_run(run)
    assert planned["state"]["type"] == "SCHEDULED"
    assert datetime.fromisoformat(planned["state"]["state_details"]["scheduled_time"]) == start
    assert await cni_of(cluster) == "canal v3.30"


async def test_a_person_reads_what_would_be_done_and_approves_it(person, stack, cluster):
    run = await stack.start("canal-to-cilium", cluster, approval=True, **STAY)
    await stack.reaches(run, "Suspended", seconds=60)
    await person.opens_the_run(run)
    await person.sees_state("Suspended")

    await person.wants("Resume")
    await person.sees("Takes about")
    await person.keeps("approval")
    await person.chooses("Migrate this cluster?", "go on")
    await person.fills_in("Your name", "Ada")
    await person.fills_in("Comment", "agreed with the shop team")
    await person.keeps("approval-answer", at=person.label("Comment"))
    await person.answers("Resume")

    await person.sees_state("Completed", seconds=90)
    steps = {step.step: step.summary for step in (await journal_of(stack, cluster)).last_finished().steps}
    assert steps["approval"] == "approved by Ada: agreed with the shop team"
    assert await cni_of(cluster) == "cilium 1.19.4"


async def test_a_failed_migration_is_retried_when_its_cause_is_gone(person, stack, cluster):
    stack.lab.add_fault("request", "403", server=cluster, method="DELETE", path="/namespaces/[^/]+/pods/", times=None)
    run = await stack.start("canal-to-cilium", cluster, **STAY)
    await stack.reaches(run, "FAILED", seconds=90)
    await person.opens_the_run(run)
    await person.sees_state("Failed")
    await person.looks_at("Details")
    await person.sees("To resume")
    await person.keeps("run-failed", at=person.page.get_by_text("To resume").first)

    stack.lab.clear_faults()
    await person.wants("Retry")
    await person.confirms("Retry")

    await person.sees_state("Completed", seconds=90)
    found = await stack.api.flow_run(run)
    assert (found["state"]["type"], found["run_count"]) == ("COMPLETED", 2)
    assert await cni_of(cluster) == "cilium 1.19.4"
    assert len((await journal_of(stack, cluster)).migrations) == 1


async def test_a_cancelled_migration_stops_at_the_next_safe_point_and_says_so(person, stack, cluster):
    stack.lab.add_fault("request", "timeout", server=cluster, method="DELETE", path="/namespaces/[^/]+/pods/")
    run = await stack.start("canal-to-cilium", cluster, **STAY)
    await stack.until(lambda: not stack.lab.faults(), what="the request that hangs")
    await person.opens_the_run(run)
    await person.sees_state("Running")

    await person.wants("Cancel")
    await person.confirms("Cancel Flow Run")

    await person.sees_state("Cancelled")
    await person.looks_at("Details")
    await person.keeps("run-cancelled", at=person.page.get_by_text("State Message").first)
    # A worker may write its own last message over that of the run's hook (3.8.8), which stays in the run's history.
    told = " ".join(str(state["message"]) for state in await stack.states(run))
    assert "cancelled in the middle of the move to the new CNI" in told
    follower = re.search(r"/runs/flow-run/([0-9a-f-]{36})", told)
    assert follower is not None
    await person.opens_the_run(follower.group(1))
    await person.sees_state("StoppedAtSafePoint", seconds=90)
    await person.looks_at("Details")
    await person.sees("the removal of the old CNI has not begun")
    await person.keeps("run-stopped", at=person.page.get_by_text("stopped at a safe point").first)
    assert await cni_of(cluster) == "cilium 1.19.4"
    assert (await journal_of(stack, cluster)).open_migration() is not None
