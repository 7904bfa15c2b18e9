"""Automations are installed by one command, as often as one likes, and only where they differ; others are left alone."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore

from deployments.alerts import FLOWS, HEARTBEAT_LOST, NAMES, PREFIX, RESUMING, Alerting, automations
from deployments.automations import install, installed, remove
from deployments.declared import PREFECT_YAML

pytestmark = pytest.mark.timeout(900)
BLOCK = "custom-webhook/sink"
INSTALL = ("-m", "deployments.automations", "install", "--block", BLOCK)
POOL = "kkp-migrations"
ALL = frozenset(NAMES)


def test_installing_twice_changes_nothing_the_second_time(server, block):
    first = server.python(*INSTALL)
    second = server.python(*INSTALL)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert re.search(r"1?\d changed on", first.stdout)
    assert f"nothing changed on {server.api_url}" in second.stdout
    assert f"unchanged  {PREFIX}failed" in second.stdout


async def test_what_is_no_longer_wanted_disappears_and_what_is_wanted_too_appears(server, client, block):
    server.python(*INSTALL)

    server.python(*INSTALL, "--without", "late", "--also", "cancelled")

    names = {each.name.removeprefix(PREFIX) for each in await installed(client)}
    assert names == set(NAMES) - {"late", "completed", "not-approved"}


async def test_only_what_differs_is_replaced(client, block):
    await install(client, automations(Alerting(blocks=(block,), kinds=ALL, work_pool=POOL)))
    before = {each.name: each.trigger for each in await installed(client)}

    longer = Alerting(blocks=(block,), kinds=ALL, work_pool=POOL, window_wait=timedelta(days=3))
    changes = await install(client, automations(longer))

    assert [str(each) for each in changes if each.what != "unchanged"] == [f"changed    {PREFIX}waiting-for-window"]
    assert {
        name for name, trigger in before.items() if trigger not in [each.trigger for each in await installed(client)]
    }


async def test_one_that_somebody_switched_off_stays_off(client, block):
    await install(client, automations(Alerting(blocks=(block,), kinds=ALL, work_pool=POOL)))
    late = next(each for each in await installed(client) if each.name == f"{PREFIX}late")
    await client.pause_automation(late.id)

    await install(client, automations(Alerting(blocks=(block,), kinds=ALL, work_pool=POOL, tags=("canary",))))

    assert [each.name for each in await installed(client) if not each.enabled] == [late.name]
    await remove(client)


async def test_automations_of_others_and_second_ones_of_a_name(client, block):
    (ours,) = automations(Alerting(blocks=(block,), kinds=frozenset({"failed"}), work_pool=POOL))
    for name in ("theirs", ours.name, ours.name):
        await client.create_automation(AutomationCore(**ours.model_dump(exclude={"id", "name"}), name=name))

    await install(client, [ours])
    kept = {each.name for each in await client.read_automations()}
    await remove(client)

    assert kept == {"theirs", ours.name}
    (theirs,) = await client.read_automations()
    assert theirs.name == "theirs"
    await client.delete_automation(theirs.id)


def test_a_block_that_is_missing_is_one_clear_error(server, block):
    done = server.python(*INSTALL[:-1], "slack-webhook/operations")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "There is no block slack-webhook/operations" in done.stderr
    assert "prefect block create slack-webhook" in done.stderr
    assert f"Notification blocks there: {BLOCK}" in done.stderr


def test_a_type_of_block_that_is_missing_too_says_so(server):
    done = server.python(*INSTALL[:-1], "carrier-pigeon/operations")

    assert "there is no block type carrier-pigeon either: `prefect block type ls`" in done.stderr


def test_a_block_that_does_not_notify_is_refused(server):
    made = "from prefect.blocks.system import Secret; Secret(value='x').save('token')"
    server.python("-c", made)

    done = server.python(*INSTALL[:-1], "secret/token")

    assert done.returncode == 1
    assert "secret/token is no notification block" in done.stderr


async def test_listing_and_removing(server, client, block):
    server.python(*INSTALL)

    listed = server.python("-m", "deployments.automations", "list").stdout
    removed = server.python("-m", "deployments.automations", "remove").stdout

    assert f"on   {PREFIX}failed" in listed
    assert f"removed    {PREFIX}failed" in removed
    assert await installed(client) == ()


def test_a_server_that_does_not_answer_is_one_line(server, block):
    done = server.python("-c", "import os; os.environ['PREFECT_API_URL'] = 'http://127.0.0.1:9/api'\n" + ASKS)

    assert done.returncode == 1
    assert "http://127.0.0.1:9/api did not do as asked" in done.stderr


ASKS = "import sys; from deployments.automations import main; sys.exit(main(['list']))"


def test_every_deployment_of_the_project_is_covered():
    entries = yaml.safe_load(PREFECT_YAML.read_text())["deployments"]

    assert {entry["name"] for entry in entries} == {*FLOWS, RESUMING}


def test_every_kind_has_an_automation_of_its_name():
    made = automations(Alerting(blocks=(UUID(int=1),), kinds=ALL, work_pool=POOL))

    assert tuple(each.name.removeprefix(PREFIX) for each in made) == NAMES


def test_every_message_goes_to_every_block():
    blocks = (UUID(int=1), UUID(int=2))

    for each in automations(Alerting(blocks=blocks, kinds=ALL - {HEARTBEAT_LOST}, work_pool=POOL)):
        assert tuple(action.block_document_id for action in each.actions) == blocks
