"""A run that asks a person before it disrupts anything, and goes on or ends by their answer."""

from __future__ import annotations

import pytest

from clusters.connections import ENVIRONMENT_VARIABLE
from clusters.journal import read_journal
from clusters.seed import open_seed
from migration.patches import UNSAFE_CNI_MIGRATION
from tests.resuming.stack import RETRY

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

ASKING = {"rotate_nodes": False, "approval": True}


@pytest.fixture(autouse=True)
def _connections(stack, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(stack.directory / "connections"))


async def answer(stack, run, **said):
    return await stack.call("POST", f"/flow_runs/{run}/resume", {"run_input": said})


async def cluster_of(victim):
    async with open_seed("lab") as seed:
        return await seed.cluster(victim.name)


async def test_a_run_goes_on_when_a_person_agrees_and_says_who_it_was(victim, stack):
    run = await stack.start("canal-to-cilium", victim.name, **ASKING)
    await stack.asks(run)

    assert str((await cluster_of(victim)).cni) == "canal v3.30"
    assert UNSAFE_CNI_MIGRATION not in (await cluster_of(victim)).labels
    assert (await read_journal(victim.api)).migrations == ()
    asked = (await stack.api.flow_run(run))["state"]["state_details"]["run_input_keyset"]
    form = await stack.call("GET", f"/flow_runs/{run}/input/{asked['description']}")
    assert f"(lab/{victim.name}): canal-to-cilium" in form
    assert "→ **cilium 1.19.4" in form

    await answer(stack, run, decision="go on", name="Ada", comment="window agreed with the shop team")
    over = await stack.ended(run)

    assert over["state"]["type"] == "COMPLETED"
    steps = {step.step: step.summary for step in (await read_journal(victim.api)).last_finished().steps}
    assert steps["approval"] == "approved by Ada: window agreed with the shop team"


async def test_a_run_that_is_not_approved_ends_and_leaves_nothing_unfinished(victim, stack):
    run = await stack.start("canal-to-cilium", victim.name, **ASKING)
    await stack.asks(run)

    await answer(stack, run, decision="end", name="Grace")
    over = await stack.ended(run)

    assert (over["state"]["name"], over["state"]["type"]) == ("NotApproved", "CANCELLED")
    assert "not approved by Grace. Nothing was changed by this run" in over["state"]["message"]
    assert (await read_journal(victim.api)).migrations == ()
    assert UNSAFE_CNI_MIGRATION not in (await cluster_of(victim)).labels


async def test_a_run_that_was_not_approved_and_is_retried_asks_again(victim, stack):
    run = await stack.start("canal-to-cilium", victim.name, **ASKING)
    await stack.asks(run)
    await answer(stack, run, decision="end", name="Grace")
    await stack.ended(run)

    await stack.set_state(run, RETRY)
    await stack.asks(run)
    await answer(stack, run, decision="go on", name="Ada")
    over = await stack.ended(run)

    assert over["state"]["type"] == "COMPLETED", over["state"]["message"]
    steps = {step.step: step.summary for step in (await read_journal(victim.api)).last_finished().steps}
    assert steps["approval"] == "approved by Ada"


async def test_an_answer_without_a_name_is_refused_and_asked_for_again(victim, stack):
    run = await stack.start("change-proxy-mode", victim.name, proxy_mode="ipvs", **ASKING)
    await stack.asks(run)

    refusal = await answer(stack, run, decision="go on", name="")

    assert refusal["status"] == "REJECT"
    await answer(stack, run, decision="go on", name="Ada")
    assert (await stack.ended(run))["state"]["type"] == "COMPLETED"
