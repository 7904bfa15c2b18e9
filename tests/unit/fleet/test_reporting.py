"""What a roll-out tells people, and what becomes of one that crashed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from migration.fleet.readiness import NOTHING, UNSEEN, FleetReadiness, ReadinessRow, readiness_to_markdown
from migration.fleet.reporting import artifact_key, end_message, fleet_table, share_done, summary
from migration.fleet.resuming import decide_on_fleet
from migration.fleet.states import ClusterState
from migration.resuming import CrashedFleet, Limits, Ruling
from tests.unit.fleet.making_fleets import NOW, make_order, make_plan, make_status

PLAN = make_plan(3, canaries=1)
REFS = [one for wave in PLAN.waves for one in wave]


def statuses(*states):
    return {one: make_status(one, state) for one, state in zip(REFS, states, strict=True)}


def test_the_table_shows_first_what_somebody_has_to_look_at():
    found = statuses(ClusterState.MIGRATED, ClusterState.PENDING, ClusterState.FAILED)
    found[REFS[2]] = found[REFS[2]].model_copy(update={"what": "step 'x' failed: a | b", "advice": "mend it"})

    text = fleet_table(PLAN, found, doing="Batch 1 under way", now=NOW, links={"run-c002": "http://ui/run"})

    lines = text.splitlines()
    assert lines[0] == "**Batch 1 under way**"
    assert lines[2] == "1 failed, 1 not begun, 1 migrated. Seen at 2026-11-23 12:00:00 UTC."
    assert lines[6].startswith("| failed | europe/c002 | cluster c002 | 1 | step 'x' failed: a \\| b. To do: mend it |")
    assert lines[6].endswith("| [Run run-c002](http://ui/run) |")
    assert lines[8].startswith("| migrated | europe/c000 | cluster c000 | canary |")


def test_the_end_names_each_failed_cluster_its_cause_and_what_to_do():
    found = statuses(ClusterState.FAILED, ClusterState.DECLINED, ClusterState.PENDING)
    found[REFS[0]] = found[REFS[0]].model_copy(update={"what": "step 'back up' failed: no room", "advice": "make room"})

    message = end_message(make_order(), PLAN, found, "1 canary failed, and 0 may")

    assert message.splitlines()[:4] == [
        "canal-to-cilium of europe: 1 failed, 1 not approved, 1 not begun.",
        "Stopped: 1 canary failed, and 0 may. Nothing was begun after that.",
        "- europe/c000 (canary): step 'back up' failed: no room. To do: make room.",
        "Not approved: europe/c001.",
    ]
    assert "press Retry on this run's page" in message
    assert "To resume" not in end_message(make_order(), PLAN, statuses(*[ClusterState.MIGRATED] * 3))


def test_the_end_names_what_was_left_out_though_it_was_to_be_migrated():
    found = statuses(ClusterState.MIGRATED, ClusterState.LEFT_OUT, ClusterState.MIGRATED)
    found[REFS[1]] = found[REFS[1]].model_copy(update={"what": "it is paused"})
    unplanned = PLAN.model_copy(
        update={"members": tuple(each.model_copy(update={"wave": None}) for each in PLAN.members)}
    )

    assert "\n- europe/c001: left out, it is paused.\n" in end_message(make_order(), PLAN, found)
    assert "c001" not in end_message(make_order(), unplanned, found)
    assert "c001" in end_message(make_order(selection={"names": ["c001"]}), unplanned, found)
    assert end_message(make_order(), make_plan(0), {}).endswith("is where the runbook begins or in the middle of it.")


def test_the_end_names_no_more_clusters_than_a_message_holds():
    plan = make_plan(30)
    found = {member.ref: make_status(member.ref, ClusterState.FAILED) for member in plan.members}

    assert "- and 10 more, in the table" in end_message(make_order(), plan, found)


def test_artifacts_have_the_same_key_in_every_run_over_the_same_seeds():
    assert artifact_key(make_order(seeds=("eu.Prod", "asia_1"))) == "fleet-eu-prod-asia-1-canal-to-cilium"
    assert artifact_key(make_order(), "readiness") == "fleet-readiness-europe-canal-to-cilium"


def test_progress_counts_what_is_over():
    assert share_done(statuses(ClusterState.FAILED, ClusterState.ALREADY, ClusterState.RUNNING)) == pytest.approx(
        66.7, abs=0.1
    )
    assert share_done({}) == 0
    assert summary(()) == "no cluster"


def test_a_dry_run_tells_what_is_not_ready_first_and_why():
    rows = (
        ReadinessRow(ref=REFS[0], verdict="ready", minutes=20, outage_seconds=60),
        ReadinessRow(ref=REFS[1], verdict="not ready", blockers=(("node-not-ready", 2), ("webhook-down", 1))),
        ReadinessRow(ref=REFS[2], verdict=UNSEEN, remark="no answer"),
    )

    found = FleetReadiness(order=make_order(), plan=PLAN, rows=rows)

    assert not found.is_ready
    assert "1 ready, 1 not ready, 1 can't be looked at. Blockers: node-not-ready (1), webhook-down (1)" in found.message
    body = [line for line in readiness_to_markdown(found).splitlines() if line.startswith("|")][2:]
    assert [line.split(" | ")[1] for line in body] == ["europe/c002", "europe/c001", "europe/c000"]
    assert "node-not-ready (2), webhook-down" in body[1]
    assert FleetReadiness(
        order=make_order(), plan=PLAN, rows=(rows[0].model_copy(update={"verdict": NOTHING}),)
    ).is_ready


@pytest.mark.parametrize(
    ("seconds", "changes", "ruling"),
    [
        (30, {}, Ruling.LEAVE),
        (90, {}, Ruling.TAKE_UP),
        (90, {"crashes": 4}, Ruling.TAKE_UP),
        (90, {"crashes": 5}, Ruling.GIVE_UP),
        (90, {"crashes": 5, "given_up": True}, Ruling.LEAVE),
        (25 * 3600, {}, Ruling.LEAVE),
    ],
)
def test_a_crashed_roll_out_is_taken_up_a_bounded_number_of_times(seconds, changes, ruling):
    run = CrashedFleet(**{"id": "r", "name": "n", "cluster": "c", "crashed_at": NOW, "crashes": 1, **changes})

    assert decide_on_fleet(run, Limits(), NOW + timedelta(seconds=seconds)).ruling is ruling
