import json
from datetime import UTC, datetime, timedelta

import pytest

from migration.errors import OperatorActionNeeded
from migration.journal import CURRENT, KEPT, KEPT_DETAILS, Journal, StoredBackup, from_data, to_data
from migration.models import CniType, Finding, Network, Runbook, Severity, StepOutcome, StepStatus, WorkloadOutage
from tests.unit import making
from tests.unit.making import CANAL, CILIUM

BEGIN = datetime(2026, 8, 21, 8, tzinfo=UTC)
BACKUP = StoredBackup(name="canal", secrets=("a-0", "a-1"), sha256="5f", objects=12)


def make_migration(number=1, **changes):
    return making.make_migration(f"m{number}", **{"started_at": BEGIN + timedelta(days=number), **changes})


def closed(number, **changes):
    return make_migration(number, finished_at=BEGIN + timedelta(days=number, hours=1), **changes)


def make_outcome(step="restart pods", status=StepStatus.CHANGED, **changes):
    return StepOutcome(
        step=step, status=status, summary="done", started_at=BEGIN, finished_at=BEGIN + timedelta(minutes=1), **changes
    )


def make_details(count):
    outage = tuple(WorkloadOutage(workload=f"ns/w{n}", down_seconds=1.0, degraded_seconds=1.0) for n in range(count))
    findings = tuple(
        Finding(code="pod-skipped", severity=Severity.WARNING, subject=f"Pod ns/p{n}", seen="seen", advice="Look.")
        for n in range(count)
    )
    return {"outage": outage, "findings": findings}


def test_a_journal_survives_its_config_map():
    migration = make_migration(
        steps=(make_outcome(**make_details(2)),),
        backups=(BACKUP,),
        bare_pods={"shop/shell": "uid-1"},
        old_machines={"kube-system/workers": ("m-1", "m-2")},
        old_nodes={"kube-system/workers": ("n-1",)},
    )
    journal = Journal().with_migration(closed(0)).with_migration(migration)

    assert from_data(to_data(journal)) == journal


def test_an_empty_journal_survives_its_config_map():
    assert from_data(to_data(Journal())) == from_data({}) == Journal()


def test_a_config_map_holds_text_only():
    data = to_data(Journal().with_migration(closed(1)))

    assert data[CURRENT] == ""
    assert all(isinstance(value, str) for value in data.values())


def test_the_open_migration_is_the_current_one():
    journal = Journal().with_migration(closed(1)).with_migration(make_migration(2))

    assert journal.open_migration().id == "m2"
    assert journal.last_finished().id == "m1"


def test_a_migration_that_closes_is_current_no_longer():
    journal = Journal().with_migration(make_migration(1)).with_migration(closed(1))

    assert journal.open_migration() is None
    assert len(journal.migrations) == 1


def test_a_late_word_on_a_closed_migration_leaves_the_open_one_current():
    journal = Journal().with_migration(closed(1)).with_migration(make_migration(2))

    journal = journal.with_migration(closed(1, tunnel_port=9000))

    assert journal.open_migration().id == "m2"


def test_the_last_finished_migration_is_the_one_that_ended_last():
    long = make_migration(1, finished_at=BEGIN + timedelta(days=9))

    assert Journal(migrations=(long, closed(2))).last_finished() == long
    assert Journal(migrations=(make_migration(3),)).last_finished() is None


def test_history_is_limited_and_loses_the_oldest():
    journal = Journal()
    for number in range(KEPT + 3):
        journal = journal.with_migration(closed(number))

    assert [migration.id for migration in journal.migrations] == [f"m{number}" for number in range(3, KEPT + 3)]


def test_a_full_journal_of_a_large_cluster_fits_into_a_config_map():
    journal, details = Journal(), make_details(2 * KEPT_DETAILS)
    for number in range(KEPT + 2):
        migration = make_migration(number, old_nodes={"kube-system/workers": tuple(f"{n:036}" for n in range(1000))})
        for step in range(20):
            migration = migration.with_step(make_outcome(f"step {step}", **details))
        journal = journal.with_migration(migration)
        journal = journal.with_migration(
            migration.model_copy(update={"finished_at": migration.started_at + timedelta(hours=1)})
        )

    # https://kubernetes.io/docs/concepts/configuration/configmap/#motivation: 1 MiB
    assert sum(len(value) for value in to_data(journal).values()) < 1_000_000


def test_a_step_keeps_the_worst_of_what_it_measured():
    recorded = make_migration().with_step(make_outcome(outage_seconds=7.0, **make_details(2 * KEPT_DETAILS))).steps[0]

    assert len(recorded.outage) == len(recorded.findings) == KEPT_DETAILS
    assert recorded.outage[0].workload == "ns/w0"
    assert recorded.outage_seconds == 7.0


def test_history_keeps_what_a_revert_needs():
    old = closed(1, backups=(BACKUP,), steps=(make_outcome(),), old_machines={"a/b": ("m",)})

    kept = Journal().with_migration(old).with_migration(make_migration(2)).find("m1")

    assert (kept.previous_cni, kept.backups) == (CANAL, (BACKUP,))
    assert [step.summary for step in kept.steps] == ["done"]


def test_a_change_is_not_hidden_by_a_repeat_that_finds_it_done():
    migration = make_migration().with_step(make_outcome(status=StepStatus.CHANGED, outage_seconds=4.0))

    repeated = migration.with_step(make_outcome(status=StepStatus.ALREADY))

    assert [(step.status, step.outage_seconds) for step in repeated.steps] == [(StepStatus.CHANGED, 4.0)]


def test_a_wait_that_is_looked_at_again_keeps_the_time_it_took_and_its_worst_outage():
    """Every run that goes on looks again, and finds at once what the first one waited for."""
    waited = make_outcome("wait", StepStatus.CONFIRMED, **make_details(1), outage_seconds=9.0, mixed_seconds=5.0)
    later = BEGIN + timedelta(days=1)
    times = {"started_at": later, "finished_at": later + timedelta(seconds=1)}
    again = waited.model_copy(update={**times, "summary": "still there", "outage_seconds": 0.5, "outage": ()})

    found = make_migration().with_step(waited).with_step(again).steps[0]

    assert (found.summary, found.seconds, found.started_at) == ("still there", 60, BEGIN)
    assert (found.outage_seconds, found.mixed_seconds, len(found.outage)) == (9.0, 5.0, 1)


def test_what_was_done_before_anything_began_keeps_the_time_at_which_that_was_seen():
    seen = make_outcome(status=StepStatus.ALREADY)
    later = {"started_at": BEGIN + timedelta(days=1), "finished_at": BEGIN + timedelta(days=1)}

    assert make_migration().with_step(seen).with_step(seen.model_copy(update=later)).steps == (seen,)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (StepStatus.ALREADY, StepStatus.CHANGED),
        (StepStatus.CHANGED, StepStatus.CHANGED),
        (StepStatus.CONFIRMED, StepStatus.CONFIRMED),
    ],
)
def test_any_other_repeat_of_a_step_replaces_its_record(before, after):
    migration = make_migration().with_step(make_outcome(status=before)).with_step(make_outcome(status=after))

    assert [step.status for step in migration.steps] == [after]


def test_steps_stay_in_the_order_in_which_they_were_first_done():
    migration = make_migration()
    for step in ("one", "two", "one"):
        migration = migration.with_step(make_outcome(step))

    assert [step.step for step in migration.steps] == ["one", "two"]


def test_a_backup_replaces_the_one_of_its_name():
    newer = BACKUP.model_copy(update={"sha256": "77"})
    other = BACKUP.model_copy(update={"name": "calico"})

    migration = make_migration().with_backup(BACKUP).with_backup(other).with_backup(newer)

    assert migration.backup("canal") == newer
    assert len(migration.backups) == 2
    assert migration.backup("nothing") is None


GOOD = to_data(Journal().with_migration(make_migration(1)))


@pytest.mark.parametrize(
    "data",
    [
        {**GOOD, "m1.json": "{"},
        {**GOOD, "m1.json": "null"},
        {**GOOD, "m1.json": GOOD["m1.json"].replace('"tunnel_port":8473', '"tunnel_port":"x"')},
        {**GOOD, "m1.json": GOOD["m1.json"].replace('"kind":', '"invented": 1, "kind":')},
        {**GOOD, "notes": "see the wiki"},
        {CURRENT: "m1"},
        {**GOOD, CURRENT: "m7"},
    ],
)
def test_a_journal_that_cannot_be_understood_stops_everything(data):
    with pytest.raises(OperatorActionNeeded, match="kube-system/cni-migration"):
        from_data(data)


OLDER = {
    "id": "m1",
    "started_at": "2026-08-21T08:00:00Z",
    "started_by": "a run",
    "previous_cni": {"type": "canal", "version": "v3.30"},
    "desired_cni": {"type": "cilium", "version": "1.19.4"},
    "previous_proxy_mode": "ipvs",
    "label_was_there": False,
    "tunnel_port": 8473,
}
"""What a run wrote that knew one runbook only."""


def older(**changes):
    return from_data({CURRENT: "m1", "m1.json": json.dumps({**OLDER, **changes})}).find("m1")


def test_a_journal_of_before_there_were_other_runbooks_is_still_read():
    found = older(bare_pods={"shop/shell": "uid-1"}, old_machines={"a/b": ["m"]})

    assert (found.kind, found.platform, found.reverts, found.reverted_by) == (
        Runbook.CANAL_TO_CILIUM,
        "applications",
        "",
        "",
    )
    assert found.desired == Network(cni=CILIUM, proxy_mode="ipvs")
    assert not found.changes_proxy_mode
    assert (found.old_cni, found.marks, found.boot_ids) == (CniType.CANAL, {}, {})


def test_a_migration_of_before_can_be_closed_and_taken_back():
    journal = from_data({CURRENT: "m1", "m1.json": json.dumps(OLDER)})
    journal = journal.with_migration(closed(1)).with_migration(make_migration(2, reverts="m1"))

    assert from_data(to_data(journal)).open_migration().reverts == "m1"


@pytest.mark.parametrize(
    ("changes", "old_cni", "target"),
    [
        ({}, CniType.CANAL, "cilium 1.19.4"),
        ({"desired_proxy_mode": "ebpf"}, CniType.CANAL, "cilium 1.19.4 with kube-proxy mode ebpf"),
        (
            {"kind": Runbook.CILIUM_TO_CANAL, "previous_cni": CILIUM, "desired_cni": CANAL},
            CniType.CILIUM,
            "canal v3.30",
        ),
        ({"kind": Runbook.CHANGE_PROXY_MODE, "desired_cni": CANAL}, None, "kube-proxy mode iptables"),
        (
            {"kind": Runbook.CHANGE_PROXY_MODE, "desired_cni": CANAL, "desired_proxy_mode": "ipvs"},
            None,
            "kube-proxy mode ipvs",
        ),
    ],
)
def test_where_a_migration_leads_is_told_to_people(changes, old_cni, target):
    migration = make_migration(**changes)

    assert (migration.old_cni, migration.target) == (old_cni, target)


def test_history_forgets_what_only_a_run_under_way_asks_for():
    details = {
        "bare_pods": {"shop/shell": "uid-1"},
        "old_machines": {"a/b": ("m",)},
        "old_nodes": {"a/b": ("n",)},
        "restarts": {"a/b": "1"},
        "boot_ids": {"node-1": "b1"},
        "marks": {"cni-uninstall": "true"},
    }
    full = closed(1, **details, reverts="m0", reverted_by="m3", backups=(BACKUP,))

    outline = full.outline()

    assert not any(getattr(outline, name) for name in details)
    assert outline == full.model_copy(update={name: {} for name in details})
