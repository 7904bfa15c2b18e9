"""What people are told of a roll-out."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

from deployments.alerts import ENDED, FLOWS, NAMES, STEPPED_ASIDE, Alerting, automations
from flows.messages import Kind, rendered
from migration.fleet.runs import AWAITING_CLUSTERS, SOAKING

FLEET = SimpleNamespace(name="migrate-fleet")


def fleet_run(state: str, message: str) -> SimpleNamespace:
    return SimpleNamespace(
        id=uuid4(),
        name="migrate-fleet canal-to-cilium",
        parameters={"seeds": ["europe"]},
        deployment_id=uuid4(),
        state=SimpleNamespace(name=state, message=message, timestamp=datetime(2026, 11, 23, tzinfo=UTC)),
    )


def test_a_roll_out_that_ends_badly_or_asks_is_told_and_one_that_waits_is_not_taken_for_dead():
    alerting = Alerting(blocks=(uuid4(),), kinds=frozenset(NAMES), work_pool="kkp-migrations")
    found = {automation.name.partition(": ")[2]: automation.trigger for automation in automations(alerting)}

    assert "prefect.flow-run.BudgetExhausted" in found["failed"].expect
    for kind in ("failed", "crashed", "interrupted", "waiting-for-approval", "late"):
        assert any("migrate-fleet" in str(one) for one in found[kind].match_related)
    assert "migrate-fleet" in FLOWS
    assert {SOAKING, AWAITING_CLUSTERS} <= set(STEPPED_ASIDE)
    assert {"Migrated", "MigratedWithFailures", "BudgetExhausted"} <= set(ENDED)


def test_the_messages_speak_of_a_fleet_where_it_is_one():
    asks = rendered(Kind.WAITING_FOR_APPROVAL, flow_run=fleet_run("Suspended", ""), flow=FLEET)
    failed = rendered(Kind.FAILED, flow_run=fleet_run("BudgetExhausted", "1 failed. To resume: Retry"), flow=FLEET)

    assert asks.subject == "migrate-fleet canal-to-cilium: migrate-fleet waits for approval"
    assert "begins no cluster before. How each one stands is in the table in the form. Answer" in asks.body
    assert failed.body.count("To resume") == 1
