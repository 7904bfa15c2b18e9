"""A lone run tells about its own end, in the words of the automations; a deployed one leaves that to them."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.server.events.jinja_filters import all_filters
from prefect.server.utilities.user_templates import register_user_template_filters, render_user_template_sync

from clusters.connections import ENVIRONMENT_VARIABLE as CONNECTIONS
from flows.canal_to_cilium import canal_to_cilium
from flows.messages import MESSAGES, Kind, rendered
from flows.notifying import ENVIRONMENT_VARIABLE, tell_cancellation, tell_crash, tell_failure
from migration.errors import InvalidRequest
from tests.webhook_sink import webhook_sink

pytestmark = [
    # Prefect 3.8.8 leaves its clients' sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
BLOCK = "custom-webhook/lone-runs"


@pytest.fixture(scope="module")
def sink():
    with webhook_sink() as running:
        yield running


@pytest.fixture
async def told(prefect_server, sink, monkeypatch, tmp_path):
    """What arrives of this test's runs, which fail at once: there is no connection that they could use."""
    texts = {"subject": "{{subject}}", "body": "{{body}}"}
    webhook = CustomWebhookNotificationBlock(name="lone runs", url=sink.url, json_data=texts)
    await webhook.asave("lone-runs", overwrite=True)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, BLOCK)
    monkeypatch.setenv(CONNECTIONS, str(tmp_path))
    return sink


@flow(name="canal-to-cilium", on_crashed=[tell_crash])
async def crashing(seed: str, cluster: str) -> None:
    raise asyncio.CancelledError


async def test_a_lone_run_that_fails_tells_its_cluster_its_error_and_the_ways_forward(told):
    with pytest.raises(InvalidRequest, match="nowhere"):
        await canal_to_cilium(seed="nowhere", cluster="failing")

    (message,) = told.about("nowhere/failing")
    assert message.subject == "nowhere/failing: canal-to-cilium failed"
    assert "Run: canal-to-cilium nowhere/failing, state Failed" in message.body
    assert "no connection" in message.body
    assert "To resume: " in message.body


async def test_a_lone_run_that_crashes_is_not_said_to_be_taken_up_by_anybody(told):
    with pytest.raises(asyncio.CancelledError):
        await crashing(seed="nowhere", cluster="crashing")

    (message,) = told.about("nowhere/crashing")
    assert message.subject == "nowhere/crashing: canal-to-cilium crashed"
    assert "To resume: start the flow again" in message.body
    assert "resume-interrupted" not in message.body
    assert "Retry" not in message.body


async def test_without_a_block_nobody_is_told(told, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)

    with pytest.raises(InvalidRequest):
        await canal_to_cilium(seed="nowhere", cluster="untold")

    assert told.about("untold") == []


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("custom-webhook/of-nobody", "Unable to find block document"),
        ("custom-webhook/deaf", "Connect"),
        ("secret/no-webhook", "it is no notification block"),
        ("nonsense", "ValueError"),
    ],
)
async def test_what_can_t_be_sent_is_one_warning_and_hides_no_failure(told, monkeypatch, caplog, block, why):
    await CustomWebhookNotificationBlock(name="deaf", url="http://127.0.0.1:9/").asave("deaf", overwrite=True)
    await Secret(value="anything").asave("no-webhook", overwrite=True)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, block)

    with pytest.raises(InvalidRequest, match="nowhere"):
        await canal_to_cilium(seed="nowhere", cluster="unheard")

    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    (warning,) = [line for line in warnings if "nobody was told" in line]
    assert block in warning
    assert why in warning
    assert not [each for each in caplog.records if "while running hook" in each.getMessage()]


async def test_a_deployed_run_leaves_it_to_the_automations(told):
    async with get_client() as client:
        created = await client.create_flow_run(canal_to_cilium, parameters={"seed": "lab", "cluster": "deployed"})
    deployed = created.model_copy(update={"deployment_id": uuid4()})

    for tell in (tell_failure, tell_crash, tell_cancellation):
        await tell(canal_to_cilium, deployed, State(type=StateType.FAILED))

    assert told.about("deployed") == []


async def test_a_cancelled_lone_run_tells_in_which_state_a_hook_before_has_left_it(told):
    said = (
        "lab/cancelled: stopped at a safe point. State: fine. To resume: start it again. To go back: revert-migration"
    )
    async with get_client() as client:
        run = await client.create_flow_run(canal_to_cilium, parameters={"seed": "lab", "cluster": "cancelled"})
        await client.set_flow_run_state(run.id, State(type=StateType.CANCELLED, message=said), force=True)

    await tell_cancellation(canal_to_cilium, run, State(type=StateType.CANCELLING))

    (message,) = told.about("lab/cancelled")
    assert message.subject == "lab/cancelled: canal-to-cilium was cancelled"
    assert said in message.body


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.WORK_POOL_NOT_READY])
@pytest.mark.parametrize("message", [None, "it failed", "To resume: go on", "many words " * 1000])
@pytest.mark.parametrize("parameters", [{"seed": "lab", "cluster": "kj7"}, {}])
@pytest.mark.parametrize("deployment_id", [None, UUID(int=1)])
def test_a_text_is_the_same_as_the_server_makes_of_it(kind, message, parameters, deployment_id):
    register_user_template_filters(all_filters)
    run = SimpleNamespace(
        id=uuid4(),
        name="canal-to-cilium lab/kj7",
        parameters=parameters,
        deployment_id=deployment_id,
        state=SimpleNamespace(name="Failed", message=message),
        next_scheduled_start_time=datetime.now(UTC),
    )
    names = {"flow_run": run, "flow": SimpleNamespace(name="canal-to-cilium")}

    assert list(rendered(kind, **names)) == [render_user_template_sync(template, names) for template in MESSAGES[kind]]
