"""What happens to a deployed run is told within ten seconds, with all that people need, and to nobody twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateDetails, StateType
from prefect.states import Scheduled

from deployments.alerts import HEARTBEAT_LOST, LOST_HEARTBEATS, NAMES, RESUMING, Alerting, automations
from deployments.automations import install
from deployments.processes import nursery
from deployments.stack import IS_SERVING, START_SECONDS
from flows.messages import KEPT_CHARACTERS, Kind
from tests.conftest import MEASURED
from tests.deployments.deployed_runs import DeployedRuns

pytestmark = pytest.mark.timeout(900)
POOL = "kkp-migrations"
ALL = frozenset(NAMES)
TOLD_SECONDS = 10.0
WAIT = timedelta(seconds=10)
"""The shortest that Prefect takes for what it is to notice by its absence."""
SILENCE = timedelta(seconds=12)
SAID = "lab/{}: step 'remove Canal' failed: 3 left. State: pods are on Cilium. To resume: go on. To go back: revert"


@pytest.fixture
async def runs(client, block):
    """Runs that are told about: of everything, and after ten seconds where Prefect waits."""
    alerting = Alerting(
        blocks=(block,), kinds=ALL, work_pool=POOL, window_wait=WAIT, heartbeat=SILENCE / LOST_HEARTBEATS
    )
    await install(client, automations(alerting))
    return DeployedRuns(client)


@pytest.fixture
def settled(runs, sink):
    """Wait until Prefect has dealt with what happened so far: it drops events that meet a locked SQLite too often."""

    async def settle():
        run = await runs.start(name := f"settling-{uuid4()}")
        await runs.reach(run, "Failed", of=StateType.FAILED)
        await asyncio.to_thread(sink.wait_for, name, seconds=TOLD_SECONDS)

    return settle


@pytest.fixture
def told(sink, record_property):
    """Return what arrives with these words within ten seconds of its cause, and note how long it took."""

    async def find(kind, *words, since, waits=timedelta()):
        seconds = (since - datetime.now(UTC) + waits).total_seconds() + TOLD_SECONDS
        found = await asyncio.to_thread(sink.wait_for, *words, seconds=seconds, since=since)
        took = (found.at - since - waits).total_seconds()
        record_property(MEASURED, f"{kind}: told {took:.1f} s after its cause")
        assert "\n" not in found.subject
        return found

    return find


def in_days(days):
    return StateDetails(scheduled_time=datetime.now(UTC) + timedelta(days=days))


@pytest.mark.parametrize(
    ("kind", "state", "of", "did"),
    [
        (Kind.FAILED, "Failed", StateType.FAILED, "failed"),
        (Kind.TIMED_OUT, "TimedOut", StateType.FAILED, "gave up waiting"),
        (Kind.INTERRUPTED, "Interrupted", StateType.CRASHED, "was interrupted"),
        (Kind.STOPPED, "StoppedAtSafePoint", StateType.COMPLETED, "stopped at a safe point, unfinished"),
        (Kind.CLUSTERS_LEFT, "MigratedWithFailures", StateType.COMPLETED, "ended, and not every cluster is migrated"),
        (Kind.COMPLETED, "Completed", StateType.COMPLETED, "is done"),
        (Kind.NOT_APPROVED, "NotApproved", StateType.CANCELLED, "was not approved"),
        (Kind.CANCELLED, "Cancelled", StateType.CANCELLED, "was cancelled"),
    ],
)
async def test_a_state_that_says_all_is_passed_on(*, server, runs, told, kind, state, of, did):
    cluster = f"{kind}-cluster"
    run = await runs.start(cluster)

    since = await runs.reach(run, state, of=of, message=SAID.format(cluster))

    message = await told(kind, cluster, since=since)
    assert message.subject == f"lab/{cluster}: canal-to-cilium {did}"
    assert message.body.split("\n\n") == [
        f"Cluster: lab/{cluster}",
        f"Run: canal-to-cilium lab/{cluster}, state {state}",
        f"{server.ui_url}/runs/flow-run/{run.id}",
        SAID.format(cluster),
    ]


async def test_a_crash_is_told_with_the_ways_forward_that_prefect_does_not_know(runs, told):
    run = await runs.start("crashing")

    since = await runs.reach(run, "Crashed", of=StateType.CRASHED, message="Process exited with status -9")

    message = await told(Kind.CRASHED, "crashing", since=since)
    assert message.subject == "lab/crashing: canal-to-cilium crashed"
    assert "Process exited with status -9" in message.body
    assert "nobody has looked at the cluster since" in message.body
    assert (
        "resume-interrupted, where it is scheduled, takes the run up within minutes; by hand, press Retry"
        in message.body
    )
    assert "revert-migration takes back" in message.body


async def test_an_approval_is_asked_for_with_where_the_plan_is(runs, told):
    run = await runs.start("asking")

    since = await runs.reach(run, "Suspended", of=StateType.PAUSED)

    message = await told(Kind.WAITING_FOR_APPROVAL, "asking", since=since)
    assert message.subject == "lab/asking: canal-to-cilium waits for approval"
    assert "nothing of the platform was changed yet" in message.body
    assert "the artifact readiness-asking" in message.body
    assert "None" not in message.body


async def test_a_run_that_does_not_start_is_told_with_when_it_was_due(runs, told):
    due = datetime.now(UTC) - timedelta(minutes=1)
    since = datetime.now(UTC)
    await runs.start("tardy", state=Scheduled(scheduled_time=due))

    message = await told(Kind.LATE, "tardy", since=since)
    assert message.subject == "lab/tardy: canal-to-cilium has not started in time"
    assert f"It was due at {due:%Y-%m-%d %H:%M} UTC" in message.body


async def test_a_long_wait_for_a_window_is_told_also_when_it_is_the_second_of_a_run(runs, told, settled, sink):
    async def wait(run):
        said = "lab: waits for its window: the removal takes some 5 min"
        return await runs.reach(run, "AwaitingWindow", of=StateType.SCHEDULED, message=said, details=in_days(4))

    once, again, goes_on = [await runs.start(name) for name in ("waiting", "waiting-again", "going-on")]
    for run in (again, goes_on):
        await wait(run)
    await settled()
    for run in (again, goes_on):
        await runs.reach(run, "Running", of=StateType.RUNNING)
        await settled()
    since_again = await wait(again)
    await settled()
    since_once = await wait(once)

    message = await told(Kind.WAITING_FOR_WINDOW, "lab/waiting\n", since=since_once, waits=WAIT)
    await told("waiting-for-window, the second wait of a run", "lab/waiting-again", since=since_again, waits=WAIT)
    assert message.subject == "lab/waiting: canal-to-cilium still waits for its maintenance window"
    assert "waits for its window: the removal takes some 5 min" in message.body
    assert "It stands at a safe point" in message.body
    assert f"since {since_once:%Y-%m-%d %H:%M} UTC" in message.body
    assert "ignore_window" in message.body
    assert (message.at - since_once) >= WAIT
    assert not sink.about("going-on")


async def test_a_run_without_a_sign_of_life_is_ended_but_not_one_that_stepped_aside(runs, told, settled):
    dead, aside = await runs.start("dead"), await runs.start("aside")
    for run in (aside, dead):
        await runs.reach(run, "Running", of=StateType.RUNNING)
    await runs.beat(aside)
    await settled()
    await runs.reach(aside, "AwaitingWindow", of=StateType.SCHEDULED, details=in_days(1))
    await settled()
    last = await runs.beat(dead)

    message = await told(HEARTBEAT_LOST, "lab/dead", since=last, waits=SILENCE)

    assert message.subject == "lab/dead: canal-to-cilium crashed"
    assert "no sign of life for 12 s" in message.body
    assert (await runs.state_of(dead), await runs.state_of(aside)) == ("Crashed", "AwaitingWindow")


async def test_a_work_pool_whose_worker_has_stopped_is_told(server, client, runs, told, tmp_path):
    await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    start = ("-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process")
    async with nursery(environment=server.environment, logs=tmp_path) as children:
        worker = await children.start("worker", *start)
        async with asyncio.timeout(START_SECONDS):
            while (await client.read_work_pool(POOL)).status != "READY":
                await asyncio.sleep(0.2)
        since = datetime.now(UTC)
        worker.process.kill()

        message = await told(Kind.WORK_POOL_NOT_READY, POOL, since=since)

    assert message.subject == f"work pool {POOL} is not ready: no migration starts or goes on"
    assert f"{server.ui_url}/work-pools/work-pool/{POOL}" in message.body


async def test_what_takes_up_crashed_runs_is_told_of_once_an_hour(runs, told, sink):
    first, second = [await runs.start("nothing", flow=RESUMING) for _ in range(2)]
    since = await runs.reach(first, "Failed", of=StateType.FAILED, message="no answer")
    await runs.reach(second, "Failed", of=StateType.FAILED, message="no answer")

    message = await told(Kind.RESUMING_FAILED, "no answer", since=since)
    after = await runs.start("afterwards")
    await told(Kind.FAILED, "afterwards", since=await runs.reach(after, "Failed", of=StateType.FAILED))
    assert message.subject == "resume-interrupted fails: nobody takes up crashed migrations"
    assert len(sink.about("no answer")) == 1


async def test_runs_of_others_and_lone_runs_are_not_told(runs, told, sink):
    silent = await runs.start("of-others", flow="nightly-etl"), await runs.start_alone("alone")
    for run in silent:
        await runs.reach(run, "Failed", of=StateType.FAILED)
    ours = await runs.start("of-ours")

    await told(Kind.FAILED, "of-ours", since=await runs.reach(ours, "Failed", of=StateType.FAILED))

    assert not sink.about("lab/of-others")
    assert not sink.about("lab/alone")


async def test_tags_narrow_what_is_told(client, block, told, sink):
    alerting = Alerting(blocks=(block,), kinds=frozenset({"failed"}), work_pool=POOL, tags=("canary", "europe"))
    await install(client, automations(alerting))
    runs = DeployedRuns(client)
    untagged, tagged = await runs.start("untagged", tags=("kkp",)), await runs.start("tagged", tags=("europe",))
    await runs.reach(untagged, "Failed", of=StateType.FAILED)

    await told(Kind.FAILED, "lab/tagged", since=await runs.reach(tagged, "Failed", of=StateType.FAILED))

    assert not sink.about("untagged")


async def test_of_a_very_long_message_beginning_and_end_are_told(runs, told):
    run = await runs.start("wordy")
    said = f"the beginning {'and so on ' * KEPT_CHARACTERS} the end"

    message = await told(Kind.FAILED, "wordy", since=await runs.reach(run, "Failed", of=StateType.FAILED, message=said))

    assert "the beginning" in message.body
    assert message.body.count("the end") == 1
    assert len(message.body) < 2 * KEPT_CHARACTERS + 1000


async def test_a_real_run_that_fails_is_told_with_its_cluster_and_its_error(server, client, runs, told, tmp_path):
    async with nursery(environment=server.environment, logs=tmp_path) as children:
        serving = await children.start("flow runner", "-m", "deployments.serve")
        await serving.wait_until(lambda: IS_SERVING in serving.output(), timeout_seconds=START_SECONDS)
        deployment = await client.read_deployment_by_name("canal-to-cilium/canal-to-cilium")
        run = await client.create_flow_run_from_deployment(
            deployment.id, parameters={"seed": "nowhere", "cluster": "real"}
        )
        async with asyncio.timeout(60):
            while (found := await client.read_flow_run(run.id)).end_time is None:
                await asyncio.sleep(0.2)

        message = await told("a real run, failed", "nowhere/real", since=found.end_time)

    assert message.subject == "nowhere/real: canal-to-cilium failed"
    assert "Run: canal-to-cilium nowhere/real, state Failed" in message.body
    assert "step 'check readiness' failed: " in message.body
    assert "nowhere" in message.body.split("\n\n")[-1]
    assert "To resume: " in message.body
