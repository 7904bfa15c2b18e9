"""A Prefect server, and a webhook that its notifications go to, for the tests of a file."""

from __future__ import annotations

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import PrefectClient

from tests.running_prefect import prefect_process
from tests.webhook_sink import webhook_sink

# Prefect calls a worker lost that was silent for thrice its heartbeat, 90 s, and looks every 15 s. All else is as usual.
QUICK = {"PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "1", "PREFECT_WORKER_HEARTBEAT_SECONDS": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with prefect_process(tmp_path_factory.mktemp("automations"), QUICK) as running:
        yield running


@pytest.fixture(scope="module")
def sink():
    with webhook_sink() as running:
        yield running


@pytest.fixture
async def client(server):
    async with PrefectClient(server.api_url) as opened:
        yield opened


@pytest.fixture
async def block(client, sink):
    texts = {"subject": "{{subject}}", "body": "{{body}}"}
    webhook = CustomWebhookNotificationBlock(name="sink", url=sink.url, json_data=texts)
    return await webhook.asave("sink", overwrite=True, client=client)
